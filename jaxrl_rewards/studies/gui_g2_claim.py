"""What the study claims, and whether the measured numbers bear it out."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import (
    StudyResult,
    Verdict,
    bootstrap_interval,
    difference_interval,
)

CLAIMS = (
    "Near misses only: the Gaussian reward reaches an accuracy of 0.85; hit-or-miss and the "
    "Gaussian paid only inside the box never start (at most 0.05).",
    "Some hits: the Gaussian reward reaches an accuracy of 0.75 in fewer updates than hit-or-miss; "
    "both end at 0.99 or more, the Gaussian with a mean centre distance of at most 1.2 px and an "
    "IoU > 0.5 rate of at least 0.4, hit-or-miss with at least 1.8 px and at most 0.2; the "
    "IoU > 0.5 reward alone never starts.",
    "Coverage matters: with near misses only, point alone and both reach the same accuracy, and "
    "both together the higher IoU > 0.5 rate.",
)


def arm_name(regime: str, arm: str) -> str:
    """The row of the table: "near miss: gaussian"."""
    return f"{regime}: {arm}"


def claim(result: StudyResult, config: Any) -> Verdict:
    """Claims 1 and 2 decide; claim 3 is reported as settled or not.

    A comparison passes when the 95 % interval of the paired difference over seeds excludes 0 on
    the claimed side. Seeds that never reach an accuracy of 0.75 count with one evaluation more
    than the budget.
    """
    near, some = "near miss", "some hits"
    never = config.some_hits_updates + config.evaluate_every

    def values(regime: str, arm: str, metric: str) -> np.ndarray:
        data = np.asarray(result.arms[arm_name(regime, arm)][metric], np.float64)
        return np.where(np.isnan(data), never, data)

    measured: dict[str, Any] = {}
    required: dict[str, str] = {}
    interval: dict[str, tuple[float, float]] = {}
    passed: list[bool] = []

    def level(regime, arm, metric, low=None, high=None, decides=True):
        name = f"{regime}: {metric.replace('_', ' ')}, {arm}"
        data = values(regime, arm, metric)
        measured[name], interval[name] = float(data.mean()), bootstrap_interval(data)
        if low is not None:
            required[name] = f">= {low:g}"
        else:
            required[name] = f"<= {high:g}"
        good = measured[name] >= low if low is not None else measured[name] <= high
        if decides:
            passed.append(bool(good))

    def better(regime, metric, first, second, sign, decides=True):
        """`sign` 1: `first` has the larger numbers."""
        name = f"{regime}: {metric.replace('_', ' ')}, {first} less {second}"
        one, two = values(regime, first, metric), values(regime, second, metric)
        low, high = difference_interval(one, two)
        measured[name], interval[name] = float((one - two).mean()), (low, high)
        required[name] = "interval above 0" if sign > 0 else "interval below 0"
        good = low > 0 if sign > 0 else high < 0
        if decides:
            passed.append(bool(good))
        return good

    level(near, "gaussian", "accuracy", low=0.85)
    for arm in ("point hit", "inside only"):
        level(near, arm, "accuracy", high=0.05)
        better(near, "accuracy", "gaussian", arm, 1)
    better(some, "updates_to_75", "gaussian", "point hit", -1)
    for arm in ("gaussian", "point hit"):
        level(some, arm, "accuracy", low=0.99)
    level(some, "gaussian", "distance", high=1.2)
    level(some, "point hit", "distance", low=1.8)
    better(some, "distance", "gaussian", "point hit", -1)
    level(some, "gaussian", "iou_rate", low=0.4)
    level(some, "point hit", "iou_rate", high=0.2)
    better(some, "iou_rate", "gaussian", "point hit", 1)
    level(some, "iou > 0.5", "accuracy", high=0.05)
    notes = [_coverage_note(measured, interval, values, near)]
    notes += [f"not met: {name}" for name in _missed(measured, required, interval)]
    return Verdict(
        passed=all(passed),
        measured=measured,
        required=required,
        seeds=config.seeds,
        interval=interval,
        notes=tuple(notes),
    )


def _coverage_note(measured, interval, values, regime: str) -> str:
    """Claim 3: the differences between both parts and the point alone, and what they settle."""
    words = []
    for metric in ("accuracy", "iou_rate"):
        both, point = (
            values(regime, "gaussian", metric),
            values(regime, "gaussian point only", metric),
        )
        name = f"{regime}: {metric.replace('_', ' ')}, gaussian less gaussian point only"
        low, high = difference_interval(both, point)
        measured[name], interval[name] = float((both - point).mean()), (low, high)
        word = "higher" if low > 0 else "lower" if high < 0 else "not told apart"
        words.append(
            f"{metric.replace('_', ' ')} {word} ({measured[name]:+.3f} [{low:+.3f}, {high:+.3f}])"
        )
    return "coverage added to the point reward, near misses only: " + "; ".join(words)


def _missed(measured, required, interval) -> list[str]:
    missed = []
    for name, text in required.items():
        value, (low, high) = measured[name], interval[name]
        good = {
            "interval above 0": low > 0,
            "interval below 0": high < 0,
        }.get(text)
        if good is None:
            number = float(text.split()[1])
            good = value >= number if text.startswith(">=") else value <= number
        if not good:
            missed.append(f"{name} = {value:.3g} [{low:.3g}, {high:.3g}], required {text}")
    return missed
