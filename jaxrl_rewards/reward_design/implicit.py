"""Differentiable bi-level optimisation: how does the trained policy change with the reward?

`max_φ F(θ(φ), φ)` where `θ(φ)` maximises `J(θ, φ)`. At a stationary point of J

    dF/dφ = ∂_φ F + x ∂_φ ∇_θ J,   x = −(∇²_θθ J)⁻¹ ∇_θ F,

and neither the Hessian nor the mixed derivative is ever built: products come from forward over
reverse mode. Choose an implicit solver near the inner optimum, an unrolled one for few steps, and
the value-only ones as a check.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.reward_design.checks import (
    EvolutionStrategies,
    FiniteDifference,
    evolution_strategies,
    finite_difference,
)
from jaxrl_rewards.reward_design.linear import (
    Operator,
    conjugate_gradient,
    dense_matrix,
    neumann_series,
)
from jaxrl_rewards.reward_design.solvers import (
    ConjugateGradient,
    Exact,
    FirstOrder,
    ImplicitSolver,
    Neumann,
    conjugate_gradients,
    exact,
    first_order,
    neumann,
)
from jaxrl_rewards.reward_design.trees import all_finite, combine, dot, norm, select
from jaxrl_rewards.reward_design.unrolled import (
    DirectSolver,
    FixedPoint,
    Objective,
    Unrolled,
    fixed_point,
    gradient_ascent,
    unrolled,
)

__all__ = [
    "ConjugateGradient",
    "DirectSolver",
    "EvolutionStrategies",
    "Exact",
    "FiniteDifference",
    "FirstOrder",
    "FixedPoint",
    "Hypergradient",
    "ImplicitSolver",
    "Neumann",
    "Unrolled",
    "conjugate_gradient",
    "conjugate_gradients",
    "dense_matrix",
    "evolution_strategies",
    "exact",
    "finite_difference",
    "first_order",
    "fixed_point",
    "gradient_ascent",
    "hessian_product",
    "hypergradient",
    "mixed_product",
    "neumann",
    "neumann_series",
    "unrolled",
]

PyTree = Any


@record
class Hypergradient:
    """A derivative in the outer parameters and what it rests on."""

    gradient: PyTree
    """`dF/dφ`, shaped like `φ`; always finite."""
    fallbacks: Int[Array, ""]
    """1 where the solver's answer was not usable and first order (or 0) took its place, else 0."""
    stationarity: Float[Array, ""]
    """`‖∇_θ J‖` at the given `θ`: implicit solvers assume 0. NaN where there is no inner J."""


def hessian_product(inner: Objective, theta: PyTree, phi: PyTree) -> Operator:
    """`u -> ∇²_θθ inner(θ, φ) u`, linearised once so that repeated products share the work."""
    _, product = jax.linearize(lambda t: jax.grad(inner)(t, phi), theta)
    return product


def mixed_product(inner: Objective, theta: PyTree, phi: PyTree, weights: PyTree) -> PyTree:
    """`w ∂_φ ∇_θ inner(θ, φ)`, shaped like `φ`; `weights` is shaped like `θ`."""
    return jax.grad(lambda p: dot(jax.grad(inner)(theta, p), weights))(phi)


def hypergradient(
    outer: Objective,
    inner: Objective | None,
    theta: PyTree,
    phi: PyTree,
    solver: ImplicitSolver | DirectSolver,
) -> Hypergradient:
    """The derivative of `outer(θ(φ), φ)` in `φ`, where `θ(φ)` maximises `inner(θ, φ)`.

    Args:
      outer: `F(θ, φ) -> scalar`; its sign is the sign of the result.
      inner: `J(θ, φ) -> scalar`, *maximised* in θ (of a loss, pass the negative). None is allowed
        with unrolled and value-only solvers.
      theta: pytree of float arrays (of any arrays when `inner` is None); for implicit solvers
        (nearly) a maximum of `inner`, for unrolled ones where the last steps start, for value-only
        ones where training starts.
      phi: pytree of float arrays.
      solver: made by `neumann`, `conjugate_gradients`, `exact`, `first_order`, `unrolled`,
        `fixed_point`, `finite_difference` or `evolution_strategies`.

    An answer that is not finite, or a solver that gives up, falls back to first order (without an
    inner objective, or where that is not finite either, to 0) and is counted. InputError when an
    objective is not scalar, a leaf is not floating or the solver needs an inner objective and has
    none.

    Source: Lorraine et al. 2020 (arXiv 1911.02590), equations 2 and 5.
    """
    _check(outer, inner, theta, phi, solver)
    if isinstance(solver, ImplicitSolver):
        return _implicit(outer, inner, theta, phi, solver)
    gradient = solver.differentiate(outer, theta, phi)
    usable = all_finite(gradient)
    if inner is None:
        zero = jax.tree.map(jnp.zeros_like, gradient)
        return Hypergradient(
            gradient=select(usable, gradient, zero),
            fallbacks=(~usable).astype(jnp.int32),
            stationarity=jnp.full((), jnp.nan),
        )
    other = _implicit(outer, inner, theta, phi, first_order())
    return other.replace(
        gradient=select(usable, gradient, other.gradient), fallbacks=(~usable).astype(jnp.int32)
    )


def _implicit(
    outer: Objective, inner: Objective, theta: PyTree, phi: PyTree, solver: ImplicitSolver
) -> Hypergradient:
    vector, direct = jax.grad(outer, argnums=(0, 1))(theta, phi)
    slope, product = jax.linearize(lambda t: jax.grad(inner)(t, phi), theta)
    weights, found = solver.solve(product, vector)
    usable = found & all_finite(weights)
    weights = select(usable, weights, vector)
    gradient = combine(1.0, direct, 1.0, mixed_product(inner, theta, phi, weights))
    finite = all_finite(gradient)
    zero = jax.tree.map(jnp.zeros_like, gradient)
    return Hypergradient(
        gradient=select(finite, gradient, zero),
        fallbacks=(~(usable & finite)).astype(jnp.int32),
        stationarity=norm(slope),
    )


def _check(
    outer: Objective, inner: Objective | None, theta: PyTree, phi: PyTree, solver: Any
) -> None:
    if not isinstance(solver, (ImplicitSolver, DirectSolver)):
        raise InputError(f"solver {solver!r} is none of this module's; make one with neumann(...)")
    if inner is None and isinstance(solver, ImplicitSolver):
        raise InputError(f"solver {type(solver).__name__} needs an inner objective, got None")
    trees = {"phi": phi}
    if inner is not None:
        trees["theta"] = theta  # without it, it may carry the integers of an optimiser's state
    for name, tree in trees.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            dtype = jnp.result_type(leaf)
            if not jnp.issubdtype(dtype, jnp.floating):
                where = name + jax.tree_util.keystr(path)
                raise InputError(f"{where} must be floating to be differentiated, got {dtype}")
    for name, objective in (("outer", outer), ("inner", inner)):
        if objective is None:
            continue
        out = jax.eval_shape(objective, theta, phi)
        if not hasattr(out, "shape") or out.shape != ():
            raise InputError(f"the {name} objective must return one scalar, got {out}")
