"""Two bi-level problems whose hypergradients are known by other means, to judge solvers by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_rewards.core import InputError, record


class KnownProblem(NamedTuple):
    """A bi-level problem, its inner optimum at `phi`, and the true hypergradient there."""

    outer: Callable[[Any, Any], Array]
    inner: Callable[[Any, Any], Array]
    theta: Any
    phi: Any
    answer: Any
    solve: Callable[[Any, Any], Any]
    """`solve(θ_start, φ)`: the inner optimum."""
    largest_curvature: float
    """`|λ|max` of the inner Hessian at the optimum; Neumann steps below `2 / |λ|max` converge."""


def quadratic_problem(
    unknowns: int = 20, parameters: int = 6, condition: float = 4.0, seed: int = 0
) -> KnownProblem:
    """`J = −½ θᵀPθ + θᵀBφ`, `F = −½‖θ − t‖² + cᵀφ`, `θ(φ) = P⁻¹Bφ`.

    The eigenvalues of P are spread evenly over `[1, condition]`. The answer
    `c − Bᵀ P⁻¹ (θ − t)` is computed by NumPy in float64. InputError unless sizes are positive and
    `condition >= 1`.
    """
    if min(unknowns, parameters) < 1 or condition < 1:
        raise InputError(
            f"a quadratic problem needs positive sizes and condition >= 1, got {unknowns=}, "
            f"{parameters=}, {condition=}"
        )
    draw = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(draw.standard_normal((unknowns, unknowns)))
    matrix = basis @ np.diag(np.linspace(1.0, condition, unknowns)) @ basis.T
    mixing = draw.standard_normal((unknowns, parameters))
    target, linear = draw.standard_normal(unknowns), draw.standard_normal(parameters)
    phi = draw.standard_normal(parameters)
    theta = np.linalg.solve(matrix, mixing @ phi)
    answer = linear - mixing.T @ np.linalg.solve(matrix, theta - target)
    p, b, t, c = (jnp.asarray(x) for x in (matrix, mixing, target, linear))
    return KnownProblem(
        outer=lambda theta, phi: -0.5 * jnp.sum(jnp.square(theta - t)) + c @ phi,
        inner=lambda theta, phi: -0.5 * theta @ p @ theta + theta @ b @ phi,
        theta=jnp.asarray(theta),
        phi=jnp.asarray(phi),
        answer=answer,
        solve=lambda theta, phi: jnp.linalg.solve(p, b @ phi),
        largest_curvature=float(condition),
    )


@record
class SoftMdp:
    """A small decision process with an entropy bonus, known in full."""

    transition: Float[Array, "S A S"]
    start: Float[Array, "S"]
    gamma: Float[Array, ""]
    temperature: Float[Array, ""]

    def soft_optimum(self, reward: Float[Array, "S A"], sweeps: int = 400) -> Float[Array, "S A"]:
        """Logits of the policy that maximises soft return, by `sweeps` of soft value iteration."""

        def step(values: Float[Array, "S"], _: None) -> tuple[Float[Array, "S"], None]:
            scaled = self._lookahead(reward, values) / self.temperature
            return self.temperature * jax.nn.logsumexp(scaled, axis=-1), None

        start = jnp.zeros(self.start.shape, reward.dtype)
        values, _ = jax.lax.scan(step, start, None, length=sweeps)
        return self._lookahead(reward, values) / self.temperature

    def value(
        self, logits: Float[Array, "S A"], reward: Float[Array, "S A"], entropy_weight: Any
    ) -> Float[Array, ""]:
        """Discounted return from the start distribution plus `entropy_weight` times entropies."""
        log_policy = jax.nn.log_softmax(logits, axis=-1)
        policy = jnp.exp(log_policy)
        gain = jnp.sum(policy * (reward - entropy_weight * log_policy), axis=-1)
        moves = jnp.einsum("sa,sat->st", policy, self.transition)
        system = jnp.eye(len(self.start), dtype=gain.dtype) - self.gamma * moves
        return self.start @ jnp.linalg.solve(system, gain)

    def _lookahead(self, reward, values):
        return reward + self.gamma * self.transition @ values


def soft_mdp_problem(
    states: int = 12, actions: int = 3, gamma: float = 0.9, seed: int = 0
) -> KnownProblem:
    """Tune a reward table so that the soft-optimal policy for it does well under another.

    `φ` is the trained reward `[S, A]`, `θ` are logits `[S, A]`, J is the soft return (temperature
    1) under `φ`, F the plain return under a fixed reward. The answer differentiates soft value
    iteration itself. The inner Hessian is singular: adding a constant to the logits of a state
    changes nothing.
    """
    draw = np.random.default_rng(seed)
    transition = draw.dirichlet(np.full(states, 0.5), (states, actions))
    model = SoftMdp(
        transition=jnp.asarray(transition),
        start=jnp.full((states,), 1.0 / states),
        gamma=jnp.asarray(gamma),
        temperature=jnp.asarray(1.0),
    )
    primary = jnp.asarray(draw.standard_normal((states, actions)))
    phi = primary + 0.5 * jnp.asarray(draw.standard_normal((states, actions)))

    def outer(theta, phi):
        return model.value(theta, primary, 0.0)

    def inner(theta, phi):
        return model.value(theta, phi, model.temperature)

    def solve(theta, phi):
        return model.soft_optimum(phi)

    theta = solve(None, phi)
    hessian = jax.hessian(lambda flat: inner(flat.reshape(theta.shape), phi))(theta.reshape(-1))
    return KnownProblem(
        outer=outer,
        inner=inner,
        theta=theta,
        phi=phi,
        answer=jax.grad(lambda phi: outer(solve(None, phi), phi))(phi),
        solve=solve,
        largest_curvature=float(np.abs(np.linalg.eigvalsh(np.asarray(hessian))).max()),
    )


def relative_error(estimate: Any, answer: Any) -> Float[Array, ""]:
    """`‖estimate − answer‖ / ‖answer‖`."""
    difference = jnp.ravel(jnp.asarray(estimate) - jnp.asarray(answer))
    return jnp.linalg.norm(difference) / jnp.linalg.norm(jnp.ravel(jnp.asarray(answer)))


def cosine(first: Any, second: Any) -> Float[Array, ""]:
    """Cosine of the angle between two arrays read as vectors; 0 where one of them is 0."""
    one, two = jnp.ravel(jnp.asarray(first)), jnp.ravel(jnp.asarray(second))
    product = jnp.linalg.norm(one) * jnp.linalg.norm(two)
    return jnp.where(product > 0, one @ two / jnp.where(product > 0, product, 1.0), 0.0)
