"""Rubrics for OpenEnv: `forward(action, observation) -> float`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jaxrl_rewards.hosts.common import (
    Tokenize,
    checked,
    fields_of,
    known_or,
    score_all,
    score_all_awaited,
    with_tokens,
)
from jaxrl_rewards.rewards.text.scores import NOT_APPLICABLE, Scores

_TEXTS = ("completion", "response", "message", "answer", "text", "content")


class PlainRubric:
    """What a rubric needs where OpenEnv's own base is not given."""

    last_score: float | None = None

    def __call__(self, action: Any, observation: Any) -> Any:
        """The reward of an action (an awaitable of it where `forward` is a coroutine function)."""
        self.last_score = self.forward(action, observation)
        return self.last_score


def openenv_rubric(
    reward: Any,
    base: type = PlainRubric,
    *,
    text: Callable[[Any], Any] | None = None,
    asynchronous: bool = False,
    not_applicable: float = 0.0,
    tokenize: Tokenize | None = None,
) -> Any:
    """A rubric `forward(action, observation) -> float`, a subclass's instance of `base`.

    Give OpenEnv's `Rubric` for `base`, so that it can be put into containers. The completion is
    `text(action)`, else the action itself if it is a string, else its field `completion`,
    `response`, `message`, `answer`, `text` or `content`. The row is the observation's fields, with
    those of its `metadata`. After a call `last_terms` holds the terms. Where the reward does not
    apply it reads `not_applicable`, since containers add numbers.
    """
    reward = checked(reward, asynchronous)

    def given(action: Any, observation: Any) -> tuple[Any, dict]:
        completion = text(action) if text is not None else _completion(action)
        return completion, with_tokens(_row(observation), completion, tokenize)

    def told(self: Any, scores: Scores) -> float:
        self.last_terms = scores.terms
        return known_or(scores.total, not_applicable)

    class TextRubric(base):
        """A text reward as a rubric."""

        last_terms: dict[str, float] = dict.fromkeys(reward.terms, NOT_APPLICABLE)

        def forward(self, action: Any, observation: Any) -> float:
            completion, row = given(action, observation)
            return told(self, score_all(reward, [completion], [row])[0])

    class AwaitedTextRubric(TextRubric):
        """The same, awaited."""

        async def forward(self, action: Any, observation: Any) -> float:
            completion, row = given(action, observation)
            return told(self, (await score_all_awaited(reward, [completion], [row]))[0])

    return (AwaitedTextRubric if asynchronous else TextRubric)()


def _completion(action: Any) -> Any:
    """The text, or the messages, of an action."""
    if action is None or isinstance(action, (str, list, tuple)):
        return action
    values = (_field(action, name) for name in _TEXTS)
    return next((value for value in values if value is not None), None)


def _row(observation: Any) -> dict[str, Any]:
    metadata = _field(observation, "metadata")
    return {**(metadata if isinstance(metadata, Mapping) else {}), **fields_of(observation)}


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
