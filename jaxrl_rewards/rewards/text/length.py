"""Rewards for length: DAPO's penalty for answers that run too long, and a cosine over the length.

Their twins inside compiled programs are `credit.overlong_penalty` and
`rewards.text.jitted.cosine_length_reward`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from jaxrl_rewards.rewards.text.answers import AnswerReward
from jaxrl_rewards.rewards.text.scores import Scores, TextReward, check_unit, length_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverlongReward(TextReward):
    """`min(-(length - (longest - buffer)) / buffer * factor, 0)`: 0 up to the buffer's begin.

    DAPO (arXiv 2503.14476, eq. 13). With `floor` it ends at -factor, as in the paper; without, it
    goes on falling beyond `longest`, as in verl. In tokens it does not apply where the trainer
    gives none (`completion_ids`). Terms: "length".
    """

    longest: int = 20480
    buffer: int = 4096
    factor: float = 1.0
    unit: str = "tokens"
    floor: bool = False
    name: str = "overlong"

    def __post_init__(self) -> None:
        """Check the lengths."""
        check_unit(self.unit)
        if not 0 < self.buffer <= self.longest:
            raise ValueError(
                f"buffer is {self.buffer} and longest {self.longest}; use 0 < buffer <= longest"
            )

    @property
    def terms(self) -> tuple[str, ...]:
        """See `TextReward`."""
        return ("length",)

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """See `TextReward`."""
        length = length_of(text, row, self.unit)
        if length < 0:
            return self.nothing()
        penalty = overlong_reward(length, self.longest, self.buffer, self.factor)
        return Scores(
            max(penalty, -self.factor) if self.floor else penalty, {"length": float(length)}
        )


def overlong_reward(length: float, longest: float, buffer: float, factor: float = 1.0) -> float:
    """DAPO's soft penalty of one length; see `OverlongReward`."""
    return min(-(length - (longest - buffer)) / buffer * factor, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CosineLengthReward(TextReward):
    """A cosine from the value of an empty answer to that of the longest, for right and for wrong.

    `value(0) -> value(longest)` as `end + (start - end) (1 + cos(pi length / longest)) / 2`, with
    `right = (start, end)` and `wrong = (start, end)`; beyond `longest`, `exceeded`. Yeo et al.,
    arXiv 2502.03373. Does not apply without a target, or in tokens where there are none. Terms:
    "correct", "length".
    """

    longest: int = 4096
    right: tuple[float, float] = (1.0, 0.5)
    wrong: tuple[float, float] = (-1.0, -0.5)
    exceeded: float = -1.0
    unit: str = "tokens"
    answer: AnswerReward = AnswerReward()
    name: str = "cosine_length"

    def __post_init__(self) -> None:
        """Check the length."""
        check_unit(self.unit)
        if self.longest <= 0:
            raise ValueError(f"longest is {self.longest}; use a positive length")

    @property
    def terms(self) -> tuple[str, ...]:
        """See `TextReward`."""
        return ("correct", "length")

    def is_one_target(self, name: str, value: Any) -> bool:
        """See `TextReward`."""
        return self.answer.is_one_target(name, value)

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """See `TextReward`."""
        length, answered = length_of(text, row, self.unit), self.answer.score(text, row)
        if length < 0 or not answered.applies:
            return self.nothing()
        correct = answered.total == self.answer.correct
        ends = self.right if correct else self.wrong
        value = cosine_length_reward(length, self.longest, *ends, self.exceeded)
        return Scores(value, {"correct": float(correct), "length": float(length)})


def cosine_length_reward(
    length: float, longest: float, start: float, end: float, exceeded: float
) -> float:
    """The cosine of one length; see `CosineLengthReward`."""
    if length > longest:
        return exceeded
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * length / longest))
