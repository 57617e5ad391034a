"""Hypergradients through the update itself: truncated unrolling, and its fixed point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from jaxrl_rewards.core import InputError, record, static_field
from jaxrl_rewards.reward_design.trees import combine

PyTree = Any
Update = Callable[[PyTree, PyTree], PyTree]
Objective = Callable[[PyTree, PyTree], jax.Array]


class DirectSolver:
    """Base of the solvers that differentiate, or only evaluate, the outer objective themselves."""

    def differentiate(self, outer: Objective, theta: PyTree, phi: PyTree) -> PyTree:
        """The total derivative of `outer` in `phi`, shaped like `phi`."""
        raise NotImplementedError


@record
class Unrolled(DirectSolver):
    """Differentiate `outer(θ_k, φ)` through `k` updates that start at the given `θ`."""

    update: Update = static_field()
    steps: int = static_field()
    remat: bool = static_field()

    def differentiate(self, outer: Objective, theta: PyTree, phi: PyTree) -> PyTree:
        """Reverse mode through a scan; the start `θ` counts as a constant."""
        start = jax.lax.stop_gradient(theta)

        def total(phi: PyTree) -> jax.Array:
            def step(carry: PyTree, _: None) -> tuple[PyTree, None]:
                return self.update(carry, phi), None

            body = jax.checkpoint(step) if self.remat else step
            final, _ = jax.lax.scan(body, start, None, length=self.steps)
            return outer(final, phi)

        return jax.grad(total)(phi)


@record
class FixedPoint(DirectSolver):
    """The implicit hypergradient of an update map `θ = U(θ, φ)` at its fixed point.

    `∂_φ F + w ∂_φ U` with `w = Σ_{j=0}^{loops} v (∂_θ U)^j`: products with the transposed Jacobian
    of one update, so that memory does not grow with `loops`. `U` need not be a gradient step.
    """

    update: Update = static_field()
    loops: int = static_field()

    def differentiate(self, outer: Objective, theta: PyTree, phi: PyTree) -> PyTree:
        """Sum the series; it converges where the update is a contraction near `θ`."""
        vector, direct = jax.grad(outer, argnums=(0, 1))(theta, phi)
        _, transpose = jax.vjp(self.update, theta, phi)

        def body(_: int, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            term, total = carry
            term = transpose(term)[0]
            return term, combine(1.0, total, 1.0, term)

        _, weights = jax.lax.fori_loop(0, self.loops, body, (vector, vector))
        return combine(1.0, direct, 1.0, transpose(weights)[1])


def unrolled(update: Update, steps: int, remat: bool = False) -> Unrolled:
    """Truncated unrolling of `steps` calls of `update(θ, φ) -> θ`.

    `θ` may carry optimiser state, as long as the outer objective reads it in the same form. With
    `remat` each step is recomputed in the backward pass, so that memory holds the carries only.
    The truncation is biased towards what shows within `steps` updates. InputError unless
    `steps >= 1`.
    """
    if steps < 1:
        raise InputError(f"steps of the unrolled solver must be at least 1, got {steps}")
    return Unrolled(update=update, steps=steps, remat=remat)


def fixed_point(update: Update, loops: int) -> FixedPoint:
    """The implicit form for an update map; InputError unless `loops >= 0`.

    With `update = gradient_ascent(inner, alpha)` it equals the Neumann solver with those numbers.
    """
    if loops < 0:
        raise InputError(f"loops must be at least 0, got {loops}")
    return FixedPoint(update=update, loops=loops)


def gradient_ascent(inner: Objective, rate: Any) -> Update:
    """`update(θ, φ) = θ + rate · ∇_θ inner(θ, φ)`."""

    def update(theta: PyTree, phi: PyTree) -> PyTree:
        return combine(1.0, theta, rate, jax.grad(inner)(theta, phi))

    return update
