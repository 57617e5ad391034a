"""One record per candidate, kept under its number for the whole search."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design.eureka.scores import FAILED
from jaxrl_rewards.reward_design.programs.expression import Program
from jaxrl_rewards.reward_design.programs.slots import Slot

WAITING, TRAINED = "waiting", "trained"
NO_ANSWER, NO_PROGRAM, REFUSED = "no answer", "no program", "refused"
OVER_BUDGET, BROKE = "over budget", "training broke"
STATUSES = (WAITING, TRAINED, NO_ANSWER, NO_PROGRAM, REFUSED, OVER_BUDGET, BROKE)
FAILURES = STATUSES[2:]


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What a proposer hands over for one candidate: a program's text, or why there is none."""

    text: str = ""
    slots: tuple[Slot, ...] | None = None
    """The same program as slots, where the proposer made it so."""
    origin: str = ""
    """How it came about: fresh, mutation, added term, crossover, chat, human, replay."""
    parents: tuple[int, ...] = ()
    status: str = WAITING
    error: str = ""

    def __post_init__(self):
        if self.status not in STATUSES:
            raise InputError(f"status {self.status!r} is unknown; choose one of {STATUSES}")


@dataclasses.dataclass
class Candidate:
    """A program with what became of it."""

    number: int
    """Its place in the search, from 0, over all generations and failures."""
    generation: int
    proposal: Proposal
    status: str
    error: str = ""
    program: Program | None = None
    fitness: tuple[float, ...] = ()
    """Success of every training."""
    logs: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    """Per update, over trainings: each term, `consecutive_successes`, `gt_reward`, `gpt_reward`."""

    doubt: float = 0.0
    """Imagined trainings without success: few good trainings then count less than many."""

    @property
    def score(self) -> float:
        """Mean fitness over the trainings; -10000 for a failure or one not yet trained."""
        if self.status != TRAINED:
            return FAILED
        return float(np.sum(self.fitness)) / (len(self.fitness) + self.doubt)

    def record(self) -> dict[str, Any]:
        """Plain values for a results file."""
        return {
            "number": self.number,
            "generation": self.generation,
            "origin": self.proposal.origin,
            "parents": list(self.proposal.parents),
            "status": self.status,
            "error": self.error,
            "program": self.proposal.text,
            "fitness": list(self.fitness),
        }


def finish(candidate: Candidate, fitness: Sequence[float], logs: Mapping[str, Any]) -> None:
    """Write the outcome of a candidate's trainings into its record.

    A fitness that is not finite marks the candidate as broken, with the reason.
    """
    if len(fitness) < 1:
        raise InputError(f"candidate {candidate.number} needs at least one training's fitness")
    values = tuple(float(value) for value in fitness)
    if all(math.isfinite(value) for value in values):
        candidate.status = TRAINED
        candidate.fitness = (*candidate.fitness, *values)
        candidate.logs = {name: [float(v) for v in series] for name, series in logs.items()}
        return
    count = sum(not math.isfinite(value) for value in values)
    candidate.status = BROKE
    candidate.error = f"{count} of {len(values)} trainings met a gradient that is not finite"
