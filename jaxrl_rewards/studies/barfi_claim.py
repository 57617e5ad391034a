"""What the bi-level study claims, and how it is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import (
    StudyResult,
    Verdict,
    bootstrap_interval,
    difference_interval,
)

PRIMARY, NAIVE, POTENTIAL = "r_p only", "naive sum", "potential"
FROZEN = "A: wrong weights, outer step off"
WRONG = "B: wrong weights, BARFI"
ZERO = "C: zero weights, BARFI"
OFFICIAL = "naive warm-up, wrong weights"
OFFICIAL_RANDOM = "naive warm-up, random weights"
RESTARTS_ONLY = "naive warm-up, outer step off, restarts"
RECOVERED = "naive warm-up, BARFI with restarts"
HELPFUL_NAIVE = "helpful: naive sum"
HELPFUL = "helpful: BARFI"
HELPFUL_RESTARTS = "helpful: BARFI with restarts"

CLAIMS = (
    "A misleading auxiliary reward: the naive sum fails (a final return of at most 10). From the "
    "designer's wrong weights BARFI ends at least 60 above the same run with the outer step off, "
    "and at 95 or more on 6 of 8 seeds; from zero weights it stays within 2 of training on the "
    "primary reward.",
    "The weight of the misleading term at the centre of its box falls below its start of 1 on "
    "every seed.",
    "A helpful auxiliary reward: over the first 500 episodes BARFI earns more than training on the "
    "primary reward.",
    "Beyond the paper: after the official warm-up on the naive sum, from which some policies never "
    "meet the primary reward again, BARFI that restarts such a policy recovers (90 or more, no "
    "restart near the end) on 7 of 8 seeds, and ends above restarts without the outer step.",
)
SHARE_AT_95, SHARE_RECOVERED = 6 / 8, 7 / 8


def claim(result: StudyResult, config: Any) -> Verdict:
    """All four claims decide; differences are paired over seeds, with 95 % bootstrap intervals."""
    measured: dict[str, Any] = {}
    required: dict[str, str] = {}
    interval: dict[str, tuple[float, float]] = {}
    passed: dict[str, bool] = {}

    def values(arm: str, metric: str = "final_return") -> np.ndarray:
        return np.asarray(result.arms[arm][metric], np.float64)

    def check(name: str, data: np.ndarray, text: str, good: bool | None) -> None:
        """`good` None: shown, and decides nothing."""
        measured[name], interval[name] = float(np.mean(data)), bootstrap_interval(data)
        if good is not None:
            required[name], passed[name] = text, bool(good)

    def difference(name: str, one: np.ndarray, two: np.ndarray, text: str, good: Any) -> None:
        measured[name], interval[name] = float(np.mean(one - two)), difference_interval(one, two)
        required[name], passed[name] = text, bool(good(measured[name], *interval[name]))

    naive, primary = values(NAIVE), values(PRIMARY)
    check("final return, naive sum", naive, "<= 10", naive.mean() <= 10)
    check("final return, r_p only", primary, "", None)
    difference(
        "final return, B less A",
        values(WRONG),
        values(FROZEN),
        ">= 60, interval above 0",
        lambda mean, low, high: mean >= 60 and low > 0,
    )
    at_95 = values(WRONG) >= 95
    check("share of seeds at 95, B", at_95, ">= 0.75", at_95.mean() >= SHARE_AT_95)
    difference(
        "final return, C less r_p only",
        values(ZERO),
        primary,
        "within 2",
        lambda mean, low, high: abs(mean) <= 2,
    )
    centre = values(WRONG, "centre_weight")
    check("weight at the box's centre, B", centre, "< 1 on every seed", np.all(centre < 1))
    check("share of seeds with a negative weight there, B", centre < 0, "", None)
    difference(
        "return of the first 500 episodes, helpful: BARFI less r_p only",
        values(HELPFUL, "first_500"),
        values(PRIMARY, "first_500"),
        "interval above 0",
        lambda mean, low, high: low > 0,
    )
    check("final return, helpful: BARFI", values(HELPFUL), "", None)
    check("weight over visited states, helpful: BARFI", values(HELPFUL, "visited_weight"), "", None)
    check("discount, helpful: BARFI", values(HELPFUL, "discount"), "", None)
    recovered = (values(RECOVERED) >= 90) & (values(RECOVERED, "late_restarts") == 0)
    check(
        "share of seeds recovered, naive warm-up, BARFI with restarts",
        recovered,
        ">= 0.875",
        recovered.mean() >= SHARE_RECOVERED,
    )
    for arm in (OFFICIAL, OFFICIAL_RANDOM):
        check(f"share of seeds recovered, {arm}", values(arm) >= 90, "", None)
    difference(
        "final return, restarts with less without the outer step",
        values(RECOVERED),
        values(RESTARTS_ONLY),
        "interval above 0",
        lambda mean, low, high: low > 0,
    )
    notes = [f"not met: {name}, required {required[name]}" for name, ok in passed.items() if not ok]
    return Verdict(
        passed=all(passed.values()),
        measured=measured,
        required=required,
        seeds=config.seeds,
        interval=interval,
        notes=(*_notes(result), *notes),
    )


def _notes(result: StudyResult) -> list[str]:
    """What the figures do and do not say."""
    notes = [
        "The weights do not tend to 0: where the trained policy no longer goes they keep drifting. "
        "Potential-based shaping does not fail in this world, and with the misleading term BARFI "
        "is not faster than training on the primary reward; none of these is claimed.",
        "C with its weights frozen at 0 is training on the primary reward; C shows only that the "
        "outer step does no harm.",
        "The early gain of the helpful arm comes with its warm-up on the naive sum more than from "
        "the outer step: the naive sum itself earns "
        f"{np.mean(result.arms[HELPFUL_NAIVE]['first_500']):.1f} over the first 500 episodes, "
        f"BARFI {np.mean(result.arms[HELPFUL]['first_500']):.1f}, the primary reward alone "
        f"{np.mean(result.arms[PRIMARY]['first_500']):.1f}.",
    ]
    if "cosine_series" in result.arms[WRONG]:
        series, first = (
            np.mean(result.arms[WRONG][name]) for name in ("cosine_series", "cosine_first_order")
        )
        notes.append(
            "With the published step and number of terms the series is close to first order: at "
            f"the end of B its cosine to the damped exact solve is {series:.3f}, that of first "
            f"order {first:.3f}."
        )
    return notes
