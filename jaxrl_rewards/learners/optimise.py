"""One guarded optimiser step, shared by all learners."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.networks.actor_critic import WHOLE

Groups = Any
"""A prefix of a parameter tree with names at its leaves: what is clipped together and may have a
learning rate of its own. A single name puts all in one group."""


def adam(epsilon: float = 1e-5) -> optax.GradientTransformation:
    """Adam's direction without a learning rate (Kingma and Ba 2015), which is a hyper-parameter.

    Moments are float32 or wider whatever the parameters are; for narrower parameters the state is
    a `WithRemainder`.
    """
    # `eps_root` is too small to change a step, and keeps its derivative finite at a gradient of 0.
    inner = optax.scale_by_adam(eps=epsilon, eps_root=1e-30)

    def init(params: Any) -> Any:
        moments = inner.init(_wide(params))
        return WithRemainder(moments, _remainder(params)) if _is_narrow(params) else moments

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if not isinstance(state, WithRemainder):
            return inner.update(_wide(grads), state, params)
        direction, moments = inner.update(_wide(grads), state.moments, params)
        return direction, WithRemainder(moments, state.remainder)

    return optax.GradientTransformation(init, update)


class WithRemainder(NamedTuple):
    """The optimiser's moments, and what rounding has kept from parameters narrower than float32.

    With it the sum of parameters and remainder is a float32 copy, and steps too small for the
    parameters' own precision add up instead of getting lost.
    """

    moments: Any
    remainder: Any


class Step(NamedTuple):
    """What one guarded step gives."""

    params: Any
    opt_state: Any
    refused: Bool[Array, ""]
    """A gradient or rate was not finite: nothing has changed, the optimiser's moments included."""
    norm: Float[Array, ""]
    """Norm of all gradients before clipping; 0 when refused."""


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
    groups: Groups = WHOLE,
    clip_together: bool = False,
    enabled: Bool[Array, ""] | bool = True,
) -> Step:
    """Clip by norm, step, and keep the old values if any gradient or learning rate is not finite.

    The norm is that of each of `groups` by itself, so that a large value gradient does not shrink
    the policy's, or with `clip_together` that of all; a dict of learning rates gives each group its
    own. `max_grad_norm` of infinity
    switches clipping off. Parameters keep their dtype; the step itself is computed in float32 or
    wider. Where `enabled` is false nothing moves, moments included, and nothing counts as refused.
    """
    norm = tree_norm(_wide(grads))
    rates = jnp.stack([jnp.asarray(rate, norm.dtype) for rate in jax.tree.leaves(learning_rate)])
    finite = jnp.isfinite(norm) & jnp.all(jnp.isfinite(rates))
    moves = finite & enabled
    labels = broadcast_labels(groups, params)
    clipped = _clip_by_group(
        grads, broadcast_labels(WHOLE, params) if clip_together else labels, max_grad_norm, finite
    )
    directions, new_state = optimiser.update(clipped, opt_state, params)

    def move(param: Array, direction: Array, label: str) -> Array:
        rate = learning_rate[label] if isinstance(learning_rate, dict) else learning_rate
        factor = jnp.where(moves, -rate, 0.0)
        return (param + factor * direction).astype(param.dtype)

    if isinstance(new_state, WithRemainder):
        whole = jax.tree.map(jnp.add, _wide(params), new_state.remainder)
        moved = jax.tree.map(move, whole, directions, labels)
        new_params = jax.tree.map(lambda new, old: new.astype(old.dtype), moved, params)
        left = jax.tree.map(jnp.subtract, moved, _wide(new_params))
        new_state = WithRemainder(new_state.moments, left)
    else:
        new_params = jax.tree.map(move, params, directions, labels)
    new_state = jax.tree.map(lambda new, old: jnp.where(moves, new, old), new_state, opt_state)
    return Step(new_params, new_state, ~finite, jnp.where(finite, norm, 0.0))


def broadcast_labels(groups: Groups, params: Any) -> Any:
    """The group's name at every leaf of `params`; ValueError where `groups` is no prefix of it."""
    try:
        return jax.tree.map(
            lambda name, subtree: jax.tree.map(lambda _: name, subtree), groups, params
        )
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the network's groups {groups!r} do not fit its parameters "
            f"{jax.tree.structure(params)}; declare a prefix of that tree"
        ) from error


def group_names(groups: Groups) -> tuple[str, ...]:
    """The names that occur in `groups`, each once."""
    return tuple(dict.fromkeys(jax.tree.leaves(groups)))


def _clip_by_group(
    grads: Any, labels: Any, limit: Float[Array, ""], finite: Bool[Array, ""]
) -> Any:
    leaves, structure = jax.tree.flatten(grads)
    names = jax.tree.leaves(labels)

    def scale_of(name: str) -> Array:
        norm = optax.global_norm(
            _wide([g for g, n in zip(leaves, names, strict=True) if n == name])
        )
        # The inner selection keeps derivatives of the step finite, without clipping too.
        over = finite & (norm > limit)
        return jnp.where(over, limit / jnp.where(over, norm, 1.0), 1.0)

    scales = {name: scale_of(name) for name in dict.fromkeys(names)}
    clipped = [
        jnp.where(finite, g * scales[name], 0.0) for g, name in zip(leaves, names, strict=True)
    ]
    return structure.unflatten(clipped)


def _is_narrow(tree: Any) -> bool:
    return any(leaf.dtype.itemsize < 4 for leaf in jax.tree.leaves(tree))


def _remainder(params: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, _wide(params))


def _wide(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32)), tree)
