"""The records that pass between worlds, credit, losses and learners."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core.pytree import Record, record

PyTree = Any


@record
class TimeStep(Record):
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
    broken: Bool[Array, ""] = np.False_
    """Whether the world or its reward broke in the step just taken; set where it is contained
    (`jaxrl_rewards.rollout.contain`), not by worlds."""

    @property
    def done(self) -> Bool[Array, ""]:
        """Whether the episode ended, for either reason."""
        return self.terminated | self.truncated


@record
class Trajectories(Record):
    """Sequences of decisions, from whatever collected them; leaves `[*lead, T, ...]`.

    `lead` is `(B,)` worlds, `(P, G)` prompts and the answers to each, or `(queries, n)`. Position
    `t` holds the decision taken on `obs[t]` and what the world made of it. Fields that a learner
    has no use for are `()`.
    """

    obs: PyTree
    action: PyTree
    log_prob: Float[Array, "*lead T"]
    """Of the policy that acted; `[*lead, T, K]` where an action's K components are told apart."""
    reward: Float[Array, "*lead T"]
    """0 where not `alive`, and where the step was `broken`."""
    terms: dict[str, Float[Array, "*lead T"]]
    applicable: dict[str, Bool[Array, "*lead T"]]
    terminated: Bool[Array, "*lead T"]
    truncated: Bool[Array, "*lead T"]
    alive: Bool[Array, "*lead T"]
    """The episode still ran before this step. A world stands still after its end."""
    own: Bool[Array, "*lead T"]
    """The policy chose this action in a sound world: the position enters loss, KL, entropy and
    statistics. False on prompts, on what the world forced, on broken steps and on padding."""
    broken: Bool[Array, "*lead T"]
    """The world or its reward broke in this step, and was contained."""
    turn: Int[Array, "*lead T"]
    """Number of the decision unit that the position belongs to, from 0; -1 outside."""
    group: Int[Array, "*lead"]
    """Number of the prompt (initial state) that the sequence answers."""
    info: Any
    """The worlds' `info`; `()` unless kept."""
    value: Any = ()
    """V of `obs`, float32 `[*lead, T]`, where a critic looked on."""
    next_value: Any = ()
    """V of the true successor observation, before any auto-reset."""
    valid: Any = ()
    """Actions that were allowed, bool `[*lead, T, n]`, where the world restricts them."""

    @property
    def done(self) -> Bool[Array, "*lead T"]:
        """Episode ends of either kind."""
        return self.terminated | self.truncated


def first_timestep(obs: PyTree, reward_names: tuple[str, ...], info: dict[str, Any]) -> TimeStep:
    """The `TimeStep` of a `reset`: reward 0, no end, `final_obs` = `obs`."""
    zero = jnp.zeros((), jnp.float32)
    no = jnp.zeros((), bool)
    return TimeStep(
        obs=obs,
        reward=zero,
        terms={name: zero for name in reward_names},
        applicable={name: no for name in reward_names},
        terminated=no,
        truncated=no,
        final_obs=obs,
        info=info,
        chosen=jnp.ones((), bool),
        broken=no,
    )
