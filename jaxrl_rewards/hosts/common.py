"""What the adapters share: rows from columns, and scoring of a batch, awaited or not."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxrl_rewards.rewards.text.scores import (
    Scores,
    TextReward,
    as_reward,
    as_scores,
    is_asynchronous,
    text_of,
)

Tokenize = Callable[[str], Sequence]
"""The tokens of a text, for rewards of length in trainers that give none."""


def checked(reward: Any, asynchronous: bool) -> TextReward:
    """`reward` as a text reward; ValueError where it must be awaited and would not be."""
    reward = as_reward(reward)
    if is_asynchronous(reward) and not asynchronous:
        raise ValueError(f"{reward.name} must be awaited; give asynchronous=True")
    return reward


def rows_of(
    reward: TextReward, count: int, columns: Mapping[str, Any], prompts: Sequence | None = None
) -> list[dict[str, Any]]:
    """One row for each of `count` completions.

    A column with `count` entries is split; anything else, and what the reward takes for one target,
    goes to every row as it is.
    """
    split, shared = {}, {}
    for name, value in columns.items():
        listed = isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) >= 1
        whole = not listed or len(value) != count or reward.is_one_target(name, value)
        (shared if whole else split)[name] = value
    if prompts is not None and not isinstance(prompts, str) and len(prompts) == count:
        split["prompt"] = prompts
    return [
        shared | {name: values[index] for name, values in split.items()} for index in range(count)
    ]


def with_tokens(row: dict[str, Any], completion: Any, tokenize: Tokenize | None) -> dict[str, Any]:
    """The row with the completion's tokens where they are missing and can be made."""
    if tokenize is None or row.get("completion_ids") is not None:
        return row
    text = text_of(completion)
    return row if text is None else row | {"completion_ids": tokenize(text)}


def score_all(reward: TextReward, completions: Sequence, rows: Sequence[Mapping]) -> list[Scores]:
    """The scores of each completion with its row."""
    return [
        as_scores(reward(completion, row))
        for completion, row in zip(completions, rows, strict=True)
    ]


async def score_all_awaited(
    reward: TextReward, completions: Sequence, rows: Sequence[Mapping]
) -> list[Scores]:
    """The same without holding up the event loop: coroutines side by side, else in a thread."""
    if not is_asynchronous(reward):
        return await asyncio.to_thread(score_all, reward, completions, rows)

    async def one(completion: Any, row: Mapping) -> Scores:
        value = reward(completion, row)
        return as_scores(await value if inspect.isawaitable(value) else value)

    return list(await asyncio.gather(*map(one, completions, rows)))


def fields_of(thing: Any) -> dict[str, Any]:
    """The fields of a mapping, a model, or an object; none of anything else."""
    if isinstance(thing, Mapping):
        return dict(thing)
    if hasattr(thing, "model_dump"):
        return thing.model_dump()
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    return dict(vars(thing)) if hasattr(thing, "__dict__") else {}


def known_or(value: float, otherwise: float) -> float:
    """`value`, or `otherwise` where it is NaN (not applicable)."""
    return otherwise if math.isnan(value) else value
