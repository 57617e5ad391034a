"""The miniature of a grounding model: coordinate tokens from a perceived target.

The policy sees where the target is (as Fourier features of centre and size) and answers with four
coordinate tokens, x1, y1, x2, y2, each one of `bins` evenly spaced values. Source of the form:
Tang et al., GUI-G², 2025, arXiv 2507.15846.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_rewards.networks.mlp import Dense, mlp, mlp_init

CENTRE_OCTAVES, SIZE_OCTAVES = 4, 1
SIZE_SCALE = 8.0  # pixels
INPUTS = 4 * (CENTRE_OCTAVES + SIZE_OCTAVES + 1)


def features(box: Float[Array, "... 4"], screen: float) -> Float[Array, "... 24"]:
    """What the policy perceives of the target: Fourier features of its centre and size.

    The centre as a share of the screen and the size in units of 8 pixels, and of each the sine
    and cosine of π 2^k times that, k = 0 to 3 for the centre and 0 for the size. Few octaves keep
    the policy smooth, so that what is learnt for one place holds for its neighbourhood.
    """
    centre = 0.5 * (box[..., :2] + box[..., 2:]) / screen
    size = (box[..., 2:] - box[..., :2]) / SIZE_SCALE
    parts = [centre, size]
    for value, octaves in ((centre, CENTRE_OCTAVES), (size, SIZE_OCTAVES)):
        angle = value[..., None] * np.pi * 2.0 ** np.arange(octaves, dtype=np.float32)
        waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
        parts.append(waves.reshape(*box.shape[:-1], -1))
    return jnp.concatenate(parts, axis=-1)


def init_policy(key: jax.Array, hidden: int, bins: int) -> list[Dense]:
    """Two hidden layers of `hidden` units and four heads of `bins` logits."""
    return mlp_init(key, (INPUTS, hidden, hidden, 4 * bins), output_scale=0.1)


def policy_logits(params: list[Dense], inputs: Float[Array, "... F"]) -> Float[Array, "... 4 bins"]:
    """Logits of the four coordinate tokens; the tokens are independent given the target."""
    out = mlp(params, inputs, activate="relu")
    return out.reshape(*out.shape[:-1], 4, -1)


def sample_tokens(
    logits: Float[Array, "... 4 bins"], uniform: Float[Array, "... N 4"]
) -> Int[Array, "... N 4"]:
    """N answers per prompt by inverting the distribution function at `uniform` in [0, 1)."""
    cumulative = jnp.cumsum(jax.nn.softmax(logits, axis=-1), axis=-1)
    below = uniform[..., None] * cumulative[..., None, :, -1:] >= cumulative[..., None, :, :]
    tokens = jnp.sum(below, axis=-1, dtype=jnp.int32)
    return jnp.minimum(tokens, logits.shape[-1] - 1)


def token_log_probs(
    logits: Float[Array, "P 4 bins"], tokens: Int[Array, "P N 4"]
) -> Float[Array, "P N 4"]:
    """Log-probabilities of sampled tokens."""
    table = jax.nn.log_softmax(logits, axis=-1)
    return jnp.take_along_axis(
        table, tokens.swapaxes(-1, -2), axis=-1, mode="promise_in_bounds"
    ).swapaxes(-1, -2)
