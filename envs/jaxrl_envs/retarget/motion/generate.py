"""Seeded motions made from nothing: walk, turn, squat, reach, wave, jump and dance.

A simple human follows curves drawn from a seed. Feet are planned first, as places where they
stand still and arcs between them, and the legs reach for them by inverse kinematics, so that a
foot that stands does not slide.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl_envs.retarget.motion.record import Motion, build_motion
from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.rotations import (
    quat_about,
    quat_conjugate,
    quat_from_euler,
    quat_from_yaw,
    quat_inverse_rotate,
    quat_multiply,
    quat_rotate,
)

NAMES: tuple[str, ...] = (
    "pelvis", "chest", "neck", "right_hip", "right_knee", "right_ankle", "right_toe",
    "right_shoulder", "right_elbow", "right_wrist", "left_hip", "left_knee", "left_ankle",
    "left_toe", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
PARENTS: tuple[int, ...] = (-1, 0, 1, 0, 3, 4, 5, 1, 7, 8, 0, 10, 11, 12, 1, 14, 15)
THIGH, SHIN, ANKLE, HIP_DROP = 0.42, 0.41, 0.07, 0.05
_OFFSETS = {
    "pelvis": (0.0, 0.0, 0.0), "chest": (0.0, 0.0, 0.10), "neck": (0.0, 0.0, 0.46),
    "hip": (0.0, 0.09, -HIP_DROP), "knee": (0.0, 0.0, -THIGH), "ankle": (0.0, 0.0, -SHIN),
    "toe": (0.14, 0.0, -0.04), "shoulder": (0.0, 0.19, 0.37), "elbow": (0.0, 0.0, -0.28),
    "wrist": (0.0, 0.0, -0.26),
}  # fmt: skip
"""x ahead, y left (mirrored on the right), z up, metres: a leg of 0.9 m."""
ROOT_HEIGHT = THIGH + SHIN + ANKLE + HIP_DROP
KINDS: tuple[str, ...] = ("walk", "turn", "squat", "reach", "wave", "jump", "dance")
_STANCE = 0.6
_GRAVITY = 9.81


@dataclasses.dataclass
class _Plan:
    """Curves over the frames; angles in radians, lengths in metres."""

    times: np.ndarray
    speed: np.ndarray
    yaw_rate: np.ndarray
    cadence: np.ndarray
    """Cycles of both feet per second; 0 stands."""
    swing_height: float
    crouch: np.ndarray
    """How much lower than upright the root is."""
    flight: np.ndarray
    """How high the feet are above where they would stand."""
    sway: np.ndarray
    """Root to the left of its path."""
    lean: np.ndarray
    """Pelvis pitch ahead."""
    chest: np.ndarray
    """[frames, 3]: y, x, z."""
    neck: np.ndarray
    arms: dict[str, np.ndarray]
    """Per side [frames, 4]: shoulder y, outward x, inward z, elbow."""


def generate_motion(
    kind: str = "walk", seed: int = 0, *, seconds: float = 10.0, frame_time: float = 1.0 / 30.0
) -> Motion:
    """A motion of one of `KINDS`; the same seed gives the same motion, bit for bit.

    InputError for an unknown kind, a negative seed, a duration or frame time that is not positive,
    or more than a million frames.
    """
    if kind not in KINDS:
        raise InputError(f"no motion is called {kind!r}; choose {', '.join(KINDS)}")
    if seed < 0:
        raise InputError(f"seed is {seed}; give a whole number of at least 0")
    if not (seconds > 0 and frame_time > 0 and seconds / frame_time < 1e6):
        raise InputError(
            f"seconds {seconds} and frame_time {frame_time} make no motion; give both above 0 and "
            "fewer than a million frames"
        )
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    # Steps before the beginning and after the end are planned too, and cut off at last.
    times = np.arange(-2.0, seconds + 2.0 + 0.5 * frame_time, frame_time)
    plan = _plan(kind, rng, times)
    rotations, root = _pose(plan)
    kept = (times > -0.25 * frame_time) & (times < seconds + 0.25 * frame_time)
    return build_motion(
        rotations=rotations[kept],
        root_position=root[kept] - root[kept][0] * [1.0, 1.0, 0.0],
        offsets=np.array([_offset(name) for name in NAMES]),
        names=NAMES,
        parents=PARENTS,
        frame_time=frame_time,
        roles={name: name for name in NAMES},
        name=f"{kind}-{seed}",
        ankle_height=ANKLE,
    )


def _offset(name: str) -> tuple[float, float, float]:
    x, y, z = _OFFSETS[name.split("_")[-1]]
    return x, (-y if name.startswith("right") else y), z


def _wander(rng: np.random.Generator, times: np.ndarray, low: float, high: float) -> np.ndarray:
    """A slow curve between two bounds."""
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    rates, starts = rng.uniform(0.05, 0.2, 3), rng.uniform(0.0, 2.0 * np.pi, 3)
    return middle + half * np.mean(np.sin(2.0 * np.pi * np.outer(times, rates) + starts), axis=1)


def _pulses(
    rng: np.random.Generator, times: np.ndarray, gap: tuple[float, float], length: float
) -> np.ndarray:
    """Smooth rises from 0 to 1 and back, each `length` seconds, with pauses between."""
    curve, begin = np.zeros_like(times), times[0] + rng.uniform(*gap)
    while begin < times[-1]:
        phase = np.clip((times - begin) / length, 0.0, 1.0)
        curve += np.sin(np.pi * phase) ** 2
        begin += length + rng.uniform(*gap)
    return curve


def _plan(kind: str, rng: np.random.Generator, times: np.ndarray) -> _Plan:
    zero = np.zeros_like(times)
    breath = 0.015 * np.sin(2.0 * np.pi * 0.25 * times + rng.uniform(0.0, 6.0))
    arms = {
        side: np.stack([zero + 0.05, zero + 0.12, zero, zero - 0.3], axis=1)
        for side in ("left", "right")
    }
    plan = _Plan(
        times=times, speed=zero, yaw_rate=zero, cadence=zero, swing_height=0.08,
        crouch=zero + 0.03, flight=zero, sway=zero, lean=zero,
        chest=np.stack([breath, zero, zero], axis=1),
        neck=np.stack([_wander(rng, times, -0.2, 0.2), zero, _wander(rng, times, -0.5, 0.5)], 1),
        arms=arms,
    )  # fmt: skip
    {
        "walk": _plan_walk, "turn": _plan_walk, "squat": _plan_squat, "reach": _plan_reach,
        "wave": _plan_wave, "jump": _plan_jump, "dance": _plan_dance,
    }[kind](plan, rng, kind)  # fmt: skip
    return plan


def _plan_walk(plan: _Plan, rng: np.random.Generator, kind: str) -> None:
    turning = kind == "turn"
    plan.speed = _wander(rng, plan.times, *((0.3, 0.9) if turning else (0.6, 1.2)))
    plan.yaw_rate = _wander(rng, plan.times, *((-1.0, 1.0) if turning else (-0.1, 0.1)))
    plan.yaw_rate = plan.yaw_rate * (2.0 if turning else 1.0)
    plan.cadence = 0.7 + 0.35 * plan.speed
    phase = 2.0 * np.pi * _integrate(plan.cadence, plan.times)
    plan.crouch = 0.05 + 0.025 * plan.speed + 0.01 * plan.speed * np.cos(2.0 * phase)
    plan.sway = -0.02 * np.sin(phase)
    swing = (0.15 + 0.35 * plan.speed) * np.cos(phase)
    plan.arms["right"][:, 0] += swing
    plan.arms["left"][:, 0] -= swing
    for side in plan.arms:
        plan.arms[side][:, 3] -= 0.2 * plan.speed
    plan.chest[:, 2] += 0.08 * plan.speed * np.cos(phase)
    plan.lean = 0.03 + 0.03 * plan.speed


def _plan_squat(plan: _Plan, rng: np.random.Generator, kind: str) -> None:
    down = _pulses(rng, plan.times, (0.3, 1.2), rng.uniform(1.6, 2.4)) * rng.uniform(0.25, 0.45)
    plan.crouch = plan.crouch + down
    plan.lean = 1.3 * down
    plan.chest[:, 0] += 0.6 * down
    for arm in plan.arms.values():
        arm[:, 0] -= 3.5 * down


def _plan_reach(plan: _Plan, rng: np.random.Generator, kind: str) -> None:
    for side in ("left", "right"):
        up = _pulses(rng, plan.times, (0.3, 2.5), rng.uniform(1.2, 2.0))
        plan.arms[side][:, 0] -= up * rng.uniform(1.2, 2.6)
        plan.arms[side][:, 1] += up * rng.uniform(0.0, 0.5)
        plan.arms[side][:, 3] += up * 0.2
        plan.chest[:, 2] += 0.2 * up * (1.0 if side == "right" else -1.0)
        plan.chest[:, 0] += 0.15 * up


def _plan_wave(plan: _Plan, rng: np.random.Generator, kind: str) -> None:
    side = ("left", "right")[int(rng.integers(2))]
    up = np.minimum(1.6 * _pulses(rng, plan.times, (0.5, 1.0), rng.uniform(3.0, 4.5)), 1.0)
    beat = np.sin(2.0 * np.pi * rng.uniform(1.2, 2.0) * plan.times)
    plan.arms[side][:, 0] -= 1.1 * up
    plan.arms[side][:, 1] += 0.5 * up
    plan.arms[side][:, 2] += 0.4 * up * beat
    plan.arms[side][:, 3] -= up * (1.4 + 0.2 * beat)
    plan.sway = _wander(rng, plan.times, -0.04, 0.04)


def _plan_jump(plan: _Plan, rng: np.random.Generator, kind: str) -> None:
    plan.crouch, plan.lean = plan.crouch.copy(), plan.lean.copy()
    plan.flight = plan.flight.copy()
    begin = plan.times[0] + rng.uniform(0.3, 1.0)
    while begin < plan.times[-1]:
        height, bend = rng.uniform(0.1, 0.25), rng.uniform(0.2, 0.3)
        air = 2.0 * np.sqrt(2.0 * height / _GRAVITY)
        load = np.clip((plan.times - begin) / 0.6, 0.0, 1.0)
        since = plan.times - begin - 0.6
        land = np.clip((since - air) / 0.6, 0.0, 1.0)
        down = np.sin(np.pi * load) ** 2 + 0.8 * np.sin(np.pi * land) ** 2
        aloft = (since > 0) & (since < air)
        plan.flight += np.where(aloft, 0.5 * _GRAVITY * since * (air - since), 0.0)
        plan.crouch += bend * down
        plan.lean += 0.8 * bend * down
        for arm in plan.arms.values():
            arm[:, 0] += 1.2 * np.sin(np.pi * load) ** 2 * (load < 1.0)
            arm[:, 0] -= np.where(aloft, 1.2 * np.sin(np.pi * np.clip(since / air, 0, 1)), 0.0)
        begin += 1.2 + air + rng.uniform(0.4, 1.2)


def _plan_dance(plan: _Plan, rng: np.random.Generator, kind: str) -> None:
    beat = rng.uniform(0.8, 1.2)
    plan.cadence = np.full_like(plan.times, 0.5 * beat)
    plan.swing_height = 0.12
    plan.yaw_rate = _wander(rng, plan.times, -0.6, 0.6)
    phase = np.pi * beat * (plan.times - plan.times[0])
    plan.sway = -0.05 * np.sin(phase)
    plan.crouch = 0.07 + 0.03 * np.cos(2.0 * phase)
    plan.chest = plan.chest + np.stack(
        [0.1 * np.sin(2.0 * phase), 0.12 * np.sin(phase), 0.3 * np.sin(phase + 0.5)], axis=1
    )
    for side, shift in (("left", 0.0), ("right", np.pi)):
        wild = rng.uniform(0.4, 1.0)
        plan.arms[side][:, 0] -= 0.6 + wild * 0.7 * np.sin(phase + shift)
        plan.arms[side][:, 1] += 0.5 + 0.4 * wild * np.sin(2.0 * phase + shift)
        plan.arms[side][:, 3] -= 0.7 + 0.5 * np.cos(2.0 * phase + shift)


def _integrate(rate: np.ndarray, times: np.ndarray) -> np.ndarray:
    """By the trapezoid rule from the first frame."""
    parts = 0.5 * (rate[1:] + rate[:-1]) * np.diff(times)
    return np.concatenate([[0.0], np.cumsum(parts)])


def _pose(plan: _Plan) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations and root positions of all frames."""
    yaw = _integrate(plan.yaw_rate, plan.times)
    path = np.stack(
        [
            _integrate(plan.speed * np.cos(yaw), plan.times),
            _integrate(plan.speed * np.sin(yaw), plan.times),
            np.zeros_like(yaw),
        ],
        axis=1,
    )
    heading = quat_from_yaw(yaw)
    aside = np.stack([np.zeros_like(yaw), plan.sway, np.zeros_like(yaw)], axis=1)
    root = path + quat_rotate(heading, aside)
    root[:, 2] = ROOT_HEIGHT - plan.crouch + plan.flight
    pelvis = quat_multiply(heading, quat_about("y", plan.lean))
    chest = plan.chest.copy()
    chest[:, 0] -= 0.5 * plan.lean
    turns = {
        "pelvis": pelvis,
        "chest": quat_from_euler(chest, "yxz"),
        "neck": quat_from_euler(plan.neck, "yxz"),
    }
    for side, sign, shift in (("left", 1.0, 0.0), ("right", -1.0, 0.5)):
        place, foot_yaw, pitch = _foot(plan, path, yaw, sign, shift)
        turns |= _leg(side, sign, root, pelvis, place, foot_yaw, pitch)
        arm = plan.arms[side]
        outward = np.stack([arm[:, 0], sign * arm[:, 1], sign * arm[:, 2]], axis=1)
        turns[f"{side}_shoulder"] = quat_from_euler(outward, "yxz")
        turns[f"{side}_elbow"] = quat_about("y", np.minimum(arm[:, 3], 0.0))
    still = np.broadcast_to(np.array([1.0, 0.0, 0.0, 0.0]), (len(yaw), 4))
    return np.stack([turns.get(name, still) for name in NAMES], axis=1), root


def _foot(
    plan: _Plan, path: np.ndarray, yaw: np.ndarray, sign: float, shift: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ankle positions, foot yaw and pitch: still in stance, an arc in swing."""
    phase = _integrate(plan.cadence, plan.times) + shift
    if phase[-1] > phase[0]:
        cycle = np.floor(phase)
        part = np.clip((phase - cycle - _STANCE) / (1.0 - _STANCE), 0.0, 1.0)
        ahead = [np.interp(cycle + 0.5 * _STANCE + more, phase, plan.times) for more in (0.0, 1.0)]
    else:
        part, ahead = np.zeros_like(phase), [np.zeros_like(phase)] * 2
    share = part * part * (3.0 - 2.0 * part)
    stands, yaws = [], []
    for moment in ahead:
        there = np.stack([np.interp(moment, plan.times, path[:, i]) for i in range(3)], axis=1)
        turned = np.interp(moment, plan.times, yaw)
        side = np.stack([-np.sin(turned), np.cos(turned), np.zeros_like(turned)], axis=1)
        stands.append(there + sign * _OFFSETS["hip"][1] * side)
        yaws.append(turned)
    place = stands[0] + share[:, None] * (stands[1] - stands[0])
    lift = plan.swing_height * np.sin(np.pi * part) ** 2
    pitch = 0.25 * np.sin(2.0 * np.pi * part) * np.sin(np.pi * part)
    toe_down = _OFFSETS["toe"][0] * np.sin(np.maximum(pitch, 0.0))
    place[:, 2] = ANKLE + lift + toe_down + plan.flight
    return place, yaws[0] + share * (yaws[1] - yaws[0]), pitch


def _leg(
    side: str,
    sign: float,
    root: np.ndarray,
    pelvis: np.ndarray,
    ankle: np.ndarray,
    foot_yaw: np.ndarray,
    foot_pitch: np.ndarray,
) -> dict[str, np.ndarray]:
    """Hip, knee and ankle rotations that bring the ankle where it shall be, knee ahead."""
    hip = root + quat_rotate(pelvis, np.array([0.0, sign * _OFFSETS["hip"][1], -HIP_DROP]))
    reach = quat_inverse_rotate(pelvis, ankle - hip)
    length = np.linalg.norm(reach, axis=1)
    straight = np.clip(length, 0.2, 0.999 * (THIGH + SHIN))
    reach = reach * (straight / length)[:, None]
    cosine = (straight**2 - THIGH**2 - SHIN**2) / (2.0 * THIGH * SHIN)
    knee = np.arccos(np.clip(cosine, -1.0, 1.0))
    back, down = -SHIN * np.sin(knee), -(THIGH + SHIN * np.cos(knee))
    out = np.arcsin(np.clip(-reach[:, 1] / down, -1.0, 1.0))
    forward = np.arctan2(reach[:, 0], reach[:, 2]) - np.arctan2(back, np.cos(out) * down)
    turn = quat_multiply(quat_about("y", forward), quat_about("x", out))
    shin = quat_multiply(quat_multiply(pelvis, turn), quat_about("y", knee))
    foot = quat_multiply(quat_from_yaw(foot_yaw), quat_about("y", foot_pitch))
    return {
        f"{side}_hip": turn,
        f"{side}_knee": quat_about("y", knee),
        f"{side}_ankle": quat_multiply(quat_conjugate(shin), foot),
    }
