"""BARFI from logged episodes alone: no world is stepped."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.reward_design.barfi import (
    AlignedReward,
    Episodes,
    Policy,
    aligned_objective,
    barfi_hypergradient,
    check_episodes,
    check_reward,
    linear_logits,
)
from jaxrl_rewards.reward_design.solvers import ImplicitSolver
from jaxrl_rewards.reward_design.trees import all_finite, combine, select

PyTree = Any


@dataclasses.dataclass(frozen=True)
class OfflineConfig:
    """Sizes and step sizes of `fit_offline`."""

    rounds: int = 300
    inner_steps: int = 15
    batch: int = 15
    """Episodes per policy step and per side of an outer step."""
    clone_steps: int = 300
    policy_rate: float = 0.005
    reward_rate: float = 0.005
    entropy: float = 0.25
    gamma: float = 0.99
    discount_penalty: float = 0.25
    reward_penalty: float = 0.0
    ratio_limit: float = 10.0
    """Largest importance weight of an episode, as a multiple of the mean one."""

    def __post_init__(self):
        for name in ("rounds", "inner_steps", "batch", "clone_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.ratio_limit < 1:
            raise InputError(f"ratio_limit must be at least 1, got {self.ratio_limit}")


@record
class OfflineResult:
    """The policy, the reward it was trained on, and what every round measured."""

    theta: PyTree
    behaviour: PyTree
    """The policy cloned from the log."""
    phi: AlignedReward
    effective: Float[Array, "rounds"]
    """Share of the log that the importance weights leave: `(Σw)² / (B Σw²)`."""
    stationarity: Float[Array, "rounds"]
    fallbacks: Int[Array, "rounds"]


def log_likelihood(theta: PyTree, episodes: Episodes, policy: Policy) -> Float[Array, "B"]:
    """Log-probability of every episode's actions."""
    table = jax.nn.log_softmax(policy(theta, episodes.features), axis=-1)
    chosen = jnp.take_along_axis(table, episodes.actions[..., None], axis=-1)[..., 0]
    return jnp.sum(episodes.mask * chosen, axis=-1)


def importance_weights(
    theta: PyTree, behaviour: PyTree, episodes: Episodes, policy: Policy, limit: float
) -> Float[Array, "B"]:
    """Self-normalised ratios `π(episode) / β(episode)` with mean 1, then cut at `limit`."""
    ratio = log_likelihood(theta, episodes, policy) - log_likelihood(behaviour, episodes, policy)
    return jnp.minimum(jax.nn.softmax(ratio) * ratio.shape[0], limit)


def fit_offline(
    key: jax.Array,
    theta: PyTree,
    phi: AlignedReward,
    episodes: Episodes,
    solver: ImplicitSolver,
    config: OfflineConfig | None = None,
    policy: Policy = linear_logits,
) -> OfflineResult:
    """Tune φ and a policy on logged `episodes`; pure, to be jitted or vmapped by the caller.

    First the behaviour policy is cloned (maximum likelihood, Adam) from `theta`. Then every round
    makes an outer step and `inner_steps` policy steps (RMSprop) on random episodes. J_p refers to
    the current policy: its episodes carry importance weights against the clone; J_φ is used as in
    the loop with a world, without weights. Where `effective` is small, the log says little of the
    trained policy. InputError when shapes do not fit.
    """
    config = config or OfflineConfig()
    check_episodes(episodes)
    check_reward(phi, episodes)
    behaviour = clone_behaviour(theta, episodes, policy, config.clone_steps)
    total = episodes.mask.shape[0]

    def draw(key: jax.Array) -> Episodes:
        picks = jax.random.randint(key, (config.batch,), 0, total)
        return jax.tree.map(lambda leaf: leaf[picks], episodes)

    def policy_step(carry, key, phi):
        theta, moments = carry
        gradient = jax.grad(aligned_objective)(theta, phi, draw(key), config.entropy, policy)
        direction, renewed = RMS.update(gradient, moments)
        usable = all_finite(gradient)
        theta = select(usable, combine(1.0, theta, config.policy_rate, direction), theta)
        return (theta, select(usable, renewed, moments)), None

    def round_(carry, key):
        theta, moments, phi, phi_moments = carry
        key_primary, key_aligned, key_inner = jax.random.split(key, 3)
        logged = draw(key_primary)
        weights = jax.lax.stop_gradient(
            importance_weights(theta, behaviour, logged, policy, config.ratio_limit)
        )
        weighted = logged.replace(primary=weights[:, None] * logged.primary)  # J_p is linear in r_p
        answer = _outer(theta, phi, weighted, draw(key_aligned), solver, config, policy)
        direction, phi_moments = RMS.update(answer.gradient, phi_moments)
        phi = combine(1.0, phi, config.reward_rate, direction)
        (theta, moments), _ = jax.lax.scan(
            lambda c, k: policy_step(c, k, phi),
            (theta, moments),
            jax.random.split(key_inner, config.inner_steps),
        )
        effective = jnp.square(jnp.sum(weights)) / (weights.size * jnp.sum(jnp.square(weights)))
        row = (effective, answer.stationarity, answer.fallbacks)
        return (theta, moments, phi, phi_moments), row

    start = (behaviour, RMS.init(behaviour), phi, RMS.init(phi))
    (theta, _, phi, _), rows = jax.lax.scan(round_, start, jax.random.split(key, config.rounds))
    effective, stationarity, fallbacks = rows
    return OfflineResult(
        theta=theta,
        behaviour=behaviour,
        phi=phi,
        effective=effective,
        stationarity=stationarity,
        fallbacks=fallbacks,
    )


RMS = optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False)
"""Of the policy's steps and of the outer ones."""


def clone_behaviour(theta: PyTree, episodes: Episodes, policy: Policy, steps: int) -> PyTree:
    """The policy that makes the log most likely, by `steps` of Adam from `theta`."""
    adam = optax.adam(0.02)

    def mismatch(theta):
        return -jnp.sum(log_likelihood(theta, episodes, policy)) / jnp.sum(episodes.mask)

    def clone(carry, _):
        behaviour, state = carry
        steps, state = adam.update(jax.grad(mismatch)(behaviour), state)
        return (optax.apply_updates(behaviour, steps), state), None

    return jax.lax.scan(clone, (theta, adam.init(theta)), None, steps)[0][0]


def _outer(theta, phi, primary, aligned, solver, config: OfflineConfig, policy: Policy):
    """The gradient of the outer step, from episodes for J_p and others for J_φ."""
    return barfi_hypergradient(
        theta,
        phi,
        primary,
        aligned,
        solver,
        gamma=config.gamma,
        entropy_weight=config.entropy,
        reward_penalty=config.reward_penalty,
        discount_penalty=config.discount_penalty,
        policy=policy,
    )
