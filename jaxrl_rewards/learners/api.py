"""The contract of a learner: a pair of pure functions over one state pytree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Int

from jaxrl_rewards.core import record

Metrics = dict[str, Array]


@record
class LearnerState:
    """Everything of a run that changes; so save, resume, shard and vmap need no learner code."""

    params: Any
    """Network parameters."""
    opt_state: Any
    env_state: Any
    """State of the worlds, their last `TimeStep`, and the policy's recurrent carry, if any."""
    normaliser: Any
    """Running observation, reward and term statistics."""
    buffer: Any
    """Replay, reference parameters or prompts, where a learner has them; else ()."""
    statistics: Any
    """Episode statistics."""
    skipped: Int[Array, ""]
    """Updates refused because a gradient was not finite."""
    key: jax.Array
    step: Int[Array, ""]
    """Updates done, int32."""


class Learner(NamedTuple):
    """`init(key, hparams) -> LearnerState`, `update(state, hparams) -> (state, metrics)`.

    `hparams` is a pytree of sweepable numbers, the world's params (with the reward) among them.
    `metrics` is a dict of scalars with a fixed structure; both functions are jittable and
    vmappable over keys, states and hparams.
    """

    init: Callable[[jax.Array, Any], LearnerState]
    update: Callable[[LearnerState, Any], tuple[LearnerState, Metrics]]
    act: Callable[..., Any]
    """`act(state, obs, carry, key, deterministic=True) -> (action, carry)`, unbatched `obs`."""
    samples_per_update: int
    """Environment steps (or tokens, or answers) that one update consumes."""
    hparams: Any
    """The default hyper-parameters."""
