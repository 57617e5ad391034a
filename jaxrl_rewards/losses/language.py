"""Losses of language models."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.losses.aggregate import token_mean


def next_token_loss(
    logits: Float[Array, "... V"], tokens: Int[Array, "..."], mask: Bool[Array, "..."]
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Mean of `-log p(token)` over the mask, and `accuracy`: the share whose likeliest is right.

    Args:
      logits: of the next token, any float dtype; computed in float32.
      tokens: what followed; numbers outside the vocabulary are taken for its nearest.
      mask: positions that count; nothing counted gives 0.
    """
    log_prob = jax.nn.log_softmax(logits.astype(jnp.float32))
    index = jnp.clip(tokens, 0, logits.shape[-1] - 1)[..., None]
    loss = -jnp.take_along_axis(log_prob, index, axis=-1)[..., 0]
    right = (jnp.argmax(logits, axis=-1) == tokens).astype(jnp.float32)
    return token_mean(loss, mask), {"accuracy": token_mean(right, mask)}
