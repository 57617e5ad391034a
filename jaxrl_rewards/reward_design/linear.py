"""Approximate inverses of linear maps that are known only through products with a vector.

The maps are symmetric and act on pytrees; all of it works under `jit`, `vmap` and in any float
dtype. Sources: Lorraine et al. 2020 (arXiv 1911.02590) for the series; Hestenes and Stiefel 1952
for conjugate gradients, stopped at non-positive curvature as in Steihaug 1983.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design.trees import combine, dot, scale, select

PyTree = Any
Operator = Callable[[PyTree], PyTree]


def neumann_series(operator: Operator, vector: PyTree, alpha: Any, loops: int) -> PyTree:
    """`α Σ_{j=0}^{loops} (I − αP)^j v`, which tends to `P⁻¹ v`; `loops + 1` terms.

    Converges for positive definite `P` exactly if `α < 2 / λ_max(P)`; elsewhere the sum grows and
    may overflow to infinities, which callers detect.
    """

    def body(_: int, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        term, total = carry
        term = combine(1.0, term, -alpha, operator(term))
        return term, combine(1.0, total, 1.0, term)

    _, total = jax.lax.fori_loop(0, loops, body, (vector, vector))
    return scale(alpha, total)


def conjugate_gradient(
    operator: Operator, vector: PyTree, iterations: int
) -> tuple[PyTree, Bool[Array, ""]]:
    """`(x, found)`: an approximate solution of `P x = v` after at most `iterations` steps.

    Starts at 0. Stops, keeping the iterate, when the residual is down to rounding or a direction of
    non-positive curvature turns up (`P` is then not positive definite). `found` is False when that
    happens in the first step, so that no step was made.
    """
    start = dot(vector, vector)
    tiny = start * jnp.finfo(start.dtype).eps ** 2

    def body(_: int, carry):
        x, residual, direction, square, going = carry
        image = operator(direction)
        curvature = dot(direction, image)
        going = going & (curvature > 0) & (square > tiny)
        step = jnp.where(going, square / jnp.where(going, curvature, 1.0), 0.0)
        x = combine(1.0, x, step, direction)
        residual = combine(1.0, residual, -step, image)
        renewed = dot(residual, residual)
        ratio = jnp.where(going, renewed / jnp.where(going, square, 1.0), 0.0)
        direction = select(going, combine(1.0, residual, ratio, direction), direction)
        return x, residual, direction, jnp.where(going, renewed, square), going

    zero = jax.tree.map(jnp.zeros_like, vector)
    state = (zero, vector, vector, start, jnp.ones((), bool))
    x, *_ = jax.lax.fori_loop(0, iterations, body, state)
    return x, (start <= 0) | (dot(x, x) > 0)


def dense_matrix(operator: Operator, example: PyTree, limit: int) -> Float[Array, "n n"]:
    """The matrix of a linear map on vectors shaped like `example`.

    InputError when they have more than `limit` entries.
    """
    flat, unravel = ravel_pytree(example)
    if flat.size > limit:
        raise InputError(
            f"a dense solve of {flat.size} unknowns exceeds its limit of {limit}; use conjugate "
            "gradients or the Neumann series, or raise the limit"
        )
    columns = jax.vmap(lambda row: ravel_pytree(operator(unravel(row)))[0])
    return columns(jnp.eye(flat.size, dtype=flat.dtype)).T


def dense_solve(operator: Operator, vector: PyTree, limit: int) -> PyTree:
    """`P⁻¹ v` by elimination; not finite where `P` is singular."""
    flat, unravel = ravel_pytree(vector)
    return unravel(jnp.linalg.solve(dense_matrix(operator, vector, limit), flat))
