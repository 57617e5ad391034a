"""The contract of a learner: a pair of pure functions over one state pytree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Int

from jaxrl_rewards.core import Record, record

Metrics = dict[str, Array]


@record
class LearnerState(Record):
    """Everything of a run that changes; so save, resume, shard and vmap need no learner code."""

    params: Any
    """Network parameters."""
    opt_state: Any
    env_state: Any = ()
    """State of the worlds, their last `TimeStep`, and the policy's recurrent carry, if any."""
    normaliser: Any = ()
    """Running observation, reward and term statistics."""
    models: Any = ()
    """Further networks by name: "reference", reward models that learn beside the policy, frozen
    teachers. Placed over a mesh like `params`."""
    memory: Any = ()
    """What is kept of earlier updates to learn from: replay, prompts, counts."""
    summary: Any = ()
    """What the host is told of the last update beyond scalar metrics."""
    statistics: Any = ()
    """Episode statistics."""
    skipped: Int[Array, ""]
    """Optimiser steps refused because a gradient was not finite."""
    key: jax.Array
    step: Int[Array, ""]
    """Updates done, int32; one number for all seeds under `vmap`."""


class Learner(NamedTuple):
    """`init(key, hparams) -> LearnerState`, `update(state, hparams) -> (state, metrics)`.

    `hparams` is a pytree of sweepable numbers, the world's params (with the reward) among them.
    `metrics` is a dict of scalars with a fixed structure; both functions are jittable and
    vmappable over keys, states and hparams. Make the state with a jitted `init` where it is to be
    donated: an eager one may use a buffer twice.
    """

    init: Callable[[jax.Array, Any], LearnerState]
    update: Callable[[LearnerState, Any], tuple[LearnerState, Metrics]]
    samples_per_update: int
    """Environment steps (or tokens, or answers) that one update consumes."""
    hparams: Any
    """The default hyper-parameters."""
    act: Callable[..., Any] | None = None
    """`act(state, obs, carry, key, deterministic=True) -> (action, carry)`, unbatched `obs`; None
    where there is nothing to act with (supervised learners)."""
    batched: tuple[str, ...] = ("env_state", "statistics")
    """Fields of the state whose leaves lead with the worlds' axis: split over "data"."""
    receive: Callable[[LearnerState, Any], LearnerState] | None = None
    """`receive(state, given)`: the state with what a `train.HostPart` gives; None where a learner
    takes nothing from the host."""
    partition: Callable[[Any, Any], Any] | None = None
    """`partition(params, mesh) -> shardings` of a tree of parameters; by size when None. The
    optimiser's moments and `models` of the same structure follow it."""


def seed_axes(axis: int = 0) -> LearnerState:
    """`in_axes` and `out_axes` of a state under `vmap` over seeds: all but `step`, which is shared.

    jax.vmap(learner.init, in_axes=(0, None), out_axes=seed_axes())(keys, hparams)
    jax.vmap(learner.update, in_axes=(seed_axes(), None), out_axes=(seed_axes(), 0))(state, hparams)

    With one number for all seeds a `lax.cond` on the phase of training stays a branch.
    """
    names = [field.name for field in dataclasses.fields(LearnerState)]
    return LearnerState(**{name: None if name == "step" else axis for name in names})


def one_seed(state: LearnerState, index: int | Array) -> LearnerState:
    """The state of one of the seeds that were trained together."""
    alone = jax.tree.map(lambda leaf: leaf[index], state.replace(step=()))
    return alone.replace(step=state.step)
