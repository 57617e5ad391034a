"""The miniature of a grounding model: coordinate tokens from a perceived target.

The policy sees where the target is (as Fourier features of centre and size) and answers with four
coordinate tokens, x1, y1, x2, y2, each one of `bins` evenly spaced values. Supervised learning on
displaced labels makes it confident and wrong, as a model that transfers badly to a new screen is.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.networks.mlp import Dense, mlp, mlp_init

CENTRE_OCTAVES, SIZE_OCTAVES = 4, 1
SIZE_SCALE = 8.0  # pixels
INPUTS = 4 * (CENTRE_OCTAVES + SIZE_OCTAVES + 1)


@record
class Answers:
    """What the reward terms read: boxes `[..., 4]` in pixels and noise `[...]`."""

    pred_box: Float[Array, "... 4"]
    target_box: Float[Array, "... 4"]
    noise: Float[Array, "..."]
    """Standard normal numbers, for the arm whose reward means nothing."""


def sample_targets(
    key: jax.Array,
    count: int,
    *,
    screen: float,
    widths: tuple[float, float],
    heights: tuple[float, float],
    margin: float,
) -> Float[Array, "count 4"]:
    """Boxes uniform in size and place, at least `margin` times their size from every border.

    The margin leaves room for labels displaced by as much, so that no label is cut off.
    """
    key_size, key_place = jax.random.split(key)
    low = jnp.asarray([widths[0], heights[0]], jnp.float32)
    high = jnp.asarray([widths[1], heights[1]], jnp.float32)
    size = low + (high - low) * jax.random.uniform(key_size, (count, 2), dtype=jnp.float32)
    corner = margin * size
    corner = corner + (screen - 2 * corner - size) * jax.random.uniform(
        key_place, (count, 2), dtype=jnp.float32
    )
    return jnp.concatenate([corner, corner + size], axis=-1)


def displace(box: Float[Array, "... 4"], shift: Float[Array, "2"]) -> Float[Array, "... 4"]:
    """Boxes moved by `shift` times their width and height."""
    offset = shift * (box[..., 2:] - box[..., :2])
    return box + jnp.concatenate([offset, offset], axis=-1)


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


def supervised_start(
    key: jax.Array,
    shift: Float[Array, "2"],
    draw,
    *,
    hidden: int,
    bins: int,
    screen: float,
    steps: int,
    batch: int,
    learning_rate: float,
) -> tuple[list[Dense], Float[Array, "steps"]]:
    """A policy trained on labels displaced by `shift` element sizes, and its loss per step.

    `draw(key, count)` gives targets. Cross-entropy of the four label tokens, Adam with a cosine
    decay to 0.
    """
    from jaxrl_envs.gui.actions import encode_box

    key_init, key_data = jax.random.split(key)
    params = init_policy(key_init, hidden, bins)
    optimiser = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def loss(params, targets):
        labels = encode_box(displace(targets, shift), screen, screen, bins)
        logits = policy_logits(params, features(targets, screen))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    def step(carry, key):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params, draw(key, batch))
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(params, updates), state), value

    keys = jax.random.split(key_data, steps)
    (params, _), losses = jax.lax.scan(step, (params, optimiser.init(params)), keys)
    return params, losses
