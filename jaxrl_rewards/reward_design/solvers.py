"""How the inverse of the inner Hessian is applied in an implicit hypergradient.

All solvers approximate `x = (λI − H)⁻¹ v`, where `H = ∇²_θθ J` is the Hessian of the inner
objective (negative definite at a strict maximum), `v = ∇_θ F` and `λ` is the damping. They are
pytrees: step sizes and dampings are leaves (swept by `vmap`), counts are static.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxrl_rewards.core import InputError, record, static_field
from jaxrl_rewards.reward_design.linear import (
    Operator,
    conjugate_gradient,
    dense_solve,
    neumann_series,
)
from jaxrl_rewards.reward_design.trees import combine

PyTree = Any


class ImplicitSolver:
    """Base of the solvers that need the inner objective to be (nearly) stationary."""

    def solve(self, hessian: Operator, vector: PyTree) -> tuple[PyTree, Bool[Array, ""]]:
        """`(x, found)` with `x ≈ (λI − H)⁻¹ v`; `found` is False where the method gave up."""
        raise NotImplementedError


@record
class Neumann(ImplicitSolver):
    """`x = α Σ_{j=0}^{loops} (I + α(H − λI))^j v`: `loops + 1` terms."""

    alpha: Any
    damping: Any
    loops: int = static_field()

    def solve(self, hessian: Operator, vector: PyTree) -> tuple[PyTree, Bool[Array, ""]]:
        """Sum the series; it converges for `α < 2 / |λ|max` and negative definite `H − λI`."""
        x = neumann_series(_damped(hessian, self.damping), vector, self.alpha, self.loops)
        return x, jnp.ones((), bool)


@record
class ConjugateGradient(ImplicitSolver):
    """At most `iterations` steps of conjugate gradients, stopped at non-negative curvature of J."""

    damping: Any
    iterations: int = static_field()

    def solve(self, hessian: Operator, vector: PyTree) -> tuple[PyTree, Bool[Array, ""]]:
        """Run it; `found` is False when the first direction already has the wrong curvature."""
        return conjugate_gradient(_damped(hessian, self.damping), vector, self.iterations)


@record
class Exact(ImplicitSolver):
    """Build the matrix and eliminate; for a few hundred unknowns."""

    damping: Any
    limit: int = static_field()

    def solve(self, hessian: Operator, vector: PyTree) -> tuple[PyTree, Bool[Array, ""]]:
        """Solve; InputError when there are more than `limit` unknowns."""
        return dense_solve(_damped(hessian, self.damping), vector, self.limit), jnp.ones((), bool)


@record
class FirstOrder(ImplicitSolver):
    """`x = v`: the Hessian replaced by `−I`."""

    def solve(self, hessian: Operator, vector: PyTree) -> tuple[PyTree, Bool[Array, ""]]:
        """The vector itself."""
        return vector, jnp.ones((), bool)


def neumann(alpha: Any, loops: int, damping: Any = 0.0) -> Neumann:
    """`loops + 1` terms of the Neumann series with step `alpha` (Lorraine et al. 2020).

    InputError unless `alpha > 0`, `loops >= 0` and `damping >= 0` (checked where they are plain
    numbers).
    """
    _check("alpha", alpha, above=True)
    _check("loops", loops)
    _check("damping", damping)
    return Neumann(alpha=alpha, damping=damping, loops=loops)


def conjugate_gradients(iterations: int, damping: Any = 0.0) -> ConjugateGradient:
    """Conjugate gradients with damping; InputError unless `iterations >= 1`, `damping >= 0`."""
    _check("iterations", iterations, above=True)
    _check("damping", damping)
    return ConjugateGradient(damping=damping, iterations=iterations)


def exact(damping: Any = 0.0, limit: int = 1000) -> Exact:
    """The dense solve, for at most `limit` inner unknowns; InputError unless `damping >= 0`."""
    _check("damping", damping)
    return Exact(damping=damping, limit=limit)


def first_order() -> FirstOrder:
    """The hypergradient with `H := −I`."""
    return FirstOrder()


def _damped(hessian: Operator, damping: Any) -> Operator:
    """`u -> λu − Hu`."""
    return lambda u: combine(damping, u, -1.0, hessian(u))


def _check(name: str, value: Any, above: bool = False) -> None:
    if isinstance(value, jax.Array) or not isinstance(value, (int, float)):
        return
    if not (value > 0 if above else value >= 0):
        raise InputError(f"{name} must be {'above' if above else 'at least'} 0, got {value}")
