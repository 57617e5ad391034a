"""One guarded optimiser step, shared by all learners."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.rewards.base import weight_at

Schedulable = Any
"""A number, or a schedule of `jaxrl_rewards.rewards.schedule` over the update count."""


def adam(epsilon: float = 1e-5) -> optax.GradientTransformation:
    """Adam's direction without a learning rate (Kingma and Ba 2015), which is a hyper-parameter."""
    return optax.scale_by_adam(eps=epsilon)


def hparam_at(value: Schedulable, step: Array) -> Array:
    """The float32 number that a hyper-parameter stands for at update `step`."""
    return jnp.asarray(weight_at(value, step), jnp.float32)


def guarded_step(
    optimiser: optax.GradientTransformation,
    params: Any,
    opt_state: Any,
    grads: Any,
    learning_rate: Float[Array, ""],
    max_grad_norm: Float[Array, ""],
) -> tuple[Any, Any, Bool[Array, ""], Float[Array, ""]]:
    """Clip by global norm, step, and keep the old values if any gradient is not finite.

    Returns (params, opt_state, refused, gradient norm before clipping). A refused step changes
    nothing, the optimiser's moments included. `max_grad_norm` of infinity switches clipping off.
    """
    norm = optax.global_norm(grads)
    finite = jnp.isfinite(norm)
    scale = jnp.where(finite, jnp.minimum(1.0, max_grad_norm / jnp.maximum(norm, 1e-12)), 0.0)
    clipped = jax.tree.map(lambda g: jnp.where(finite, g * scale, 0.0), grads)
    directions, new_state = optimiser.update(clipped, opt_state, params)
    factor = jnp.where(finite, -learning_rate, 0.0)
    new_params = jax.tree.map(lambda p, d: p + factor * d, params, directions)
    new_state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new_state, opt_state)
    return new_params, new_state, ~finite, jnp.where(finite, norm, 0.0)
