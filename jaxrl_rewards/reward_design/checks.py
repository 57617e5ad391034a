"""Hypergradients from values only: slow, but they share no assumption with the other solvers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxrl_rewards.core import InputError, record, static_field
from jaxrl_rewards.reward_design.unrolled import DirectSolver, Objective

PyTree = Any
Train = Callable[[PyTree, PyTree], PyTree]
"""`train(θ_start, φ) -> θ`: solves the inner problem."""


@record
class FiniteDifference(DirectSolver):
    """Central differences of `φ -> F(train(θ, φ), φ)`, one coordinate at a time."""

    step: Any
    train: Train = static_field()
    batch: int = static_field()

    def differentiate(self, outer: Objective, theta: PyTree, phi: PyTree) -> PyTree:
        """Twice as many inner solves as `phi` has entries, `batch` coordinates at a time."""
        flat, unravel = ravel_pytree(phi)

        def slope(direction: jax.Array) -> jax.Array:
            up, down = (
                outer(self.train(theta, unravel(moved)), unravel(moved))
                for moved in (flat + self.step * direction, flat - self.step * direction)
            )
            return (up - down) / (2.0 * self.step)

        directions = jnp.eye(flat.size, dtype=flat.dtype)
        return unravel(jax.lax.map(slope, directions, batch_size=self.batch))


@record
class EvolutionStrategies(DirectSolver):
    """Antithetic Gaussian perturbations of `φ` (Salimans et al. 2017, arXiv 1703.03864)."""

    key: jax.Array
    sigma: Any
    train: Train = static_field()
    pairs: int = static_field()
    batch: int = static_field()

    def differentiate(self, outer: Objective, theta: PyTree, phi: PyTree) -> PyTree:
        """`1/(2σN) Σ ε (F(φ + σε) − F(φ − σε))`: unbiased for the smoothed objective."""
        flat, unravel = ravel_pytree(phi)
        noise = jax.random.normal(self.key, (self.pairs, flat.size), flat.dtype)

        def weighted(epsilon: jax.Array) -> jax.Array:
            up, down = (
                outer(self.train(theta, unravel(moved)), unravel(moved))
                for moved in (flat + self.sigma * epsilon, flat - self.sigma * epsilon)
            )
            return epsilon * (up - down) / (2.0 * self.sigma)

        return unravel(jnp.mean(jax.lax.map(weighted, noise, batch_size=self.batch), axis=0))


def finite_difference(train: Train, step: Any = 1e-4, batch: int = 32) -> FiniteDifference:
    """Central differences with `step` around a solver `train(θ_start, φ) -> θ`.

    InputError unless `step > 0` (where it is a plain number) and `batch >= 1`.
    """
    if isinstance(step, (int, float)) and step <= 0:
        raise InputError(f"step of the finite differences must be above 0, got {step}")
    if batch < 1:
        raise InputError(f"batch must be at least 1, got {batch}")
    return FiniteDifference(step=step, train=train, batch=batch)


def evolution_strategies(
    train: Train, key: jax.Array, pairs: int = 64, sigma: Any = 0.1, batch: int = 32
) -> EvolutionStrategies:
    """`pairs` antithetic perturbations with standard deviation `sigma`, drawn from `key`.

    InputError unless `sigma > 0` (where it is a plain number), `pairs >= 1` and `batch >= 1`.
    """
    if isinstance(sigma, (int, float)) and sigma <= 0:
        raise InputError(f"sigma must be above 0, got {sigma}")
    for name, value in (("pairs", pairs), ("batch", batch)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    return EvolutionStrategies(key=key, sigma=sigma, train=train, pairs=pairs, batch=batch)
