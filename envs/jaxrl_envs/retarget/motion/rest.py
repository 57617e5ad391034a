"""Whether the pose in which nothing is turned is a standing person, and which way it lies."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float

from jaxrl_rewards.core.rotations import (
    quat_about,
    quat_between,
    quat_conjugate,
    quat_from_yaw,
    quat_inverse_rotate,
    quat_multiply,
    quat_rotate,
)

_STRAIGHT = np.cos(np.radians(30.0))
_MIRRORED = np.cos(np.radians(15.0))
_NEAR = np.cos(np.radians(50.0))
_BENT = 0.4
_IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


def clean_rest(
    turns: Float[np.ndarray, "frames joints 4"],
    places: Float[np.ndarray, "frames joints 3"],
    offsets: Float[np.ndarray, "joints 3"],
    parents: tuple[int, ...],
    role: dict[str, int],
) -> Float[np.ndarray, "4"] | None:
    """The turn by which the file's rest pose becomes a standing person's; None if none does.

    It is a turn by right angles (headings do not matter), none where the rest pose stands
    already. The rest pose must be upright, straight and alike on both sides, and the recorded
    knees, elbows and head must move as its axes say.
    """
    for whole in _right_angles():
        rest = _rest(quat_rotate(whole, offsets), parents)
        if _stands(rest, role) and _moves(turns, places, rest, whole, role):
            return whole
    return None


def rest_stands(
    offsets: Float[np.ndarray, "joints 3"], parents: tuple[int, ...], role: dict[str, int]
) -> bool:
    """Whether the rest pose as it is, z up, is a standing person's."""
    return _stands(_rest(offsets, parents), role)


def _rest(offsets: np.ndarray, parents: tuple[int, ...]) -> np.ndarray:
    rest = np.zeros((len(parents), 3))
    for joint, parent in enumerate(parents):
        if parent >= 0:
            rest[joint] = rest[parent] + offsets[joint]
    return rest


def _right_angles() -> list[np.ndarray]:
    """The identity first; of those that differ by a heading only one, as a heading is free."""
    found = [_IDENTITY]
    for axis, quarters in itertools.product("xy", (1, 2, 3)):
        if (axis, quarters) != ("y", 2):
            found.append(quat_about(axis, np.float64(0.5 * np.pi * quarters)))
    return found


def _stands(rest: np.ndarray, role: dict[str, int]) -> bool:
    """Trunk up, legs down and straight, both sides mirrored, toes ahead."""

    def way(first: str, second: str) -> np.ndarray:
        bone = rest[role[second]] - rest[role[first]]
        return bone / max(float(np.linalg.norm(bone)), 1e-9)

    hips, up = way("right_hip", "left_hip"), np.array([0.0, 0.0, 1.0])
    shoulders = way("right_shoulder", "left_shoulder")
    level = hips * [1.0, 1.0, 0.0]
    if abs(hips[2]) > 0.25 or shoulders @ hips < _STRAIGHT or way("pelvis", "neck")[2] < _STRAIGHT:
        return False
    if "head" in role and role["head"] != role["neck"] and way("neck", "head")[2] < _NEAR:
        return False
    level /= np.linalg.norm(level)
    limbs = {}
    for side in ("left", "right"):
        thigh, shin = way(f"{side}_hip", f"{side}_knee"), way(f"{side}_knee", f"{side}_ankle")
        arm = way(f"{side}_shoulder", f"{side}_elbow")
        forearm = way(f"{side}_elbow", f"{side}_wrist")
        limbs[side] = [thigh, shin, arm, forearm]
        if min(-thigh[2], -shin[2], thigh @ shin, arm @ forearm) < _STRAIGHT:
            return False
        if "left_toe" in role and "right_toe" in role:
            foot = way(f"{side}_ankle", f"{side}_toe")
            limbs[side].append(foot)
            if foot @ np.cross(level, up) < 0.4 or foot[2] > 0.3:
                return False
    return all(
        (left - 2.0 * (left @ level) * level) @ right > _MIRRORED
        for left, right in zip(limbs["left"], limbs["right"], strict=True)
    )


def _moves(
    turns: np.ndarray, places: np.ndarray, rest: np.ndarray, whole: np.ndarray, role: dict[str, int]
) -> bool:
    """Knees bend back, elbows ahead, and the head looks where the chest does, on average."""
    hips = rest[role["left_hip"]] - rest[role["right_hip"]]
    facing = quat_from_yaw(np.arctan2(-hips[0], hips[1]))
    own = quat_multiply(quat_conjugate(whole), facing)
    for side in ("left", "right"):
        for upper, lower, end, sign in (
            ("hip", "knee", "ankle", -1.0),
            ("shoulder", "elbow", "wrist", 1.0),
        ):
            upper, lower, end = (role[f"{side}_{part}"] for part in (upper, lower, end))
            bone = quat_inverse_rotate(facing, rest[lower] - rest[upper])
            limb = quat_multiply(own, quat_between(np.array([0.0, 0.0, -1.0]), bone))
            seen = quat_multiply(turns[:, upper], limb)
            bend = quat_inverse_rotate(seen, places[:, end] - places[:, lower])
            bend = bend / np.maximum(np.linalg.norm(bend, axis=1, keepdims=True), 1e-9)
            sine = np.linalg.norm(bend[:, :2], axis=1)
            bend = (sine * (sine > _BENT))[:, None] * sign * bend[:, :2]
            total, spread = bend.sum(axis=0), np.linalg.norm(bend, axis=1).sum()
            strength = np.linalg.norm(total)
            if strength > 0.5 * spread > 0.0 and total[0] < _NEAR * strength:
                return False
    top = role.get("head", role["neck"])
    seen = quat_inverse_rotate(
        quat_multiply(turns[:, role["chest"]], own),
        quat_rotate(quat_multiply(turns[:, top], own), np.array([1.0, 0.0, 0.0])),
    )
    flat = seen[:, :2].sum(axis=0)
    return bool(flat[0] > 0.5 * np.linalg.norm(flat))
