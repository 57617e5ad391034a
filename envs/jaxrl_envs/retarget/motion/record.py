"""One recorded motion of one skeleton, whatever file it came from."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float

from jaxrl_envs.retarget.motion.roles import FOOT_ROLES
from jaxrl_rewards.core import InputError, record, static_field
from jaxrl_rewards.core.rotations import (
    quat_conjugate,
    quat_multiply,
    quat_normalise,
    quat_rotate,
    quat_to_rotvec,
)

CONTACT_HEIGHT = 0.05
"""metres; a foot lower than this and slower than `CONTACT_SPEED` is labelled as touching."""
CONTACT_SPEED = 0.5
"""m/s"""
_CLEARANCE = {"toe_end": 0.02, "toe": 0.03, "ankle": 0.08}
"""Heights above the sole that a human's foot joints have in standing, metres."""
_LOW_SHARE = 0.05


@record
class Motion:
    """Joint rotations, root and what follows from them, frame by frame; metres, seconds, z up.

    Arrays are float32 NumPy arrays, so that files are read without compiling; they can be handed
    to jitted functions as they are. Build one with `build_motion`, which derives the rest.
    """

    rotations: Float[Array, "frames joints 4"]
    """Local rotation of each joint against its parent; joint 0's, the root's, is global."""
    root_position: Float[Array, "frames 3"]
    positions: Float[Array, "frames joints 3"]
    """World positions of the joints."""
    velocities: Float[Array, "frames joints 3"]
    """World velocities of the joints, m/s; central differences."""
    root_angular_velocity: Float[Array, "frames 3"]
    """rad/s, about the world's axes."""
    sole_heights: Float[Array, "frames 2"]
    """Of the left, then the right foot above the ground; 0 where nothing is known of feet."""
    contacts: Bool[Array, "frames 2"]
    """Left, right: sole lower than 5 cm and a point of the foot slower than 0.5 m/s."""
    frame_time: Float[Array, ""]
    """Seconds between frames."""
    offsets: Float[Array, "joints 3"]
    """Of each joint from its parent in the parent's frame; the root's is not used."""
    ankle_height: Float[Array, ""]
    """Of an ankle above the sole in standing."""
    names: tuple[str, ...] = static_field()
    parents: tuple[int, ...] = static_field()
    """-1 for the root; a parent comes before its children."""
    roles: tuple[tuple[str, str], ...] = static_field()
    """Pairs of a human joint (see `roles.ROLES`) and the name of the joint that plays it."""
    loop: bool = static_field(default=False)
    """Whether the last frame leads on to the first, moved by the planar way between them."""
    name: str = static_field(default="motion")

    @property
    def root_rotation(self) -> Float[Array, "frames 4"]:
        """Orientation of the root in the world."""
        return self.rotations[..., 0, :]

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.rotations.shape[-3]

    @property
    def duration(self) -> float:
        """Seconds from the first to the last frame."""
        return float(self.frame_time) * (self.num_frames - 1)

    def joint(self, role: str) -> int | None:
        """Index of the joint that plays a role; None if none does."""
        found = dict(self.roles).get(role)
        return None if found is None else self.names.index(found)


def forward_kinematics(
    rotations: Float[Array, "... joints 4"],
    root_position: Float[Array, "... 3"],
    offsets: Float[Array, "joints 3"],
    parents: tuple[int, ...],
) -> tuple[Float[Array, "... joints 4"], Float[Array, "... joints 3"]]:
    """World rotations and positions of all joints. NumPy in, NumPy out, else JAX."""
    world_rotations, world_positions = [], []
    for joint, parent in enumerate(parents):
        if parent < 0:
            world_rotations.append(rotations[..., joint, :])
            world_positions.append(root_position)
            continue
        turn = world_rotations[parent]
        world_rotations.append(quat_multiply(turn, rotations[..., joint, :]))
        world_positions.append(world_positions[parent] + quat_rotate(turn, offsets[joint]))
    if all(isinstance(part, np.ndarray) for part in world_rotations + world_positions):
        return np.stack(world_rotations, axis=-2), np.stack(world_positions, axis=-2)
    import jax.numpy as jnp

    return jnp.stack(world_rotations, axis=-2), jnp.stack(world_positions, axis=-2)


def angular_velocity(quats: np.ndarray, frame_time: float) -> np.ndarray:
    """World angular velocity in rad/s from orientations `[frames, ..., 4]` by central differences.

    One-sided at both ends; 0 for a single frame.
    """
    if quats.shape[0] < 2:
        return np.zeros((*quats.shape[:-1], 3), quats.dtype)
    before = np.concatenate([quats[:1], quats[:-1]])
    after = np.concatenate([quats[1:], quats[-1:]])
    spans = np.full(quats.shape[0], 2.0 * frame_time)
    spans[[0, -1]] = frame_time
    turn = quat_to_rotvec(quat_multiply(after, quat_conjugate(before)))
    return turn / spans.reshape(-1, *[1] * (quats.ndim - 1))


def linear_velocity(points: np.ndarray, frame_time: float) -> np.ndarray:
    """Velocity of points `[frames, ...]` by central differences, one-sided at both ends."""
    if points.shape[0] < 2:
        return np.zeros_like(points)
    return np.gradient(points, frame_time, axis=0)


def build_motion(
    *,
    rotations: np.ndarray,
    root_position: np.ndarray,
    offsets: np.ndarray,
    names: tuple[str, ...],
    parents: tuple[int, ...],
    frame_time: float,
    roles: dict[str, str],
    loop: bool = False,
    name: str = "motion",
    ground: bool = False,
    ankle_height: float | None = None,
) -> Motion:
    """A `Motion` from rotations and root alone, computed in float64.

    With `ground` the whole motion is shifted vertically so that its feet stand on z = 0. The
    height of the ankles above the sole follows from the skeleton's toes unless given.
    InputError, with `name` and the frame, for a number that is not finite.
    """
    rotations = np.asarray(rotations, np.float64)
    root_position = np.array(root_position, np.float64)
    offsets = np.asarray(offsets, np.float64)
    for what, values in {"rotation": rotations, "root position": root_position}.items():
        _finite(values, what, name)
    if not np.isfinite(offsets).all():
        raise InputError(f"{name}: the skeleton holds an offset that is not finite; mend it")
    if len(rotations) == 0:
        raise InputError(f"{name} has no frames; give at least one")
    rotations = quat_normalise(rotations)
    _, positions = forward_kinematics(rotations, root_position, offsets, parents)
    _finite(positions, "joint position", name)
    feet = _foot_points(roles, names)
    bases = {kind: _base(positions, joints) for kind, joints in feet.items()}
    if ground and bases:
        lowest = min(bases, key=lambda kind: bases[kind] - _CLEARANCE[kind])
        shift = bases[lowest] - _CLEARANCE[lowest]
        root_position[:, 2] -= shift
        positions[..., 2] -= shift
        bases = {kind: base - shift for kind, base in bases.items()}
    velocities = linear_velocity(positions, frame_time)
    soles, contacts = _soles(positions, velocities, feet, bases)
    if ankle_height is None:
        ankle_height = _ankle_height(offsets, names, parents, roles)
    return Motion(
        rotations=rotations.astype(np.float32),
        root_position=root_position.astype(np.float32),
        positions=positions.astype(np.float32),
        velocities=velocities.astype(np.float32),
        root_angular_velocity=angular_velocity(rotations[:, 0], frame_time).astype(np.float32),
        sole_heights=soles.astype(np.float32),
        contacts=contacts,
        frame_time=np.float32(frame_time),
        offsets=offsets.astype(np.float32),
        ankle_height=np.float32(ankle_height),
        names=tuple(names),
        parents=tuple(int(parent) for parent in parents),
        roles=tuple(sorted(roles.items())),
        loop=bool(loop),
        name=name,
    )


def _finite(values: np.ndarray, what: str, name: str) -> None:
    bad = np.argwhere(~np.isfinite(values) | (np.abs(values) > 1e6))
    if len(bad):
        raise InputError(
            f"{name}: a {what} in frame {bad[0][0] + 1} is not finite or absurdly large; "
            "drop or mend that frame"
        )


def _foot_points(roles: dict[str, str], names: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Joint indices (left, right) of each kind of foot joint that both sides have."""
    points = {}
    for kind in FOOT_ROLES:
        pair = (roles.get(f"left_{kind}"), roles.get(f"right_{kind}"))
        if all(joint in names for joint in pair):
            points[kind] = (names.index(pair[0]), names.index(pair[1]))
    return points


def _base(positions: np.ndarray, joints: tuple[int, int]) -> float:
    """Height of this kind of joint when its foot stands: nearly the lowest of both sides."""
    return float(np.quantile(positions[:, list(joints), 2].min(axis=1), _LOW_SHARE))


def _ankle_height(
    offsets: np.ndarray, names: tuple[str, ...], parents: tuple[int, ...], roles: dict[str, str]
) -> float:
    """Of the ankle above the toe in the rest pose, and of the toe above the sole."""
    drop, joint = 0.0, roles.get("left_toe")
    if joint not in names or roles.get("left_ankle") not in names:
        return _CLEARANCE["ankle"]
    index, ankle = names.index(joint), names.index(roles["left_ankle"])
    while index not in (ankle, -1):
        drop -= float(offsets[index, 2])
        index = parents[index]
    return float(np.clip(drop + _CLEARANCE["toe"], 0.03, 0.15))


def _soles(
    positions: np.ndarray,
    velocities: np.ndarray,
    feet: dict[str, tuple[int, int]],
    bases: dict[str, float],
) -> tuple[np.ndarray, np.ndarray]:
    count = len(positions)
    if not feet:
        return np.zeros((count, 2)), np.zeros((count, 2), bool)
    heights = np.stack([positions[:, list(feet[k]), 2] - bases[k] for k in feet])
    speeds = np.stack([np.linalg.norm(velocities[:, list(feet[k])], axis=-1) for k in feet])
    touching = (heights < CONTACT_HEIGHT) & (speeds < CONTACT_SPEED)
    return heights.min(axis=0), touching.any(axis=0)


def same_skeleton(first: Motion, second: Motion) -> bool:
    """Whether two motions have joints of the same names in the same tree."""
    return first.names == second.names and first.parents == second.parents


def rebuild(motion: Motion, **changes: Any) -> Motion:
    """The motion with other rotations, root, frame time or name, and everything derived anew."""
    values = {
        "rotations": motion.rotations,
        "root_position": motion.root_position,
        "offsets": motion.offsets,
        "names": motion.names,
        "parents": motion.parents,
        "frame_time": float(motion.frame_time),
        "roles": dict(motion.roles),
        "loop": motion.loop,
        "name": motion.name,
        "ankle_height": float(motion.ankle_height),
    }
    return build_motion(**values | changes)
