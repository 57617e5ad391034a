"""Start episodes more often where they fail: a learner around a learner.

The world says in `TimeStep.info` where each episode started and whether it failed; how often
episodes start where is a field of its params. The share of steps that a start gets follows its
failure rate, which is forgotten exponentially, and never falls below a floor, so that nothing is
unlearnt for want of practice. Shares are of steps, not of episodes: where everything fails at once
an episode lasts a few steps, and weighing episodes would leave it next to no practice. The idea is
that of prioritised level replay (Jiang et al. 2021, arXiv 2010.03934) and of the sampling by
failure in motion tracking (Luo et al. 2023, arXiv 2305.06456).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import record
from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics


@record
class StartCounts:
    """Per start: decayed counts of steps, of the episodes that ended, and of those that failed."""

    steps: Float[Array, "starts"]
    ended: Float[Array, "starts"]
    failed: Float[Array, "starts"]


def count_starts(num_starts: int) -> Callable[[dict[str, Any]], StartCounts]:
    """A `summarise` for `make_ppo`: counts per start from the info's `start`, `ended`, `failed`."""

    def summarise(info: dict[str, Any]) -> StartCounts:
        start = info["start"].reshape(-1)

        def count(which: Array) -> Array:
            return jax.ops.segment_sum(which.reshape(-1).astype(jnp.float32), start, num_starts)

        return StartCounts(
            steps=count(jnp.ones_like(info["ended"])),
            ended=count(info["ended"]),
            failed=count(info["failed"]),
        )

    return summarise


def start_weights(counts: StartCounts, floor: float) -> Float[Array, "starts"]:
    """How often episodes are to begin where, summing to 1.

    The wanted share of steps is `floor / S + (1 - floor) · rate / Σ rate`, with the failure rate
    `(failed + 1) / (ended + 1)` (starts that were never tried count as failing). Shares over the
    mean length of an episode, `(steps + mean) / (ended + 1)` with the mean of all, are frequencies.
    """
    rate = (counts.failed + 1.0) / (counts.ended + 1.0)
    share = floor / rate.shape[0] + (1.0 - floor) * rate / jnp.sum(rate)
    mean = (jnp.sum(counts.steps) + 1.0) / (jnp.sum(counts.ended) + 1.0)
    length = jnp.maximum((counts.steps + mean) / (counts.ended + 1.0), 1.0)
    frequency = share / length
    return frequency / jnp.sum(frequency)


def weigh_starts(learner: Learner, *, floor: float = 0.3, memory: float = 0.98) -> Learner:
    """`learner` with the params' `start_weights` set by failure before every update.

    `learner` must be made with `summarise=count_starts(n)`, n the number of entries of
    `start_weights`. `memory` is what is kept of the counts per update. ValueError for a floor or
    memory outside [0, 1].
    """
    for name, value in (("floor", floor), ("memory", memory)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} must be between 0 and 1, got {value}")

    def init(key: jax.Array, hparams: Any) -> LearnerState:
        state = learner.init(key, hparams)
        return state.replace(memory=(state.memory, jax.tree.map(jnp.zeros_like, state.summary)))

    def update(state: LearnerState, hparams: Any) -> tuple[LearnerState, Metrics]:
        inner, counts = state.memory
        env_params = hparams.env_params
        shape = env_params.start_weights.shape
        weights = start_weights(counts, floor).reshape(shape)
        hparams = hparams.replace(env_params=env_params.replace(start_weights=weights))
        state, metrics = learner.update(state.replace(memory=inner), hparams)
        counts = jax.tree.map(lambda old, new: memory * old + new, counts, state.summary)
        metrics["hardest_start"] = jnp.max(weights) * weights.size
        return state.replace(memory=(state.memory, counts)), metrics

    return learner._replace(init=init, update=update)
