"""Returns and lengths of the episodes that end during training."""

from __future__ import annotations

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

    Written with sums instead of a loop: all rewards up to a world's last end belong to episodes
    that have ended, all after it to the one that runs. A reward that is not finite counts as 0, or
    it would spoil the sums of every later episode.
    """
    reward = jnp.where(jnp.isfinite(reward), reward, 0.0)
    steps = reward.shape[0]
    time = jnp.arange(steps, dtype=jnp.int32)[:, None]
    last_end = jnp.max(jnp.where(done, time, -1), axis=0)
    any_end = last_end >= 0
    ended = jnp.sum(jnp.where(time <= last_end, reward, 0.0), axis=0)
    running = jnp.sum(jnp.where(time > last_end, reward, 0.0), axis=0)
    returns = jnp.where(any_end, statistics.running_return + ended, 0.0)
    lengths = jnp.where(any_end, statistics.running_length + last_end + 1, 0)
    count = jnp.sum(done, dtype=jnp.int32)
    safe = jnp.maximum(count, 1).astype(jnp.float32)
    return EpisodeStatistics(
        running_return=running + jnp.where(any_end, 0.0, statistics.running_return),
        running_length=steps - 1 - last_end + jnp.where(any_end, 0, statistics.running_length),
        episode_return=jnp.where(count > 0, jnp.sum(returns) / safe, statistics.episode_return),
        episode_length=jnp.where(
            count > 0, jnp.sum(lengths.astype(jnp.float32)) / safe, statistics.episode_length
        ),
        episodes=statistics.episodes + count,
    )
