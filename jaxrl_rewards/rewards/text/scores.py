"""What a text reward is: a completion and the columns of its row in, a total and its terms out."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

NOT_APPLICABLE = math.nan
"""The value of a term, or of a total, that says nothing of a completion."""

TARGETS = ("ground_truth", "answer", "solution", "target", "gold")
"""Columns in which a target is looked for, in this order, where none is named."""


class Scores(NamedTuple):
    """What a reward says of one completion; NaN where it does not apply."""

    total: float
    terms: dict[str, float]

    @property
    def applies(self) -> bool:
        """Whether there is a total."""
        return not math.isnan(self.total)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextReward:
    """Base of the rewards for text: `reward(completion, row) -> Scores`, a pure function.

    A completion is a string or chat messages (the last answer of the assistant counts); `None` is
    scored as not applicable. `row` holds the columns of the data set, and `completion_ids` where
    the trainer gives tokens; unknown ones are ignored.
    """

    name: str = "reward"

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms, the same for every completion."""
        return ()

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """The scores of a plain text."""
        raise NotImplementedError

    def is_one_target(self, name: str, value: Any) -> bool:
        """Whether a column's value is one target for all completions though it is a list."""
        return False

    def __call__(self, completion: Any, row: Mapping[str, Any] | None = None) -> Scores:
        """The scores of a completion."""
        text = text_of(completion)
        if text is None:
            return self.nothing()
        return self.score(text, row or {})

    def nothing(self) -> Scores:
        """The scores where the reward does not apply."""
        return Scores(NOT_APPLICABLE, dict.fromkeys(self.terms, NOT_APPLICABLE))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FunctionTextReward(TextReward):
    """A function `(text, row) -> float, Scores or None` as a text reward."""

    function: Callable[[str, Mapping[str, Any]], Any]

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """See `TextReward`; of a coroutine function, an awaitable of the scores."""
        value = self.function(text, row)
        return _awaited(value) if inspect.isawaitable(value) else as_scores(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSum(TextReward):
    """The weighted sum of several rewards, over those that apply; its terms are theirs.

    Where none applies, the sum does not. A reward's total is the term of its name, its own terms
    are `name/term`.
    """

    rewards: tuple[TextReward, ...]
    weights: tuple[float, ...] | None = None
    name: str = "sum"

    def __post_init__(self) -> None:
        """Check the weights and the names."""
        if self.weights is not None and len(self.weights) != len(self.rewards):
            raise ValueError(
                f"{len(self.weights)} weights do not fit {len(self.rewards)} rewards; give one each"
            )
        names = [reward.name for reward in self.rewards]
        if len(set(names)) != len(names):
            raise ValueError(f"two rewards are named alike in {names}; give them other names")
        if late := [reward.name for reward in self.rewards if is_asynchronous(reward)]:
            raise ValueError(f"{late} must be awaited; give them to the trainer by themselves")

    @property
    def terms(self) -> tuple[str, ...]:
        """See `TextReward`."""
        return tuple(
            name for r in self.rewards for name in (r.name, *(f"{r.name}/{t}" for t in r.terms))
        )

    def is_one_target(self, name: str, value: Any) -> bool:
        """See `TextReward`."""
        return any(reward.is_one_target(name, value) for reward in self.rewards)

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """See `TextReward`."""
        total, applies, terms = 0.0, False, {}
        weights = self.weights or (1.0,) * len(self.rewards)
        for reward, weight in zip(self.rewards, weights, strict=True):
            scores = reward.score(text, row)
            terms[reward.name] = scores.total
            terms |= {f"{reward.name}/{name}": value for name, value in scores.terms.items()}
            if scores.applies:
                total, applies = total + weight * scores.total, True
        return Scores(total if applies else NOT_APPLICABLE, terms)


async def _awaited(value: Any) -> Scores:
    return as_scores(await value)


def as_reward(reward: Any) -> TextReward:
    """`reward` itself, or a function `(text, row) -> float` as a reward of its name."""
    if isinstance(reward, TextReward):
        return reward
    if not callable(reward):
        raise ValueError(f"{reward!r} is no text reward; give one, or a function (text, row)")
    return FunctionTextReward(function=reward, name=getattr(reward, "__name__", "reward"))


def as_scores(value: Any) -> Scores:
    """What a reward returned as Scores: a number, None, or Scores."""
    if isinstance(value, Scores):
        return value
    return Scores(NOT_APPLICABLE if value is None else float(value), {})


def is_asynchronous(reward: Any) -> bool:
    """Whether a reward must be awaited."""
    function = getattr(reward, "function", reward)
    call = type(reward).__dict__.get("__call__")
    score = getattr(reward, "score", None)
    return any(map(inspect.iscoroutinefunction, (function, call, score)))


# ---------------------------------------------------------------- completions and columns


def text_of(completion: Any) -> str | None:
    """The text of a completion; None where there is none.

    Of chat messages (mappings or objects with `role` and `content`) the last one with text that is
    not of a user, a system or a tool; "" where there is none. Parts of a message are joined.
    ValueError for anything else.
    """
    if completion is None or isinstance(completion, str):
        return completion
    if isinstance(completion, bytes):
        return completion.decode("utf-8", "replace")
    if isinstance(completion, Mapping) or hasattr(completion, "content"):
        return _content(completion)
    if hasattr(completion, "tolist"):
        completion = completion.tolist()
        if isinstance(completion, str):
            return completion
    if isinstance(completion, Sequence):
        for message in reversed(completion):
            if isinstance(message, str):
                return message
            if _field(message, "role") in ("user", "system", "tool", "developer"):
                continue
            if text := _content(message):
                return text
        return ""
    raise ValueError(
        f"a completion is a string or a list of chat messages, got {type(completion).__name__}"
    )


def _field(message: Any, name: str) -> Any:
    if isinstance(message, Mapping):
        return message.get(name)
    return getattr(message, name, None)


def _content(message: Any) -> str:
    content = _field(message, "content")
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Sequence):
        texts = (part if isinstance(part, str) else _field(part, "text") for part in content)
        return "".join(text for text in texts if isinstance(text, str))
    return str(content)


def target_of(row: Mapping[str, Any], column: str | None = None, others: tuple = ()) -> Any:
    """The target in a row, or None: `column` where it is named, else the first of the usual ones.

    verl's `reward_model: {"ground_truth": ...}` is looked into. "" and NaN count as none.
    """
    names = (column,) if column else (*others, *TARGETS)
    for name in names:
        value = row.get(name)
        if value is not None and not _is_empty(value):
            return value
    inner = row.get("reward_model")
    return target_of(inner, column, others) if isinstance(inner, Mapping) else None


def _is_empty(value: Any) -> bool:
    return value == "" if isinstance(value, str) else isinstance(value, float) and value != value


def length_of(text: str, row: Mapping[str, Any], unit: str) -> int:
    """The length of a completion in "tokens", "words" or "characters".

    Tokens are those of `completion_ids`; -1 where they are not given.
    """
    if unit == "tokens":
        ids = row.get("completion_ids")
        return -1 if ids is None else len(ids)
    return len(text.split()) if unit == "words" else len(text)


def check_unit(unit: str) -> None:
    """ValueError unless `unit` is one of those of `length_of`."""
    if unit not in ("tokens", "words", "characters"):
        raise ValueError(f"unit is {unit!r}; use tokens, words or characters")
