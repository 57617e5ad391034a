"""Running normalisation of observations and rewards."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import record
from jaxrl_rewards.core.believable import believable, within_reach


@record
class RunningMoments:
    """Count, mean and sum of squared deviations, leaf by leaf of a pytree of float arrays."""

    count: Float[Array, ""]
    mean: Any
    squares: Any


def init_moments(example: Any) -> RunningMoments:
    """Empty moments for elements shaped like `example`."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), jnp.float32), example)
    return RunningMoments(count=jnp.zeros((), jnp.float32), mean=zeros, squares=zeros)


def update_moments(moments: RunningMoments, batch: Any) -> RunningMoments:
    """Merge a batch with any leading axes (parallel variance, Chan et al. 1979).

    Entries that are not finite, or huge, count as the current mean, and those far off all others as
    the farthest that is believed (`core.believable`), so one broken world cannot spoil the rest.
    """
    means, structure = jax.tree.flatten(moments.mean)
    leaves = structure.flatten_up_to(batch)
    lead = leaves[0].ndim - means[0].ndim
    axes = tuple(range(lead))
    size = jnp.float32(math.prod(leaves[0].shape[:lead]))
    total = moments.count + size

    def merge(mean, squares, values):
        values = values.astype(jnp.float32)
        values = jnp.where(believable(values), values, mean)
        values = within_reach(values, moments.count, mean, squares)
        batch_mean = jnp.mean(values, axis=axes)
        batch_squares = jnp.sum(jnp.square(values - batch_mean), axis=axes)
        delta = batch_mean - mean
        correction = jnp.square(delta) * moments.count * size / total
        return mean + delta * size / total, squares + batch_squares + correction

    squares = structure.flatten_up_to(moments.squares)
    merged = [merge(*leaf) for leaf in zip(means, squares, leaves, strict=True)]
    return RunningMoments(
        count=total,
        mean=structure.unflatten([mean for mean, _ in merged]),
        squares=structure.unflatten([squares for _, squares in merged]),
    )


def standard_deviation(moments: RunningMoments, floor: float = 1e-4) -> Any:
    """Population standard deviation per leaf, at least `floor`; 1 before the first update."""

    def deviation(squares):
        variance = squares / jnp.maximum(moments.count, 1.0)
        return jnp.where(moments.count > 0, jnp.sqrt(jnp.maximum(variance, floor**2)), 1.0)

    return jax.tree.map(deviation, moments.squares)


def normalise_observation(moments: RunningMoments, obs: Any, limit: float = 10.0) -> Any:
    """`(obs - mean) / deviation`, clipped to ±`limit`, 0 where not a number; any leading axes."""

    def one(leaf, mean, deviation):
        scaled = jnp.clip((leaf.astype(jnp.float32) - mean) / deviation, -limit, limit)
        return jnp.where(jnp.isnan(scaled), 0.0, scaled)

    return jax.tree.map(
        one,
        obs,
        moments.mean,
        standard_deviation(moments),
    )


def discounted_returns(
    accumulator: Float[Array, "B"],
    reward: Float[Array, "T B"],
    done: Bool[Array, "T B"],
    discount: Float[Array, ""],
) -> tuple[Float[Array, "B"], Float[Array, "T B"]]:
    """Forward discounted sums `G ← discount·G + r`, cut after `done`: the statistic whose spread
    scales rewards (Engstrom et al. 2020, "Implementation matters"). Returns the last accumulator
    and all sums. Rewards that are not finite, or huge, count as 0."""
    reward = jnp.where(believable(reward), reward, 0.0)

    def step(total, inputs):
        step_reward, step_done = inputs
        total = discount * total + step_reward
        return jnp.where(step_done, 0.0, total), total

    return jax.lax.scan(step, accumulator, (reward, done))
