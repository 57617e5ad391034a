"""Learners over weights that stay as they are (adapters on a large model, a frozen teacher).

The weights travel beside the hyper-parameters, as arguments of the compiled program and not as
constants in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxrl_rewards.core import record
from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics


@record
class FrozenHParams:
    """Hyper-parameters of a learner, and what it stands on."""

    learner: Any
    frozen: Any


def over_frozen(make: Callable[[Any], Learner], frozen: Any) -> Learner:
    """`make(frozen)` as a learner whose hyper-parameters carry `frozen`.

    `make` is called where `init` and `update` are traced, with `frozen` as it stands there.
    """
    learner = make(frozen)

    def init(key: Any, hparams: FrozenHParams) -> LearnerState:
        return make(hparams.frozen).init(key, hparams.learner)

    def update(state: LearnerState, hparams: FrozenHParams) -> tuple[LearnerState, Metrics]:
        return make(hparams.frozen).update(state, hparams.learner)

    return learner._replace(
        init=init, update=update, hparams=FrozenHParams(learner=learner.hparams, frozen=frozen)
    )
