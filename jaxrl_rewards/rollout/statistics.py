"""Returns and lengths of the episodes that end during training."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record


@record
class EpisodeStatistics:
    """Running sums per world, and the means over the episodes that ended last."""

    running_return: Float[Array, "B"]
    running_length: Int[Array, "B"]
    episode_return: Float[Array, ""]
    """Mean undiscounted return of the episodes that ended in the last update that ended any; NaN
    before the first end."""
    episode_length: Float[Array, ""]
    episodes: Int[Array, ""]
    """Episodes ended so far."""


def init_statistics(num_envs: int) -> EpisodeStatistics:
    """No episode seen yet; means are NaN until one ends."""
    return EpisodeStatistics(
        running_return=jnp.zeros((num_envs,), jnp.float32),
        running_length=jnp.zeros((num_envs,), jnp.int32),
        episode_return=jnp.full((), jnp.nan, jnp.float32),
        episode_length=jnp.full((), jnp.nan, jnp.float32),
        episodes=jnp.zeros((), jnp.int32),
    )


def update_statistics(
    statistics: EpisodeStatistics, reward: Float[Array, "T B"], done: Bool[Array, "T B"]
) -> EpisodeStatistics:
    """Add a time-major rollout.

    Written with cumulative sums instead of a loop: the return of an episode that ends at `t` is
    the cumulative reward up to `t` less that at the previous end. A reward that is not finite
    counts as 0, or it would spoil the sums of every later episode.
    """
    reward = jnp.where(jnp.isfinite(reward), reward, 0.0)
    steps = reward.shape[0]
    total = statistics.running_return + jnp.cumsum(reward, axis=0)
    time = jnp.arange(steps, dtype=jnp.int32)[:, None]
    last_end = _running_max(jnp.where(done, time, -1))
    before = jnp.concatenate([jnp.full_like(last_end[:1], -1), last_end[:-1]])
    at_end = jnp.take_along_axis(total, jnp.maximum(before, 0), axis=0)
    returns = total - jnp.where(before >= 0, at_end, 0.0)
    lengths = jnp.where(before >= 0, time - before, time + 1 + statistics.running_length)
    count = jnp.sum(done, dtype=jnp.int32)
    any_end = count > 0
    safe = jnp.maximum(count, 1).astype(jnp.float32)
    mean_return = jnp.sum(jnp.where(done, returns, 0.0)) / safe
    mean_length = jnp.sum(jnp.where(done, lengths, 0).astype(jnp.float32)) / safe
    ended_last = done[-1]
    return EpisodeStatistics(
        running_return=jnp.where(ended_last, 0.0, returns[-1]),
        running_length=jnp.where(ended_last, 0, lengths[-1]),
        episode_return=jnp.where(any_end, mean_return, statistics.episode_return),
        episode_length=jnp.where(any_end, mean_length, statistics.episode_length),
        episodes=statistics.episodes + count,
    )


def _running_max(values: Array) -> Array:
    return jax.lax.cummax(values, axis=0)
