"""What a proposer is and is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from jaxrl_rewards.reward_design.eureka.candidates import FAILURES, TRAINED, Candidate, Proposal
from jaxrl_rewards.reward_design.programs.quantities import Quantities


@dataclasses.dataclass(frozen=True)
class Context:
    """All that a proposer may know; success itself is no quantity."""

    quantities: Quantities
    task: str
    generation: int
    archive: Sequence[Candidate]
    """Every candidate so far, failures included, by number."""
    best: Candidate | None = None
    """The program shown as the example to improve on."""
    reflection: tuple[str, ...] = ()
    """Lines about its training, or what a person wrote in their place."""

    def ranked(self) -> list[Candidate]:
        """Trained candidates, best first; ties by number."""
        trained = [one for one in self.archive if one.status == TRAINED]
        return sorted(trained, key=lambda one: (-one.score, one.number))

    def failures(self) -> list[Candidate]:
        """Failed candidates of the generation before this one."""
        before = self.generation - 1
        return [c for c in self.archive if c.status in FAILURES and c.generation == before]


class Proposer(Protocol):
    """Anything that writes reward programs."""

    def propose(self, context: Context, count: int) -> list[Proposal]:
        """`count` proposals, good or failed; must not raise for what a server or model did."""
        ...
