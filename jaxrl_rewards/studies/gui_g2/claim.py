"""What the study of pointing claims, and how it is judged."""

from __future__ import annotations

from typing import Any

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.shared.claims import Claims, settled

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

    Seeds that never reach an accuracy of 0.75 count with one evaluation more than the budget.
    """
    claims, near, some = Claims(result), "near miss", "some hits"
    gaussian, hit, point = "gaussian", "point hit", "gaussian point only"
    never = config.some_hits_updates + config.evaluate_every

    def level(regime: str, metric: str, arm: str, **bounds: float) -> None:
        data = claims.values(arm_name(regime, arm), metric, never=never)
        claims.level(f"{regime}: {metric.replace('_', ' ')}, {arm}", data, **bounds)

    def less(regime: str, metric: str, other: str, **bounds: float) -> str:
        name = f"{regime}: {metric}, {gaussian} minus {other}"
        name = name.replace("to_75", "to an accuracy of 0.75").replace("_", " ")
        both = (
            claims.values(arm_name(regime, arm), metric, never=never) for arm in (gaussian, other)
        )
        value = claims.difference(name, *both, **bounds)
        return settled(value, claims.interval[name], "higher", "lower")

    level(near, "accuracy", gaussian, least=0.85)
    for arm in (hit, "inside only"):
        level(near, "accuracy", arm, most=0.05)
        less(near, "accuracy", arm, above=0)
    less(some, "updates_to_75", hit, below=0)
    for arm in (gaussian, hit):
        level(some, "accuracy", arm, least=0.99)
    level(some, "distance", gaussian, most=1.2)
    level(some, "distance", hit, least=1.8)
    less(some, "distance", hit, below=0)
    level(some, "iou_rate", gaussian, least=0.4)
    level(some, "iou_rate", hit, most=0.2)
    less(some, "iou_rate", hit, above=0)
    level(some, "accuracy", "iou > 0.5", most=0.05)
    accuracy, rate = (less(near, metric, point) for metric in ("accuracy", "iou_rate"))
    claims.note(
        f"near misses, coverage added to the point reward: accuracy {accuracy}; IoU rate {rate}"
    )
    return claims.verdict(config.seeds)
