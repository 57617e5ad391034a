"""Reference motions of one character: where it should be, frame by frame, and what is sensed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_envs.physics import Physics
from jaxrl_envs.retarget.characters import Character
from jaxrl_envs.retarget.characters.assemble import lowest_point
from jaxrl_envs.retarget.contact import reference_contact_labels
from jaxrl_envs.retarget.kinematics import kinematic_retarget
from jaxrl_envs.retarget.measure import MEMORY, Points
from jaxrl_envs.retarget.sensors import scale_sensors
from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.core.rotations import quat_conjugate, quat_multiply, quat_to_rotvec

FRAME_RATE = 30.0


@dataclasses.dataclass(frozen=True, eq=False)
class Performance:
    """A person's motion at 30 Hz, in the terms of the canonical human; NumPy, `T` frames."""

    name: str
    angles: np.ndarray
    """float [T, 28], in the order and convention of `characters.HUMAN_JOINTS`."""
    root_pos: np.ndarray
    """float [T, 3], metres, z up."""
    root_quat: np.ndarray
    """float [T, 4], w x y z; x forward, y left."""
    head_hands_pos: np.ndarray
    """float [T, 3, 3]: head, left hand, right hand, world frame."""
    head_hands_quat: np.ndarray
    """float [T, 3, 4]."""
    contact: np.ndarray
    """bool [T]: whether any foot touches the ground."""
    leg_length: float
    root_height: float
    """Of the root with straight legs."""
    head_height: float
    """Of the head's point at rest."""
    start_frames: int
    """Episodes start within the first this many frames: one period of a motion that repeats."""


@record
class ReferenceLibrary:
    """All clips of a character as padded arrays `[C, T, ...]`; world frame, SI units."""

    qpos: Float[Array, "C T nq"]
    qvel: Float[Array, "C T nv"]
    keypoints: Float[Array, "C T points 3"]
    keypoints_vel: Float[Array, "C T points 3"]
    contact: Float[Array, "C T feet"]
    sensed: Points
    """What headset and controllers show, brought to the character's size."""
    length: Int[Array, "C"]
    starts: Int[Array, "C"]
    """Frames in which episodes start, from 0."""


def build_library(
    character: Character, physics: Physics, performances: Sequence[Performance]
) -> ReferenceLibrary:
    """Retarget every performance kinematically and pad to the longest (by its last frame)."""
    if not performances:
        raise InputError("there is no motion to follow; give at least one clip")
    clips = [reference_clip(character, physics, one) for one in performances]
    longest = max(len(clip["qpos"]) for clip in clips)

    def pad(leaf: np.ndarray) -> np.ndarray:
        filler = np.repeat(leaf[-1:], longest - len(leaf), axis=0)
        return np.concatenate([leaf, filler])

    arrays = {
        name: jnp.asarray(np.stack([pad(clip[name]) for clip in clips]), jnp.float32)
        for name in clips[0]
    }
    sensed = Points(
        position=arrays.pop("sensed_pos"),
        rotation=arrays.pop("sensed_quat"),
        velocity=arrays.pop("sensed_vel"),
    )
    lengths = [len(clip["qpos"]) for clip in clips]
    starts = [
        min(one.start_frames, length - 1) for one, length in zip(performances, lengths, strict=True)
    ]
    return ReferenceLibrary(
        sensed=sensed,
        length=jnp.asarray(lengths, jnp.int32),
        starts=jnp.asarray(np.maximum(starts, 1), jnp.int32),
        **arrays,
    )


def reference_clip(
    character: Character, physics: Physics, performance: Performance
) -> dict[str, np.ndarray]:
    """The reference of one performance; see `ReferenceLibrary` for the fields.

    The mapped pose is lifted or lowered so that the lowest foot touches the ground whenever one of
    the person's does; in the air the shift is interpolated. Velocities are central differences.
    """
    frames = len(performance.angles)
    if frames < MEMORY + 2:
        raise InputError(
            f"motion {performance.name} has {frames} frames at 30 Hz; give at least {MEMORY + 2}"
        )
    q, _, root_pos, scale = kinematic_retarget(
        performance.angles,
        character.joint_map,
        character.sign,
        character.gain,
        character.offset,
        character.lower,
        character.upper,
        performance.root_pos,
        performance.root_height,
        character.root_height,
        performance.leg_length,
        character.leg_length,
    )
    qpos = np.concatenate([root_pos, performance.root_quat, q], axis=1).astype(np.float64)
    soles = sole_heights(character, qpos)
    lowest = soles.min(axis=1)
    touching = np.asarray(performance.contact, bool)
    shift = -lowest.mean() * np.ones(frames)
    if touching.any():
        times = np.arange(frames)
        shift = np.interp(times, times[touching], -lowest[touching])
    shift = np.maximum(shift, -lowest)  # never below the ground
    qpos[:, 2] += shift
    qvel = velocities(qpos)
    state = jax.device_get(
        jax.jit(jax.vmap(physics.reset))(
            jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32)
        )
    )
    if state.bad_physics.any():
        frame = int(np.argmax(state.bad_physics))
        raise InputError(f"motion {performance.name} has no valid pose in frame {frame}; mend it")
    sites = character.keypoint_sites
    feet = character.foot_sites
    speed = np.linalg.norm(state.site_linvel[:, feet], axis=-1)
    size = character.scale
    contact = reference_contact_labels(soles + shift[:, None], speed, 0.05 * size, 0.5 * size)
    sensed = scale_sensors(
        performance.head_hands_pos, scale, performance.head_height, character.head_height
    )
    sensed = np.asarray(sensed, np.float64)
    return {
        "qpos": qpos,
        "qvel": qvel,
        "keypoints": state.site_pos[:, sites],
        "keypoints_vel": state.site_linvel[:, sites],
        "contact": np.asarray(contact, np.float32),
        "sensed_pos": sensed,
        "sensed_quat": performance.head_hands_quat,
        "sensed_vel": backward_difference(sensed),
    }


def sole_heights(character: Character, qpos: np.ndarray) -> np.ndarray:
    """float [T, feet]: height of each foot's lowest point in every pose `[T, nq]`."""
    import mujoco

    model = character.model
    data = mujoco.MjData(model)
    heights = np.empty((len(qpos), len(character.foot_geoms)))
    for frame, pose in enumerate(qpos):
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        for foot, geoms in enumerate(character.foot_geoms):
            heights[frame, foot] = min(lowest_point(model, data, geom) for geom in geoms)
    return heights


def velocities(qpos: np.ndarray) -> np.ndarray:
    """MuJoCo velocities `[T, nv]` of poses `[T, nq]` at 30 Hz by central differences: the root's
    linear velocity in the world frame, its angular velocity in its own."""
    before = np.concatenate([qpos[:1], qpos[:-1]])
    after = np.concatenate([qpos[1:], qpos[-1:]])
    span = np.full(len(qpos), 2.0 / FRAME_RATE)
    span[[0, -1]] = 1.0 / FRAME_RATE
    turn = quat_to_rotvec(quat_multiply(quat_conjugate(before[:, 3:7]), after[:, 3:7]))
    return np.concatenate([after[:, :3] - before[:, :3], turn, after[:, 7:] - before[:, 7:]], 1) / (
        span[:, None]
    )


def backward_difference(points: np.ndarray) -> np.ndarray:
    """Velocity from this frame and the last, as a stream gives it; the first frame has the
    second's."""
    velocity = np.diff(points, axis=0) * FRAME_RATE
    return np.concatenate([velocity[:1], velocity])
