"""Rewards for a right answer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from jaxrl_rewards.rewards.text.compare import same_answer
from jaxrl_rewards.rewards.text.extract import (
    METHODS,
    NUMBER,
    extract_answer,
    extract_inner,
    last_number_match,
)
from jaxrl_rewards.rewards.text.scores import Scores, TextReward, target_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerReward(TextReward):
    """`correct` where the completion's answer says what the target says, else `wrong`.

    The answer is found by `extract_answer` and compared by `same_answer`. The target stands in
    `column`, or in the first of `ground_truth, answer, solution, target, gold`; a whole solution
    that ends in `#### 5` or `\\boxed{5}` will do, and of a list any entry. Without a target the
    reward does not apply. Terms: "found", 1 where an answer was found.
    """

    correct: float = 1.0
    wrong: float = 0.0
    column: str | None = None
    methods: tuple[str, ...] = tuple(METHODS)
    thoughts: bool = False
    name: str = "answer"

    def __post_init__(self) -> None:
        """Check the methods."""
        if unknown := set(self.methods) - set(METHODS):
            raise ValueError(f"{sorted(unknown)} are no methods; use {', '.join(METHODS)}")

    @property
    def terms(self) -> tuple[str, ...]:
        """See `TextReward`."""
        return ("found",)

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """See `TextReward`."""
        golds = _targets(target_of(row, self.column))
        if not golds:
            return self.nothing()
        answer = extract_answer(text, self.methods, thoughts=self.thoughts)
        right = answer is not None and any(same_answer(answer, gold) for gold in golds)
        found = {"found": float(answer is not None)}
        return Scores(self.correct if right else self.wrong, found)


def answer_reward(completion: str, target: Any) -> float:
    """1.0 where the answer in `completion` says what `target` says, else 0.0."""
    return AnswerReward()(completion, {"ground_truth": target}).total


def _targets(value: Any) -> tuple[str, ...]:
    """The answers that count as right."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None:
        return ()
    values = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(_gold(v if isinstance(v, str) else _written(v)) for v in values if v is not None)


def _written(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else str(value)


@functools.lru_cache(maxsize=4096)
def _gold(text: str) -> str:
    """The answer within a whole solution."""
    if "####" in text or "\\boxed" in text or "\\fbox" in text:
        return extract_inner(text) or text
    return text


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberReward(TextReward):
    """`correct` where the completion's number equals the target's, digit by digit, else `wrong`.

    The number is the first one after the last `marker`, or the last of the text where the marker
    is "" or does not occur. Thousands separators, leading zeros and zeros that end decimals do not
    count. Without a number in the target the reward does not apply. Its twin inside compiled
    programs is `rewards.text.jitted.number_reward`.
    """

    correct: float = 1.0
    wrong: float = 0.0
    marker: str = "####"
    column: str | None = None
    name: str = "number"

    @property
    def terms(self) -> tuple[str, ...]:
        """See `TextReward`."""
        return ("found",)

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """See `TextReward`."""
        target = target_of(row, self.column)
        gold = None if target is None else find_number(_written_target(target), self.marker)
        if gold is None:
            return self.nothing()
        answer = find_number(text, self.marker)
        found = {"found": float(answer is not None)}
        return Scores(self.correct if answer == gold else self.wrong, found)


def _written_target(value: Any) -> str:
    return value if isinstance(value, str) else _written(value)


def find_number(text: str, marker: str = "####") -> tuple[bool, str, str] | None:
    """`(negative, digits, decimals)` of the number that a text gives, or None; see NumberReward."""
    _, found, rest = text.rpartition(marker) if marker else ("", "", text)
    match = NUMBER.search(rest) if found else last_number_match(text)
    if match is None:
        return None
    whole, _, decimals = match.group().replace(",", "").lstrip("-").partition(".")
    whole, decimals = whole.lstrip("0"), decimals.rstrip("0")
    return match.group()[0] == "-" and bool(whole or decimals), whole, decimals
