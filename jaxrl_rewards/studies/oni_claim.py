"""The verdict on rewards from annotated messages."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import (
    StudyResult,
    Verdict,
    bootstrap_interval,
    difference_interval,
)
from jaxrl_rewards.studies.oni_arms import OniConfig

GOOD = 0.9
"""Success at the end from which a seed counts as good."""
SHARE = 7 / 8

AT_LEAST = ("ONI", "noise 10 %", "garbage 20 %", "latency x 10", "numbered, classification")
AT_MOST = {
    "extrinsic only": 0.05,
    "labels without count": 0.1,
    "count without labels": 0.1,
}
"""Largest mean success of arms that must fail."""
DIFFERENCES = (
    ("ONI", "extrinsic only"),
    ("ONI", "labels without count"),
    ("ONI", "count without labels"),
    ("numbered, classification", "numbered, retrieval"),
)


def claim(result: StudyResult, config: OniConfig) -> Verdict:
    """Judge the measured success; arms that were not run fail the claim."""
    measured: dict[str, Any] = {}
    required: dict[str, str] = {}
    interval: dict[str, tuple[float, float]] = {}
    passed: list[bool] = []

    def check(name: str, values: Any, text: str, good: bool) -> None:
        data = np.asarray(values, np.float64)
        measured[name], interval[name] = float(data.mean()), bootstrap_interval(data)
        required[name] = text
        passed.append(bool(good))

    def good_seeds(arm: str) -> np.ndarray:
        return (np.asarray(result.arms[arm]["success"]) >= GOOD).astype(float)

    for arm in AT_LEAST:
        if arm in result.arms:
            good = good_seeds(arm)
            text = f">= {SHARE:g} of the seeds"
            check(f"{arm}: seeds at {GOOD:g} or more", good, text, good.mean() >= SHARE)
    for arm, limit in AT_MOST.items():
        if arm in result.arms:
            success = np.asarray(result.arms[arm]["success"])
            check(f"{arm}: success", success, f"<= {limit:g}", success.mean() <= limit)
    if "numbered, retrieval" in result.arms:
        good = good_seeds("numbered, retrieval")
        name = f"numbered, retrieval: seeds at {GOOD:g} or more"
        check(name, good, "<= 0.5 of the seeds", good.mean() <= 0.5)
    for one, other in DIFFERENCES:
        if one in result.arms and other in result.arms:
            first, second = (np.asarray(result.arms[arm]["success"]) for arm in (one, other))
            low, high = difference_interval(first, second)
            name = f"success, {one} - {other}"
            measured[name], interval[name] = float((first - second).mean()), (low, high)
            required[name] = "interval above 0"
            passed.append(low > 0)
    missing = [
        arm for arm in (*AT_LEAST, *AT_MOST, "numbered, retrieval") if arm not in result.arms
    ]
    notes = tuple(_notes(result))
    if missing:
        notes += (f"not run, so the claim is not shown: {', '.join(missing)}",)
    return Verdict(
        passed=all(passed) and not missing,
        measured=measured,
        required=required,
        seeds=config.seeds,
        interval=interval,
        notes=notes,
    )


def _notes(result: StudyResult) -> list[str]:
    """Arms that are shown without a claim."""
    notes = []
    for arm in (
        "reward-free (c_e = 0)",
        "five rooms, ONI",
        "five rooms, extrinsic only",
        "noise 20 %",
        "annotator dies after 12",
        "annotator dies after 4",
        "classification",
        "ranking",
        "numbered, by template",
        "neural policy",
        "neural policy, extrinsic only",
    ):
        if arm in result.arms:
            success = np.asarray(result.arms[arm]["success"])
            good = int((success >= GOOD).sum())
            notes.append(
                f"{arm}: {good} of {len(success)} seeds at {GOOD:g} or more "
                f"(mean {success.mean():.2f}; shown, not claimed)"
            )
    if "labels without count" in result.arms and "ONI" in result.arms:
        shares = [
            float(np.mean(result.arms[arm]["gold share of steps"]))
            for arm in ("labels without count", "ONI")
        ]
        notes.append(
            f"share of steps that find gold: {shares[0]:.2f} without the count, {shares[1]:.2f} "
            "with it"
        )
    return notes
