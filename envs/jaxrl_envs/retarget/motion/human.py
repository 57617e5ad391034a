"""Any motion as the angles of one common human, with the points that a headset would sense.

The common human stands along +z and looks along +x, its left is +y, its arms hang down: there all
angles are 0, whatever rest pose the file had. Segments are compared by where their bones point in
the world, so that intermediate joints (several spines, collars) and other rest poses (T, A,
spread legs) make no difference.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxrl_envs.retarget.characters.record import HUMAN_JOINTS, HUMAN_LEG_LENGTH
from jaxrl_envs.retarget.motion.angles import ball_angles
from jaxrl_envs.retarget.motion.record import Motion, forward_kinematics
from jaxrl_envs.retarget.motion.report import report_beyond_limits
from jaxrl_envs.retarget.motion.roles import REQUIRED_ROLES
from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.core.rotations import (
    quat_about,
    quat_between,
    quat_conjugate,
    quat_from_yaw,
    quat_multiply,
    quat_normalise,
    quat_rotate,
    safe_norm,
)

SEGMENTS: tuple[str, ...] = (
    "pelvis", "chest", "neck",
    "right_hip", "right_knee", "right_ankle", "right_shoulder", "right_elbow",
    "left_hip", "left_knee", "left_ankle", "left_shoulder", "left_elbow",
)  # fmt: skip
"""Joints of the common human, each naming the segment that it turns."""
SEGMENT_PARENTS: tuple[int, ...] = (-1, 0, 1, 0, 3, 4, 1, 6, 0, 8, 9, 1, 11)
HUMAN_LIMITS: dict[str, tuple[float, float]] = {
    "chest_y": (-0.8, 1.4), "chest_x": (-0.8, 0.8), "chest_z": (-1.2, 1.2),
    "neck_y": (-1.0, 1.0), "neck_x": (-0.8, 0.8), "neck_z": (-1.4, 1.4),
    "hip_y": (-2.4, 1.0), "hip_x": (-1.0, 1.2), "hip_z": (-1.0, 1.0),
    "ankle_y": (-0.9, 1.1), "ankle_x": (-0.7, 0.7), "ankle_z": (-0.8, 0.8),
    "knee": (0.0, 2.7), "elbow": (-2.7, 0.0),
    "shoulder_y": (-3.1, 1.4), "shoulder_x": (-0.8, 3.1), "shoulder_z": (-1.8, 1.8),
}  # fmt: skip
"""Of the left side in radians; they decide between triples of angles and cut nothing off."""
HEAD_POINT = (0.02, 0.0, 0.19)
"""Of the headset from the neck, in the head's frame, for a leg of 0.9 m."""


@record
class HumanPose:
    """A motion as the common human; what retargeting and sensing need of it."""

    human_q: Float[Array, "frames 28"]
    """Angles in the order of `HUMAN_JOINTS`, radians."""
    root_position: Float[Array, "frames 3"]
    root_quat: Float[Array, "frames 4"]
    points: Float[Array, "frames 3 3"]
    """World positions of head, left hand, right hand: what headset and controllers sense."""
    point_quats: Float[Array, "frames 3 4"]
    """Orientation of the head and the forearms, in which the controllers are held."""
    sole_heights: Float[Array, "frames 2"]
    contacts: Bool[Array, "frames 2"]
    frame_time: Float[Array, ""]
    leg_length: Float[Array, ""]
    """From hip to sole with straight legs."""
    root_rest_height: Float[Array, ""]
    head_rest_height: Float[Array, ""]
    """Of the sensed point in upright standing."""


def canonical_joint_rotations(
    motion: Motion,
) -> tuple[Float[Array, "frames 13 4"], Float[Array, "frames 13 4"]]:
    """`(local, world)` rotations of the common human's `SEGMENTS`; unit quaternions.

    The bend of knees and elbows is about the y axis alone: where a limb is bent by more than
    about 30 degrees, its upper segment is turned about its own bone until that holds, which moves
    no joint. InputError names the roles that no joint of the motion plays. NumPy in, NumPy out.
    """
    missing = [role for role in REQUIRED_ROLES if motion.joint(role) is None]
    if missing:
        raise InputError(
            f"{motion.name}: no joint plays {', '.join(missing)}; give roles={{...}} that name "
            f"them among {', '.join(motion.names[:40])}"
        )
    xp = _module(motion.rotations)
    turned, places = forward_kinematics(
        motion.rotations, motion.root_position, motion.offsets, motion.parents
    )
    rest = _rest_positions(motion)
    forward = _rest_heading(motion, rest)
    world = {}
    for segment in SEGMENTS:
        role = "head" if segment == "neck" and motion.joint("head") is not None else segment
        align = _alignment(motion, rest, forward, segment)
        world[segment] = quat_multiply(turned[..., motion.joint(role), :], align)
    for side in ("right", "left"):
        for upper, lower, end, bends_back in (
            ("hip", "knee", "ankle", True),
            ("shoulder", "elbow", "wrist", False),
        ):
            upper, lower, end = (f"{side}_{part}" for part in (upper, lower, end))
            bone = places[..., motion.joint(end), :] - places[..., motion.joint(lower), :]
            world[upper], world[lower] = _hinge_plane(world[upper], bone, bends_back)
    stacked = quat_normalise(xp.stack([world[segment] for segment in SEGMENTS], axis=-2))
    local = [
        stacked[..., index, :]
        if parent < 0
        else quat_multiply(quat_conjugate(stacked[..., parent, :]), stacked[..., index, :])
        for index, parent in enumerate(SEGMENT_PARENTS)
    ]
    return xp.stack(local, axis=-2), stacked


def human_pose(motion: Motion) -> HumanPose:
    """The motion as angles, root and sensed points of the common human, on the host.

    InputError as in `canonical_joint_rotations`. NumPy float32, frames as in the motion. Angles
    follow `ball_angles` with `HUMAN_LIMITS`; a UserWarning names joints that are far beyond them.
    """
    motion = jax.tree.map(
        lambda x: x if np.asarray(x).dtype == bool else np.asarray(x, np.float64), motion
    )
    local, world = canonical_joint_rotations(motion)
    angles = {}
    for joint in dict.fromkeys(name.removesuffix("_y") for name in HUMAN_JOINTS):
        if joint.endswith(("_x", "_z")):
            continue
        turn = local[:, SEGMENTS.index(joint)]
        if joint.endswith(("knee", "elbow")):
            angles[joint] = _wrap(2.0 * np.arctan2(turn[:, 2], turn[:, 0]))
            continue
        limits = np.array([_limits(joint, axis) for axis in "yxz"])
        three = ball_angles(turn, limits[:, 0], limits[:, 1], float(motion.frame_time))
        angles |= {f"{joint}_{axis}": three[:, i] for i, axis in enumerate("yxz")}
    report_beyond_limits(motion.name, angles, _tested_limits())
    rest = _measures(motion)
    size = rest["leg_length"] / HUMAN_LEG_LENGTH
    head = quat_rotate(world[:, SEGMENTS.index("neck")], size * np.asarray(HEAD_POINT))
    points = [motion.positions[:, motion.joint("neck")] + head]
    points += [motion.positions[:, motion.joint(f"{side}_wrist")] for side in ("left", "right")]
    held = [SEGMENTS.index(name) for name in ("neck", "left_elbow", "right_elbow")]
    values = dict(
        human_q=np.stack([angles[name] for name in HUMAN_JOINTS], axis=-1),
        root_position=motion.root_position,
        root_quat=world[:, 0],
        points=np.stack(points, axis=1),
        point_quats=world[:, held],
        sole_heights=motion.sole_heights,
        frame_time=motion.frame_time,
        **rest,
    )
    floats = {name: np.asarray(value, np.float32) for name, value in values.items()}
    return HumanPose(contacts=motion.contacts, **floats)


def _tested_limits() -> dict[str, tuple[float, float]]:
    """Of all angles but the turns of the upper arms about themselves, which straight arms leave
    open."""
    names = (name for name in HUMAN_JOINTS if not name.endswith("shoulder_z"))
    return {name: _joint_limits(name) for name in names}


def _joint_limits(name: str) -> tuple[float, float]:
    """Of a hinge or one axis of a ball joint, by its name in `HUMAN_JOINTS`."""
    joint, axis = name.rsplit("_", 1)
    return HUMAN_LIMITS[axis] if axis in ("knee", "elbow") else _limits(joint, axis)


def _limits(joint: str, axis: str) -> tuple[float, float]:
    """Of one hinge; the right side's x and z are the left's mirrored."""
    lower, upper = HUMAN_LIMITS[f"{joint.split('_')[-1]}_{axis}"]
    return (-upper, -lower) if joint.startswith("right") and axis != "y" else (lower, upper)


def _module(array: Any) -> Any:
    return np if isinstance(array, np.ndarray) else jnp


def _wrap(angle: Any) -> Any:
    """To [-π, π)."""
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


def _rest_positions(motion: Motion) -> list[Any]:
    """Of all joints against the root when nothing is turned."""
    rest: list[Any] = []
    for joint, parent in enumerate(motion.parents):
        start = motion.offsets[joint] * 0.0 if parent < 0 else rest[parent] + motion.offsets[joint]
        rest.append(start)
    return rest


def _rest_heading(motion: Motion, rest: list[Any]) -> Any:
    """Rotation from the common human's frame (x ahead, y left) to that of the file's rest pose."""
    xp = _module(motion.offsets)
    left = rest[motion.joint("left_hip")] - rest[motion.joint("right_hip")]
    return quat_from_yaw(xp.arctan2(-left[0], left[1] + (left[1] == 0) * 1e-9))


def _alignment(motion: Motion, rest: list[Any], forward: Any, segment: str) -> Any:
    """Rotation of a segment of the common human when the file's skeleton is in its rest pose."""
    xp = _module(motion.offsets)
    part = segment.split("_")[-1]
    ends = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist", "ankle": "toe"}
    if part not in ends:
        return forward
    end = motion.joint(segment.replace(part, ends[part]))
    if end is None:
        return forward
    bone = rest[end] - rest[motion.joint(segment)]
    if part == "ankle":
        # Feet stand flat in most rest poses; only a foot that points elsewhere is turned.
        ahead = quat_rotate(forward, xp.asarray([0.97, 0.0, -0.24], bone.dtype))
        flat = xp.sum(ahead * bone) > 0.7 * safe_norm(bone)
        turned = quat_multiply(quat_between(ahead, bone), forward)
        return xp.where(flat, forward, turned)
    down = quat_rotate(forward, xp.asarray([0.0, 0.0, -1.0], bone.dtype))
    return quat_multiply(quat_between(down, bone), forward)


def _hinge_plane(upper: Any, bone: Any, bends_back: bool) -> tuple[Any, Any]:
    """The upper segment turned about its bone so that the lower one is a turn about y away."""
    xp = _module(upper)
    ahead = quat_rotate(quat_conjugate(upper), bone)
    ahead = ahead / xp.maximum(safe_norm(ahead), 1e-9)[..., None]
    across = safe_norm(ahead[..., :2])
    bend = xp.arctan2(across, -ahead[..., 2])
    known = across > 1e-6
    azimuth = xp.arctan2(xp.where(known, ahead[..., 1], 0.0), xp.where(known, ahead[..., 0], 1.0))
    turn = _wrap(azimuth - np.pi) if bends_back else azimuth
    share = xp.clip((bend - 0.17) / 0.35, 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    # A limb stretched a little beyond straight bends the other way; leave it there.
    turn = xp.where(known & ((xp.abs(turn) < 0.5 * np.pi) | (bend > 0.5)), share * turn, 0.0)
    upper = quat_multiply(upper, quat_about("z", turn))
    cosine, sine = xp.cos(turn), xp.sin(turn)
    forward = cosine * ahead[..., 0] + sine * ahead[..., 1]
    angle = xp.arctan2(-forward, -ahead[..., 2])
    return upper, quat_multiply(upper, quat_about("y", angle))


def _measures(motion: Motion) -> dict[str, Any]:
    """Leg length, and heights of root and sensed head point in upright standing."""
    offsets = motion.offsets
    rest = _rest_positions(motion)

    def length(first: str, second: str) -> Any:
        return safe_norm(rest[motion.joint(second)] - rest[motion.joint(first)])

    legs = [
        length(f"{side}_hip", f"{side}_knee") + length(f"{side}_knee", f"{side}_ankle")
        for side in ("left", "right")
    ]
    leg = 0.5 * (legs[0] + legs[1]) + motion.ankle_height
    hips = 0.5 * (rest[motion.joint("left_hip")][2] + rest[motion.joint("right_hip")][2])
    root = leg - (hips - rest[motion.joint("pelvis")][2])
    xp = _module(offsets)
    neck = rest[motion.joint("neck")][2] - rest[motion.joint("pelvis")][2]
    head = root + neck + leg / HUMAN_LEG_LENGTH * HEAD_POINT[2]
    return {
        "leg_length": xp.asarray(leg),
        "root_rest_height": xp.asarray(root),
        "head_rest_height": xp.asarray(head),
    }
