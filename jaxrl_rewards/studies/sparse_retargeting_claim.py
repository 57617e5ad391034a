"""What the retargeting study claims, and whether the measured numbers bear it out."""

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
    "Sparse is enough: from three sensed points the full method follows at least 95 % of unseen "
    "10 s motions without falling, with legs within 0.12 rad though nothing senses them; with the "
    "sensors zeroed no episode lasts 10 s.",
    "Imitation: without it the keypoint error is at least 1.8 times as large.",
    "Action: without it the servos' targets change at least 1.15 times as abruptly, at an equal "
    "keypoint error.",
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


def ratio_interval(
    first: Any, second: Any, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of `mean(first) / mean(second)` over seeds drawn jointly.

    ValueError where the two differ in length or a mean of `second` is not positive.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != two.shape or one.size == 0:
        raise ValueError(f"ratio_interval needs equal seeds, got {one.shape} and {two.shape}")
    index = np.random.default_rng(seed).integers(0, one.size, (resamples, one.size))
    below = two[index].mean(axis=1)
    if not np.all(below > 0):
        raise ValueError("ratio_interval needs a second arm with positive values")
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(one[index].mean(axis=1) / below, tails)
    return float(low), float(high)


def claim(result: StudyResult, config: Any) -> Verdict:
    """All six claims decide.

    A level passes when its mean does; a ratio passes when its mean reaches the required number
    and its 95 % interval, over seeds drawn jointly, stays on the claimed side of 1.
    """
    measured: dict[str, Any] = {}
    required: dict[str, str] = {}
    interval: dict[str, tuple[float, float]] = {}
    missed: list[str] = []

    def values(arm: str, metric: str) -> np.ndarray:
        return np.asarray(result.arms[arm][metric], np.float64)

    def judge(name: str, good: bool) -> None:
        if not good:
            low, high = interval[name]
            missed.append(
                f"not met: {name} = {measured[name]:.3g} [{low:.3g}, {high:.3g}], "
                f"required {required[name]}"
            )

    def level(number: int, arm: str, metric: str, sign: str, bound: float) -> None:
        name = f"{number}: {metric.replace('_', ' ')}, {arm}"
        data = values(arm, metric)
        measured[name], interval[name] = float(data.mean()), bootstrap_interval(data)
        required[name] = f"{sign} {bound:g}"
        judge(name, measured[name] >= bound if sign == ">=" else measured[name] <= bound)

    def ratio(number: int, quantity: str, arm: str, one: np.ndarray, two: np.ndarray, least):
        name = f"{number}: {quantity}, {arm} over {FULL}"
        measured[name], interval[name] = float(one.mean() / two.mean()), ratio_interval(one, two)
        required[name] = f">= {least:g}, interval above 1"
        judge(name, measured[name] >= least and interval[name][0] > 1.0)

    level(1, FULL, "survive", ">=", 0.95)
    level(1, FULL, "leg_error", "<=", 0.12)
    level(1, BLIND, "survive", "<=", 0.0)
    error = {arm: values(arm, "keypoint_error") for arm in result.arms if arm != KINEMATIC}
    ratio(2, "keypoint error", NO_IMITATION, error[NO_IMITATION], error[FULL], 1.8)
    change = {arm: values(arm, "action_change") for arm in (NO_ACTION, FULL)}
    ratio(3, "action change", NO_ACTION, change[NO_ACTION], change[FULL], 1.15)
    name = f"3: keypoint error, {NO_ACTION} over {FULL}"
    measured[name] = float(error[NO_ACTION].mean() / error[FULL].mean())
    interval[name] = ratio_interval(error[NO_ACTION], error[FULL])
    required[name] = f"{1 / EQUAL_ERROR:.3g} to {EQUAL_ERROR:g}"
    judge(name, 1 / EQUAL_ERROR <= measured[name] <= EQUAL_ERROR)
    mismatch = {arm: 1.0 - values(arm, "contact_match") for arm in (NO_CONTACT, FULL)}
    ratio(4, "contact mismatch", NO_CONTACT, mismatch[NO_CONTACT], mismatch[FULL], 1.2)
    ratio(5, "keypoint error", SYMMETRIC, error[SYMMETRIC], error[FULL], 1.1)
    for check, gap in result.budget["kinematic checks"].items():
        name = f"6: {check}"
        measured[name], interval[name] = float(gap), (float(gap), float(gap))
        required[name] = f"<= {EXACT:g}"
        judge(name, gap <= EXACT)
    return Verdict(
        passed=not missed,
        measured=measured,
        required=required,
        seeds=config.seeds,
        interval=interval,
        notes=(*missed, *_blind_note(result.budget.get("followed blind")), *_notes(values)),
    )


def _blind_note(found: dict[str, Any] | None) -> list[str]:
    """What users do in motions that a body follows without sensing them."""
    if not found or not found["motions"]:
        return []
    return [
        f"{BLIND}: in the {found['motions']} motions that a seed follows to the end the user walks "
        f"at most {found['fastest, m/s']:.3f} m/s; of all motions {found['of all, no faster']} are "
        "no faster"
    ]


def _notes(values: Any) -> list[str]:
    """Paired differences to `full` that decide nothing, and what is not claimed."""
    notes = []
    for arm in (SYMMETRIC, NO_CONTACT, NO_ACTION, NO_IMITATION):
        low, high = difference_interval(values(arm, "foot_skate"), values(FULL, "foot_skate"))
        gap = float((values(arm, "foot_skate") - values(FULL, "foot_skate")).mean())
        notes.append(f"foot skate, {arm} less {FULL}: {gap:+.3f} m/s [{low:+.3f}, {high:+.3f}]")
    notes.append(
        "not claimed: less foot skate; a win over the kinematic row, whose clean reference is "
        "followed exactly by construction; falls without imitation"
    )
    return notes
