"""The records that pass between worlds, credit, losses and learners."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core.pytree import record

PyTree = Any


@record
class TimeStep:
    """What a world shows after `reset` or `step`. All leaves unbatched; batch with `vmap`."""

    obs: PyTree
    """Observation that the policy acts on next (after an auto-reset: of the new episode)."""
    reward: Float[Array, ""]
    """Scalar float32 reward of the step just taken; 0 after `reset`."""
    terms: dict[str, Float[Array, ""]]
    """Raw, unweighted named reward terms; the same keys always; 0 where not applicable."""
    applicable: dict[str, Bool[Array, ""]]
    """Per term, whether it applied at this step (same keys as `terms`)."""
    terminated: Bool[Array, ""]
    """The decision process ended: the value of the successor is 0."""
    truncated: Bool[Array, ""]
    """Cut by a time limit: bootstrap from `final_obs`."""
    final_obs: PyTree
    """Observation of the true successor state, before any auto-reset."""
    info: dict[str, Any]
    """Further arrays of fixed structure, for logging."""
    chosen: Bool[Array, ""] = np.True_
    """Whether the policy's action was what happened in the step just taken. False where the world
    forced it (tool results, other speakers): such positions enter no loss and no statistics."""

    @property
    def done(self) -> Bool[Array, ""]:
        """Whether the episode ended, for either reason."""
        return self.terminated | self.truncated


@record
class Transition:
    """One step as the learner sees it; leaves carry the batch axes of the rollout."""

    obs: PyTree
    action: PyTree
    log_prob: Float[Array, "..."]
    value: Float[Array, "..."]
    reward: Float[Array, "..."]
    terminated: Bool[Array, "..."]
    truncated: Bool[Array, "..."]
    next_value: Float[Array, "..."]
    """Value of the true successor observation (before auto-reset)."""


@record
class Rollout:
    """A time-major batch of steps: leaves `[T, B, ...]`, plus what the runner logs."""

    transitions: Transition
    terms: dict[str, Float[Array, "T B"]]
    applicable: dict[str, Bool[Array, "T B"]]
    info: dict[str, Any]


@record
class TokenBatch:
    """Responses of token-level learners; rows that share a `group` answer the same prompt."""

    tokens: Int[Array, "B T"]
    mask: Float[Array, "B T"]
    """1 where the policy chose the token, 0 on padding and on tokens the world forced."""
    log_prob: Float[Array, "B T"]
    """Log-probability under the policy that generated the tokens."""
    ref_log_prob: Float[Array, "B T"]
    """Log-probability under the reference policy (zeros where none is used)."""
    reward: Float[Array, "B T"]
    group: Int[Array, "B"]


@record
class PreferencePair:
    """Two answers to one prompt, the first preferred with probability `preference`."""

    chosen: PyTree
    rejected: PyTree
    preference: Float[Array, "..."]
    mask: Float[Array, "..."]


def first_timestep(obs: PyTree, reward_names: tuple[str, ...], info: dict[str, Any]) -> TimeStep:
    """The `TimeStep` of a `reset`: reward 0, no end, `final_obs` = `obs`."""
    zero = jax.numpy.zeros((), jax.numpy.float32)
    no = jax.numpy.zeros((), bool)
    return TimeStep(
        obs=obs,
        reward=zero,
        terms={name: zero for name in reward_names},
        applicable={name: no for name in reward_names},
        terminated=no,
        truncated=no,
        final_obs=obs,
        info=info,
    )
