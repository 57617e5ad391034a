"""From a human's motion to a character's reference motion, jitted and for many frames at once.

pose = human_pose(resample(load_motion("walk.bvh"), 1 / 30))
reference = retarget_pose(pose, character_map(make_character("dinosaur")))
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.retarget.chain import Chain, chain_kinematics, chain_of, chain_points
from jaxrl_envs.retarget.contact import reference_contact_labels
from jaxrl_envs.retarget.kinematics import check_map, kinematic_retarget
from jaxrl_envs.retarget.motion.human import HumanPose
from jaxrl_envs.retarget.sensors import scale_sensors
from jaxrl_rewards.core import InputError, record, static_field
from jaxrl_rewards.core.rotations import (
    quat_conjugate,
    quat_inverse_rotate,
    quat_multiply,
    quat_to_rotvec,
    safe_norm,
)

CONTACT_HEIGHT = 0.05
"""metres times scale: a reference foot lower than this may touch"""
CONTACT_SPEED = 0.5
"""m/s times scale"""
FLIGHT_HEIGHT = 0.03
"""metres; a human whose lower foot is below this stands on the ground"""


_PER_CLIP = ("frame_time", "leg_length", "root_rest_height", "head_rest_height")
_PER_REFERENCE = ("mapped_mask", "scale", "frame_time")


@record
class CharacterMap:
    """What kinematic retargeting needs of a character; all numbers are leaves."""

    joint_map: Int[Array, "joints"]
    """Index into `HUMAN_JOINTS`; -1 where the human has no such joint."""
    sign: Float[Array, "joints"]
    gain: Float[Array, "joints"]
    offset: Float[Array, "joints"]
    lower: Float[Array, "joints"]
    upper: Float[Array, "joints"]
    leg_length: Float[Array, ""]
    root_height: Float[Array, ""]
    """Of the root in the rest pose."""
    head_height: Float[Array, ""]
    chain: Chain
    name: str = static_field(default="character")


@record
class Reference:
    """A character's kinematic reference; it need not be feasible. Arrays of float32."""

    qpos: Float[Array, "frames 7+joints"]
    """Root position, root quaternion, angles: as MuJoCo orders them."""
    qvel: Float[Array, "frames 6+joints"]
    """Root velocity (world), root angular velocity (root's frame), rates of the angles."""
    keypoints: Float[Array, "frames 5 3"]
    """World positions of head, left hand, right hand, left foot, right foot."""
    keypoints_vel: Float[Array, "frames 5 3"]
    contacts: Bool[Array, "frames feet"]
    """Feet lower than 5 cm · scale and slower than 0.5 m/s · scale."""
    points: Float[Array, "frames 3 3"]
    """The user's head and hands at the character's size, see `scale_sensors`."""
    points_vel: Float[Array, "frames 3 3"]
    point_quats: Float[Array, "frames 3 4"]
    mapped_mask: Bool[Array, "joints"]
    """False for joints that the human lacks."""
    scale: Float[Array, ""]
    """Leg length over the human's."""
    frame_time: Float[Array, ""]


def character_map(character: Any) -> CharacterMap:
    """The map of a `Character` (see `jaxrl_envs.retarget.characters`).

    InputError for indices out of range, reversed limits, or lengths that are not positive.
    """
    lengths = {
        name: np.float32(getattr(character, name))
        for name in ("leg_length", "root_height", "head_height")
    }
    for name, value in lengths.items():
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{character.name}: {name} is {value}; give metres above 0")
    check_map(28, character.joint_map, character.lower, character.upper)
    columns = {
        name: np.asarray(getattr(character, name), np.float32)
        for name in ("sign", "gain", "offset", "lower", "upper")
    }
    return CharacterMap(
        joint_map=np.asarray(character.joint_map, np.int32),
        chain=chain_of(character.model, character.foot_names, character.name),
        name=character.name,
        **columns,
        **lengths,
    )


@jax.jit
def retarget_pose(
    pose: HumanPose, character: CharacterMap, length: Int[Array, ""] | None = None
) -> Reference:
    """The reference of a character for every frame of a human's motion.

    Angles, scale and root follow `kinematic_retarget`. Then the root is raised or lowered so that
    the character's lowest foot is on the ground while the human's lowest is (below 3 cm), and
    `scale` times as high above it as the human's otherwise. Velocities are central differences
    over the frames, so loops must have been unrolled and closed before. Poses of equal length are
    batched by `vmap`; with `length`, only so many first frames count and the rest is padding.
    """
    angles, mapped, root, scale = kinematic_retarget(
        pose.human_q,
        character.joint_map,
        character.sign,
        character.gain,
        character.offset,
        character.lower,
        character.upper,
        pose.root_position,
        pose.root_rest_height,
        character.root_height,
        pose.leg_length,
        character.leg_length,
    )
    quat = jnp.asarray(pose.root_quat)
    chain = character.chain
    positions, quats = chain_kinematics(chain, root, quat, angles)
    keypoints, soles = chain_points(chain, positions, quats)
    heights = soles[..., 2] - chain.sole_radii
    flight = jnp.maximum(jnp.min(pose.sole_heights, axis=-1) - FLIGHT_HEIGHT, 0.0)
    shift = scale * flight - jnp.min(heights, axis=-1)
    lift = shift[:, None] * jnp.asarray([0.0, 0.0, 1.0])
    root, keypoints, soles = root + lift, keypoints + lift[:, None], soles + lift[:, None]
    heights = heights + shift[:, None]

    step = pose.frame_time
    sole_speeds = safe_norm(differentiate(soles, step, length))
    feet = [np.flatnonzero(np.asarray(chain.sole_feet) == f) for f in range(chain.num_feet)]
    contacts = [
        reference_contact_labels(
            jnp.min(heights[:, own], axis=-1),
            jnp.min(sole_speeds[:, own], axis=-1),
            CONTACT_HEIGHT * scale,
            CONTACT_SPEED * scale,
        )
        for own in feet
    ]
    points = scale_sensors(pose.points, scale, pose.head_rest_height, character.head_height)
    spin = quat_inverse_rotate(quat, angular_rate(quat, step, length))
    return Reference(
        qpos=jnp.concatenate([root, quat, angles], axis=-1),
        qvel=jnp.concatenate(
            [differentiate(root, step, length), spin, differentiate(angles, step, length)],
            axis=-1,
        ),
        keypoints=keypoints,
        keypoints_vel=differentiate(keypoints, step, length),
        contacts=jnp.stack(contacts, axis=-1) if contacts else jnp.zeros((len(angles), 0), bool),
        points=points,
        points_vel=differentiate(points, step, length),
        point_quats=jnp.asarray(pose.point_quats),
        mapped_mask=mapped,
        scale=scale,
        frame_time=jnp.asarray(step),
    )


def reference_frames(reference: Reference) -> dict[str, Array]:
    """The part of a reference that changes from frame to frame, for `build_library`."""
    return {name: leaf for name, leaf in vars(reference).items() if name not in _PER_REFERENCE}


def retarget_clip(pose: HumanPose, character: CharacterMap, *, block: int = 256) -> Reference:
    """`retarget_pose` of a clip of any length, as NumPy arrays.

    Frames are padded to a whole number of blocks, so that many clips share few compilations; the
    padding is cut off and changes nothing.
    """
    count = pose.human_q.shape[0]
    more = -count % block

    def pad(name: str, leaf: Any) -> np.ndarray:
        leaf = np.asarray(leaf)
        if name in _PER_CLIP:
            return leaf
        return np.concatenate([leaf, np.repeat(leaf[-1:], more, axis=0)])

    padded = HumanPose(**{name: pad(name, leaf) for name, leaf in vars(pose).items()})
    whole = retarget_pose(padded, character, np.int32(count))
    cut = {name: np.asarray(leaf)[:count] for name, leaf in reference_frames(whole).items()}
    still = {name: np.asarray(getattr(whole, name)) for name in _PER_REFERENCE}
    return Reference(**cut, **still)


def differentiate(
    values: Float[Array, "frames ..."],
    frame_time: Float[Array, ""],
    length: Int[Array, ""] | None = None,
) -> Float[Array, "frames ..."]:
    """Central differences per second, one-sided at both ends; 0 for a single frame.

    The end is frame `length - 1` where given; what is behind it is not meant to be used.
    """
    first, last = _neighbours(values.shape[0], length)
    spans = jnp.maximum(last - first, 1).reshape(-1, *[1] * (values.ndim - 1))
    return (values[last] - values[first]) / (spans.astype(jnp.float32) * frame_time)


def angular_rate(
    quats: Float[Array, "frames 4"],
    frame_time: Float[Array, ""],
    length: Int[Array, ""] | None = None,
) -> Float[Array, "frames 3"]:
    """World angular velocity in rad/s, differenced as in `differentiate`."""
    first, last = _neighbours(quats.shape[0], length)
    turn = quat_to_rotvec(quat_multiply(quats[last], quat_conjugate(quats[first])))
    spans = jnp.maximum(last - first, 1)[:, None].astype(jnp.float32)
    return turn / (spans * frame_time)


def _neighbours(count: int, length: Any) -> tuple[Int[Array, "frames"], Int[Array, "frames"]]:
    """Indices of the frame before and the frame after each, within the clip."""
    frames = jnp.arange(count, dtype=jnp.int32)
    end = (count if length is None else length) - 1
    return jnp.maximum(frames - 1, 0), jnp.minimum(frames + 1, jnp.maximum(end, 0))
