"""Reward functions for TRL's GRPO and RLOO trainers (`reward_funcs=[...]`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jaxrl_rewards.hosts.common import checked, rows_of, score_all, score_all_awaited
from jaxrl_rewards.rewards.text.scores import Scores


def trl_reward(reward: Any, *, asynchronous: bool = False, log: bool = True) -> Callable[..., Any]:
    """`f(prompts, completions, completion_ids, trainer_state, log_extra, log_metric, **columns)`.

    It returns a list of numbers, `None` where the reward does not apply, and bears the reward's
    name. Columns of the data set come as lists. With `log`, each term is logged as the metric
    `reward/term` (its mean over the completions to which it applies, NaN where there are none: all
    processes log the same names) and as a column of the table of completions. `asynchronous` gives
    a coroutine function.
    """
    reward = checked(reward, asynchronous)

    def prepared(prompts: Any, completions: Sequence, completion_ids: Any, columns: dict) -> list:
        if completion_ids is not None:
            columns = columns | {"completion_ids": completion_ids}
        return rows_of(reward, len(completions), columns, prompts)

    def finished(scores: list[Scores], log_extra: Any, log_metric: Any) -> list[float | None]:
        for term in reward.terms if log else ():
            values = [one.terms[term] for one in scores]
            if log_extra is not None:
                log_extra(f"{reward.name}/{term}", values)
            if log_metric is not None:
                log_metric(f"{reward.name}/{term}", _mean(values))
        return [one.total if one.applies else None for one in scores]

    def score(
        prompts=None,
        completions=(),
        completion_ids=None,
        trainer_state=None,
        log_extra=None,
        log_metric=None,
        **columns,
    ):
        rows = prepared(prompts, completions, completion_ids, columns)
        return finished(score_all(reward, completions, rows), log_extra, log_metric)

    async def score_awaited(
        prompts=None,
        completions=(),
        completion_ids=None,
        trainer_state=None,
        log_extra=None,
        log_metric=None,
        **columns,
    ):
        rows = prepared(prompts, completions, completion_ids, columns)
        scores = await score_all_awaited(reward, completions, rows)
        return finished(scores, log_extra, log_metric)

    function = score_awaited if asynchronous else score
    function.__name__ = function.__qualname__ = reward.name
    function.__doc__ = type(reward).__doc__
    return function


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
