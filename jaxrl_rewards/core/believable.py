"""Which numbers can be measurements."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

HUGE = 1e10
"""Numbers of this size are no measurements but a world that is breaking. Statistics leave them out,
or one of them would blind a normaliser for good."""


ENOUGH = 1000
"""Values that must have been seen before any is called far off."""
REACH = 100.0
"""Standard deviations that a value may be away from the mean at least."""
STILL = 1e-4
"""A smaller deviation says that nothing has varied yet, so nothing is far off."""


def believable(values: Array) -> Bool[Array, "..."]:
    """Whether entries are finite and below `HUGE` in size."""
    return jnp.isfinite(values) & (jnp.abs(values) < HUGE)


def within_reach(
    values: Float[Array, "..."], count: Array, mean: Array, squares: Array
) -> Float[Array, "..."]:
    """`values` clipped to what running statistics can take in without being blinded.

    `count`, `mean` and `squares` (the sum of squared deviations) are those of the values before. A
    value may lie √count deviations from the mean, so that by itself it at most doubles the
    variance, and `REACH` of them in any case: what has been seen before, however rarely, lies
    within, and where the scale has changed for good the statistics follow within a few updates.
    Nothing is clipped before `ENOUGH` values, nor while they have not varied.
    """
    count, mean, squares = jax.lax.stop_gradient((count, mean, squares))
    seen = jnp.maximum(count, 1.0)
    deviation = jnp.sqrt(squares / seen)
    known = (count >= ENOUGH) & (deviation > STILL)
    reach = jnp.where(known, jnp.maximum(jnp.sqrt(seen), REACH) * deviation, jnp.inf)
    return jnp.clip(values, mean - reach, mean + reach)
