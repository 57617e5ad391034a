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
    # `eps_root` is too small to change a step, and keeps its derivative finite at a gradient of 0.
    return optax.scale_by_adam(eps=epsilon, eps_root=1e-30)


def hparam_at(value: Schedulable, step: Array) -> Array:
    """The float32 number that a hyper-parameter stands for at update `step`."""
    return jnp.asarray(weight_at(value, step), jnp.float32)


_SMALL = 2**16
"""Leaves up to this size are joined before their squares are summed."""


def tree_norm(tree: Any) -> Float[Array, ""]:
    """The Euclidean norm of all leaves together.

    Small leaves are joined first: a sum for every one would be three kernels to compile.
    """
    leaves = [leaf.reshape(-1) for leaf in jax.tree.leaves(tree)]
    small = [leaf for leaf in leaves if leaf.size <= _SMALL]
    parts = [leaf for leaf in leaves if leaf.size > _SMALL]
    parts += [jnp.concatenate(small)] if small else []
    return jnp.sqrt(sum(jnp.sum(jnp.square(part)) for part in parts))


def guarded_step(
    optimiser: optax.GradientTransformation,
    params: Any,
    opt_state: Any,
    grads: Any,
    learning_rate: Float[Array, ""] | dict[str, Float[Array, ""]],
    max_grad_norm: Float[Array, ""],
    *,
    clip_per_network: bool = False,
) -> tuple[Any, Any, Bool[Array, ""], Float[Array, ""]]:
    """Clip by norm, step, and keep the old values if any gradient is not finite.

    The norm is that of all gradients together, or, with `clip_per_network`, of each top-level
    entry of the parameter dict by itself, so that a large value gradient does not shrink the
    policy's. A dict of learning rates gives each top-level entry its own. Returns (params,
    opt_state, refused, norm of all gradients before clipping). A refused step changes nothing, the
    optimiser's moments included. `max_grad_norm` of infinity switches clipping off.
    """
    norm = tree_norm(grads)
    finite = jnp.isfinite(norm)

    def clip(tree: Any, its_norm: Array) -> Any:
        # The inner selection keeps derivatives of the step finite, without clipping too.
        over = finite & (its_norm > max_grad_norm)
        scale = jnp.where(over, max_grad_norm / jnp.where(over, its_norm, 1.0), 1.0)
        return jax.tree.map(lambda g: jnp.where(finite, g * scale, 0.0), tree)

    if clip_per_network and isinstance(grads, dict):
        clipped = {name: clip(tree, tree_norm(tree)) for name, tree in grads.items()}
    else:
        clipped = clip(grads, norm)
    directions, new_state = optimiser.update(clipped, opt_state, params)

    def move(tree: Any, direction: Any, rate: Array) -> Any:
        factor = jnp.where(finite, -rate, 0.0)
        return jax.tree.map(lambda p, d: p + factor * d, tree, direction)

    if isinstance(learning_rate, dict):
        new_params = {
            name: move(params[name], directions[name], learning_rate[name]) for name in params
        }
    else:
        new_params = move(params, directions, learning_rate)
    new_state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new_state, opt_state)
    return new_params, new_state, ~finite, jnp.where(finite, norm, 0.0)
