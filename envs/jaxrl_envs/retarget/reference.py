"""The reference motions of one character as one padded pytree, and where episodes start in them."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_envs.retarget.characters import Character
from jaxrl_envs.retarget.measure import MEMORY, Points
from jaxrl_envs.retarget.motion import Motion, human_pose, resample, unroll
from jaxrl_envs.retarget.retargeting import Reference, character_map, retarget_pose
from jaxrl_rewards.core import InputError, record

FRAME_RATE = 30.0


@record
class ReferenceLibrary:
    """All clips of a character as padded arrays `[C, T, ...]`; world frame, SI units."""

    qpos: Float[Array, "C T nq"]
    qvel: Float[Array, "C T nv"]
    keypoints: Float[Array, "C T points 3"]
    keypoints_vel: Float[Array, "C T points 3"]
    contact: Float[Array, "C T feet"]
    sensed: Points
    """What headset and controllers show, brought to the character's size; velocities as a stream
    gives them, from this frame and the one before."""
    length: Int[Array, "C"]
    starts: Int[Array, "C"]
    """Episodes start in the first this many frames: one period of a motion that repeats."""


def build_library(
    character: Character, motions: Sequence[Motion], episode_frames: int
) -> ReferenceLibrary:
    """Bring motions to 30 Hz and to a character, and pad them (by their last frame).

    Motions that repeat are unrolled to one period and an episode. InputError names a motion that
    is too short for the memory of the sensors.
    """
    if not motions:
        raise InputError("there is no motion to follow; give at least one")
    built = [reference_of(character, motion, episode_frames) for motion in motions]
    clips = [arrays_of(reference) for reference, _ in built]
    longest = max(len(clip["qpos"]) for clip in clips)

    def pad(leaf: np.ndarray) -> np.ndarray:
        return np.concatenate([leaf, np.repeat(leaf[-1:], longest - len(leaf), axis=0)])

    arrays = {
        name: jnp.asarray(np.stack([pad(clip[name]) for clip in clips]), jnp.float32)
        for name in clips[0]
    }
    sensed = Points(
        position=arrays.pop("sensed_pos"),
        rotation=arrays.pop("sensed_quat"),
        velocity=arrays.pop("sensed_vel"),
    )
    return ReferenceLibrary(
        sensed=sensed,
        length=jnp.asarray([len(clip["qpos"]) for clip in clips], jnp.int32),
        starts=jnp.asarray([starts for _, starts in built], jnp.int32),
        **arrays,
    )


def reference_of(
    character: Character, motion: Motion, episode_frames: int
) -> tuple[Reference, int]:
    """`(reference at 30 Hz, frames in which episodes start)` of one motion."""
    motion = resample(motion, 1.0 / FRAME_RATE)
    period = motion.num_frames
    if period < MEMORY + 2:
        raise InputError(
            f"motion {motion.name} has {period} frames at 30 Hz; give at least {MEMORY + 2}"
        )
    if motion.loop:
        starts = period - 1
        motion = unroll(motion, (period + episode_frames + MEMORY) * float(motion.frame_time))
    else:
        starts = max(period - episode_frames, period // 2, 1)
    with jax.numpy_rank_promotion("allow"):  # frames lead, and what is the same for all broadcasts
        return retarget_pose(human_pose(motion), character_map(character)), starts


def arrays_of(reference: Reference) -> dict[str, np.ndarray]:
    """One clip's arrays, by the names of `ReferenceLibrary` (those of `sensed` apart)."""
    points = np.asarray(reference.points, np.float64)
    return {
        "qpos": np.asarray(reference.qpos),
        "qvel": np.asarray(reference.qvel),
        "keypoints": np.asarray(reference.keypoints),
        "keypoints_vel": np.asarray(reference.keypoints_vel),
        "contact": np.asarray(reference.contacts, np.float32),
        "sensed_pos": points,
        "sensed_quat": np.asarray(reference.point_quats),
        "sensed_vel": backward_difference(points, float(reference.frame_time)),
    }


def backward_difference(points: np.ndarray, step: float) -> np.ndarray:
    """Velocity from this frame and the last, as a stream gives it; the first frame has the
    second's."""
    velocity = np.diff(points, axis=0) / step
    return np.concatenate([velocity[:1], velocity])
