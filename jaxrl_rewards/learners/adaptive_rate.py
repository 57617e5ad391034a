"""A learning rate that follows the divergence of the old from the new policy."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import record

RATE_BOUNDS = (1e-6, 1e-2)
"""Limits of an adapted learning rate."""
RATE_STEP = 1.5
"""Largest factor by which one update changes it."""


@record
class AdaptedState:
    """The optimiser's moments, and the actor's learning rate as adapted so far."""

    moments: Any
    actor_rate: Float[Array, ""]


def adapted_rate(
    rate: Float[Array, ""], kl: Float[Array, ""], target: Float[Array, ""]
) -> Float[Array, ""]:
    """`rate · sqrt(target / kl)`, the factor within `RATE_STEP`, the result in `RATE_BOUNDS`.

    The divergence grows with the square of the step, hence the root. A `kl` that is not finite
    counts as too large. A smooth form of the adaptive rate of Schulman et al. 2017, section 4.
    """
    factor = jnp.sqrt(target / jnp.maximum(kl, 1e-8))
    factor = jnp.where(jnp.isfinite(kl), factor, 0.0)
    return jnp.clip(rate * jnp.clip(factor, 1 / RATE_STEP, RATE_STEP), *RATE_BOUNDS)
