"""Statistics of trained candidates: reflection, selection, and the human-normalised score.

Source: Ma et al., "Eureka", ICLR 2024, arXiv 2310.12931, and its published code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxrl_rewards.core.errors import InputError

FAILED = -10000.0
"""The fitness of a candidate that could not be trained."""

SUCCESS, TOTALS = "consecutive_successes", ("gt_reward", "gpt_reward")


class Reflection(NamedTuple):
    """What a proposer is told of a training run."""

    epoch_freq: int
    """Every how many entries a series is shown."""
    lines: list[str]
    fitness: float | None
    """The largest success logged; None where success was not logged."""


class Selection(NamedTuple):
    """The outcome of one iteration."""

    index: int
    iteration_best: float
    overall_best: float
    all_failed: bool


def reward_reflection(logs: Mapping[str, Sequence[float]]) -> Reflection:
    """The text of a run's statistics: `name: [values], Max: m, Mean: m, Min: m `.

    `logs` maps a tag to its series, all of the length T >= 1 of `gt_reward`. Every
    `max(T//10, 1)`-th value is shown with two decimals; maximum, mean and minimum are over all T.
    Tags with a slash are left out, success is shown as `task_score`, and the total rewards (as
    `ground-truth score`) only where there is no success series. InputError when a series is
    missing, empty, of another length or not numeric.
    """
    if "gt_reward" not in logs:
        raise InputError("the logs hold no series 'gt_reward', which sets their length")
    steps = len(logs["gt_reward"])
    if steps < 1:
        raise InputError("the series 'gt_reward' is empty; a run needs at least one entry")
    every = max(steps // 10, 1)
    lines: list[str] = []
    for tag, series in logs.items():
        if "/" in tag:
            continue
        if len(series) != steps:
            raise InputError(f"series {tag!r} has {len(series)} entries, 'gt_reward' has {steps}")
        try:
            values = [float(value) for value in series]
        except (TypeError, ValueError) as error:
            raise InputError(f"series {tag!r} holds something that is no number") from error
        if tag in TOTALS and SUCCESS in logs:
            continue
        name = {SUCCESS: "task_score"}.get(tag, "ground-truth score" if tag in TOTALS else tag)
        shown = [f"{value:.2f}" for value in values[::every]]
        mean = sum(values) / steps
        lines.append(
            f"{name}: {shown}, Max: {max(values):.2f}, Mean: {mean:.2f}, Min: {min(values):.2f} "
        )
    fitness = max(map(float, logs[SUCCESS])) if SUCCESS in logs else None
    return Reflection(every, lines, fitness)


def select_candidate(fitness: Sequence[float], best_so_far: float) -> Selection:
    """The first candidate of largest fitness, and the best ever.

    Failed candidates carry -10000. If all failed, the index is 0 and the best stays. InputError
    when there is no candidate or a fitness is not finite.
    """
    values = [float(value) for value in fitness]
    if not values:
        raise InputError("there is no candidate to select from; give at least one fitness")
    for number, value in enumerate(values):
        if not math.isfinite(value):
            raise InputError(f"candidate {number} has fitness {value}; use {FAILED} for a failure")
    best = max(values)
    all_failed = best <= FAILED
    overall = float(best_so_far) if all_failed else max(best, float(best_so_far))
    return Selection(values.index(best), best, overall, all_failed)


def human_normalized_score(method: float, sparse: float, human: float) -> float:
    """`(method − sparse) / |human − sparse|`; NaN where the human reward equals the sparse one."""
    gap = abs(human - sparse)
    return (method - sparse) / gap if gap > 0 else math.nan
