"""What the study of rewards from annotated messages claims, and how it is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.oni.arms import ARMS
from jaxrl_rewards.studies.shared.claims import Claims

CLAIMS = (
    "A sparse task is solved only with annotations: success of at least 0.9 on 7 of 8 seeds "
    "after 60 updates, against at most 0.05 on extrinsic reward alone.",
    "Labels without the episodic count, and the count without labels, stay at or below 0.1.",
    "10 % wrong labels, 20 % unreadable answers and 10 times the latency: still 7 of 8 seeds.",
    "With numbers in the texts a trained classifier solves it on 7 of 8 seeds, retrieval of "
    "labels on at most 4.",
)
GOOD = 0.9
"""Success at the end from which a seed counts as good."""
SOLVING = (
    *("ONI", "wrong labels 10 %", "bad answers 20 %", "latency x 10", "numbered, classification"),
)
FAILING = {
    "extrinsic only": 0.05,
    "labels without count": 0.1,
    "count without labels": 0.1,
}
"""Largest mean success of arms that must fail."""
RETRIEVAL = "numbered, retrieval"
NEEDED = (*SOLVING, *FAILING, RETRIEVAL)
DIFFERENCES = (
    *(("ONI", arm) for arm in FAILING),
    ("numbered, classification", RETRIEVAL),
)


def claim(result: StudyResult, config: Any) -> Verdict:
    """Judge the measured success; arms that were not run fail the claim."""
    claims, run = Claims(result), result.arms
    success = {arm: claims.values(arm, "success") for arm in run}
    for arm in SOLVING:
        if arm in run:
            claims.share(f"{arm}: seeds at {GOOD:g} or more", success[arm] >= GOOD, least=7 / 8)
    for arm, limit in FAILING.items():
        if arm in run:
            claims.level(f"{arm}: success rate", success[arm], most=limit)
    if RETRIEVAL in run:
        good = success[RETRIEVAL] >= GOOD
        claims.share(f"{RETRIEVAL}: seeds at {GOOD:g} or more", good, most=0.5)
    for one, other in DIFFERENCES:
        if one in run and other in run:
            claims.difference(f"{one} minus {other}", success[one], success[other], above=0)
    for arm in ARMS:
        if arm in run and arm not in NEEDED:
            count = int((success[arm] >= GOOD).sum())
            claims.note(
                f"{arm}: {count} of {success[arm].size} seeds at {GOOD:g} or more "
                f"(mean {success[arm].mean():.2f}; shown, not claimed)"
            )
    if "labels without count" in run and "ONI" in run:
        without, with_it = (
            np.mean(claims.values(arm, "gold share of steps"))
            for arm in ("labels without count", "ONI")
        )
        claims.note(f"steps that find gold: {without:.0%} without the count, {with_it:.0%} with it")
    missing = [arm for arm in NEEDED if arm not in run]
    if missing:
        claims.fact("arms that were not run", len(missing), exactly=0)
        claims.note(f"not run, so the claim is not shown: {', '.join(missing)}")
    return claims.verdict(config.seeds)
