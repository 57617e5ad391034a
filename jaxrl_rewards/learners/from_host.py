"""A learner whose hyper-parameters are given by the host while it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics


def takes_from_host(
    learner: Learner, place: Callable[[Any, Any], Any], first: Callable[[Any], Any]
) -> Learner:
    """`learner` trained with `place(hparams, given)`, `given` being what the host gave last.

    `first(hparams)` is what counts as given before that. It is kept in `LearnerState.memory`, so
    that a checkpoint holds it; see `train.HostPart`.
    """

    def init(key: jax.Array, hparams: Any) -> LearnerState:
        given = first(hparams)
        state = learner.init(key, place(hparams, given))
        return state.replace(memory={"inner": state.memory, "given": given})

    def update(state: LearnerState, hparams: Any) -> tuple[LearnerState, Metrics]:
        given = state.memory["given"]
        inner = state.replace(memory=state.memory["inner"])
        inner, metrics = learner.update(inner, place(hparams, given))
        return inner.replace(memory={"inner": inner.memory, "given": given}), metrics

    def receive(state: LearnerState, given: Any) -> LearnerState:
        return state.replace(memory={**state.memory, "given": given})

    return learner._replace(init=init, update=update, receive=receive)
