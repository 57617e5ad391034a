"""Reward functions for verifiers: for a `Rubric(funcs, weights)`, or as a method of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from jaxrl_rewards.rewards.text.scores import Scores, TextReward


def verifiers_function(
    reward: Any,
    *,
    term: str | None = None,
    group: bool = False,
    asynchronous: bool = False,
    not_applicable: float = 0.0,
    tokenize: Tokenize | None = None,
) -> Callable[..., Any]:
    """`f(completion, answer, info, state, **columns) -> float`, by argument names.

    `term` gives that term instead of the total. `group` gives the function of a whole group,
    `f(completions, answers, infos, states, **columns) -> list[float]`. Where the reward does not
    apply it reads `not_applicable`, since a rubric adds numbers. The row is made of the columns, of
    `info`, and of `answer` unless it is empty.
    """
    reward = checked(reward, asynchronous)

    def told(scores: Scores) -> float:
        value = scores.total if term is None else scores.terms[term]
        return known_or(value, not_applicable)

    def batch(completions: Sequence, answers: Any, infos: Any, columns: dict) -> list[dict]:
        count = len(completions)
        answers, infos = answers or [None] * count, infos or [None] * count
        entries = zip(completions, answers, infos, strict=True)
        return [with_tokens(_row(a, i, columns), c, tokenize) for c, a, i in entries]

    def one(completion, answer="", info=None, state=None, **columns):
        rows = batch([completion], [answer], [info], columns)
        return told(score_all(reward, [completion], rows)[0])

    async def one_awaited(completion, answer="", info=None, state=None, **columns):
        rows = batch([completion], [answer], [info], columns)
        return told((await score_all_awaited(reward, [completion], rows))[0])

    def many(completions, answers=None, infos=None, states=None, **columns):
        rows = batch(completions, answers, infos, columns)
        return list(map(told, score_all(reward, completions, rows)))

    async def many_awaited(completions, answers=None, infos=None, states=None, **columns):
        rows = batch(completions, answers, infos, columns)
        return list(map(told, await score_all_awaited(reward, completions, rows)))

    function = ((one, one_awaited), (many, many_awaited))[group][asynchronous]
    function.__name__ = reward.name if term is None else f"{reward.name}_{term.replace('/', '_')}"
    return function


def verifiers_rubric(reward: Any, **options: Any) -> dict[str, list]:
    """`{"funcs": [...], "weights": [...]}` for `Rubric(**...)`: the total with weight 1, and each
    term with weight 0, so that it is logged; `options` are those of `verifiers_function`."""
    reward = checked(reward, options.get("asynchronous", False))
    functions = [verifiers_function(reward, **options)]
    functions += [verifiers_function(reward, term=term, **options) for term in reward.terms]
    return {"funcs": functions, "weights": [1.0] + [0.0] * len(reward.terms)}


def verifiers_method(
    reward: Any, *, not_applicable: float = 0.0, tokenize: Tokenize | None = None
) -> Callable[..., Any]:
    """`async def f(self, trace) -> float` for a task of the second API, under its decorator.

    The completion is `trace.last_reply`, the row is the task's data (`self.data`), and the terms
    are recorded as metrics of the trace.
    """
    reward = checked(reward, True)

    async def method(self, trace):
        completion = trace.last_reply
        row = with_tokens(fields_of(getattr(self, "data", None)), completion, tokenize)
        scores = (await score_all_awaited(reward, [completion], [row]))[0]
        if hasattr(trace, "record_metrics"):
            trace.record_metrics(_metrics(reward, scores, not_applicable))
        return known_or(scores.total, not_applicable)

    method.__name__ = reward.name
    return method


def _metrics(reward: TextReward, scores: Scores, not_applicable: float) -> dict[str, float]:
    return {
        f"{reward.name}/{name}": known_or(value, not_applicable)
        for name, value in scores.terms.items()
    }


def _row(answer: Any, info: Any, columns: dict) -> dict[str, Any]:
    row = columns | (dict(info) if isinstance(info, Mapping) else {})
    return row if answer is None or answer == "" else row | {"answer": answer}
