"""Score functions for verl (`reward.custom_reward_function.path` and `.name`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxrl_rewards.hosts.common import (
    Tokenize,
    checked,
    known_or,
    score_all,
    score_all_awaited,
    with_tokens,
)
from jaxrl_rewards.rewards.text.scores import Scores


def verl_score(
    reward: Any,
    *,
    asynchronous: bool = False,
    not_applicable: float = 0.0,
    tokenize: Tokenize | None = None,
) -> Callable[..., Any]:
    """`compute_score(data_source, solution_str, ground_truth, extra_info=None, **kw) -> dict`.

    The dict holds "score", each term, and "applicable" (1 or 0), always under the same names, as
    verl needs it. A NaN would spread to the whole batch there, so where the reward, or a term, does
    not apply it reads `not_applicable`. Entries of `extra_info` are the row's columns; `tokenize`
    gives the tokens for rewards of length.
    """
    reward = checked(reward, asynchronous)

    def given(completion: Any, *parts: Any) -> dict[str, Any]:
        return with_tokens(_row(*parts), completion, tokenize)

    def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
        row = given(solution_str, data_source, ground_truth, extra_info, kwargs)
        return _told(score_all(reward, [solution_str], [row])[0], not_applicable)

    async def compute_score_awaited(
        data_source, solution_str, ground_truth, extra_info=None, **kwargs
    ):
        row = given(solution_str, data_source, ground_truth, extra_info, kwargs)
        scores = await score_all_awaited(reward, [solution_str], [row])
        return _told(scores[0], not_applicable)

    return compute_score_awaited if asynchronous else compute_score


def verl_batch_score(
    reward: Any, *, not_applicable: float = 0.0, tokenize: Tokenize | None = None
) -> Callable[..., list[dict[str, float]]]:
    """`compute_score(data_sources, solution_strs, ground_truths, extra_infos, **kw) -> [dict]`.

    For verl's batch reward manager; else as `verl_score`.
    """
    one = verl_score(reward, not_applicable=not_applicable, tokenize=tokenize)

    def compute_score(
        data_sources: Sequence,
        solution_strs: Sequence,
        ground_truths: Sequence,
        extra_infos: Sequence | None = None,
        **kwargs: Any,
    ) -> list[dict[str, float]]:
        infos = [None] * len(solution_strs) if extra_infos is None else extra_infos
        given = zip(data_sources, solution_strs, ground_truths, infos, strict=True)
        return [one(*entry, **kwargs) for entry in given]

    return compute_score


def _row(data_source: Any, ground_truth: Any, extra_info: Any, kwargs: dict) -> dict[str, Any]:
    info = dict(extra_info) if isinstance(extra_info, Mapping) else {}
    return kwargs | info | {"data_source": data_source, "ground_truth": ground_truth}


def _told(scores: Scores, not_applicable: float) -> dict[str, float]:
    terms = {name: known_or(value, not_applicable) for name, value in scores.terms.items()}
    total = known_or(scores.total, not_applicable)
    return {"score": total, **terms, "applicable": float(scores.applies)}
