"""What the retargeting study claims, and how it is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.shared.claims import Claims
from jaxrl_rewards.studies.shared.intervals import difference_interval

CLAIMS = (
    "Sparse is enough: from three sensed points the full method follows at least 95 % of unseen "
    "10 s motions without falling, with legs within 0.12 rad though nothing senses them; with the "
    "sensors zeroed no episode lasts 10 s.",
    "Imitation: without it the keypoint error is at least 1.8 times as large.",
    "Action: without it the servos' targets change at least 1.15 times as abruptly, at an equal "
    "keypoint error (the whole interval of the ratio within 1.15, either way).",
    "Contact: without it at least 1.2 times as many feet are in the wrong contact state.",
    "Asymmetric critic: with a critic that sees only what the actor sees the keypoint error is at "
    "least 1.1 times as large at this budget.",
    "Kinematic step, exact to 1e-5: the rest pose goes to the rest pose, feet relative to the root "
    "scale with the legs, the lowest foot is on the ground, the reference earns the full reward.",
)

EXACT = 1e-5
EQUAL_ERROR = 1.15
"""Keypoint errors within this ratio of each other, either way, count as equal."""
FULL, SYMMETRIC, BLIND = "full", "symmetric critic", "sensors zeroed"
NO_CONTACT, NO_ACTION, NO_IMITATION = "no contact", "no action", "no imitation"
KINEMATIC = "kinematic only"


def claim(result: StudyResult, config: Any) -> Verdict:
    """All six claims decide.

    A ratio passes when its mean reaches the required number and its 95 % interval, over seeds
    drawn jointly, stays on the claimed side of 1; equal errors when the whole interval says so.
    """
    claims = Claims(result)

    def over(number: int, metric: str, arm: str) -> tuple[str, np.ndarray, np.ndarray]:
        name = f"{number}: {metric.replace('_', ' ')}, {arm} divided by {FULL}"
        return name, claims.values(arm, metric), claims.values(FULL, metric)

    claims.level(f"1: followed for 10 s, {FULL}", claims.values(FULL, "survive"), least=0.95)
    claims.level(f"1: leg error in rad, {FULL}", claims.values(FULL, "leg_error"), most=0.12)
    claims.level(f"1: followed for 10 s, {BLIND}", claims.values(BLIND, "survive"), most=0)
    claims.ratio(*over(2, "keypoint_error", NO_IMITATION), least=1.8, above=1)
    claims.ratio(*over(3, "action_change", NO_ACTION), least=1.15, above=1)
    claims.alike(*over(3, "keypoint_error", NO_ACTION), within=EQUAL_ERROR)
    name, without, full = over(4, "contact_match", NO_CONTACT)
    name = name.replace("contact match", "contact mismatch")
    claims.ratio(name, 1.0 - without, 1.0 - full, least=1.2, above=1)
    claims.ratio(*over(5, "keypoint_error", SYMMETRIC), least=1.1, above=1)
    for check, gap in result.budget["kinematic checks"].items():
        claims.fact(f"6: kinematic step, {check}", float(gap), most=EXACT)
    found = result.budget.get("followed blind")
    if found and found["motions"]:
        claims.note(
            f"{BLIND}: in the {found['motions']} motions that a seed follows to the end the user "
            f"walks at most {found['fastest, m/s']:.3f} m/s; of all motions "
            f"{found['of all, no faster']} are no faster"
        )
    for arm in (SYMMETRIC, NO_CONTACT, NO_ACTION, NO_IMITATION):
        skate = [claims.values(which, "foot_skate") for which in (arm, FULL)]
        low, high = difference_interval(*skate)
        gap = float((skate[0] - skate[1]).mean())
        claims.note(f"foot skate, {arm} minus {FULL}: {gap:+.3f} m/s [{low:+.3f}, {high:+.3f}]")
    claims.note(
        "not claimed: less foot skate; a win over the kinematic row, whose clean reference is "
        "followed exactly by construction; falls without imitation"
    )
    return claims.verdict(config.seeds)
