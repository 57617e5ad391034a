"""How well scores rank."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def auc(scores: Float[Array, "N"], positive: Bool[Array, "N"]) -> Float[Array, ""]:
    """Chance that a positive has a higher score than a negative, ties counting half."""
    pair = positive[:, None] & ~positive[None, :]
    gap = scores[:, None] - scores[None, :]
    won = jnp.where(gap > 0, 1.0, jnp.where(gap == 0, 0.5, 0.0))
    count = jnp.sum(pair)
    return jnp.where(count > 0, jnp.sum(jnp.where(pair, won, 0.0)) / count, jnp.nan)
