"""Which numbers can be measurements."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool

HUGE = 1e10
"""Numbers of this size are no measurements but a world that is breaking. Statistics leave them out,
or one of them would blind a normaliser for good."""


def believable(values: Array) -> Bool[Array, "..."]:
    """Whether entries are finite and below `HUGE` in size."""
    return jnp.isfinite(values) & (jnp.abs(values) < HUGE)
