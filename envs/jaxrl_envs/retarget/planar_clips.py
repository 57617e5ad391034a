"""Reference clips of a planar character: retargeted motion, contact labels and sensors, as one
table of numbers per frame."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_envs.retarget.contact import reference_contact_labels
from jaxrl_envs.retarget.kinematics import kinematic_retarget
from jaxrl_envs.retarget.planar_body import (
    BODIES,
    COORDINATES,
    FEET,
    JOINTS,
    KEYPOINTS,
    LOWER,
    SENSED,
    UPPER,
    PlanarBody,
    foot_heights,
    keypoints,
)
from jaxrl_envs.retarget.planar_motion import (
    HISTORY,
    RATE,
    MotionStyle,
    human_coordinates,
    sample_style,
)
from jaxrl_envs.retarget.sensors import scale_sensors
from jaxrl_rewards.core import record

LABEL_HEIGHT = 0.015
"""A foot below this height, metres, ..."""
LABEL_SPEED = (0.35, 0.1)
"""... slower than the first times the scale plus the second, m/s, is labelled as in contact."""

_WIDTHS = {
    "q": (COORDINATES,),
    "qd": (COORDINATES,),
    "points": (len(KEYPOINTS), 2),
    "velocities": (len(KEYPOINTS), 2),
    "contact": (2,),
    "sensor_position": (3, 2),
    "sensor_angle": (3,),
    "sensor_velocity": (3, 2),
}
SENSOR_COLUMNS = 15


@record
class PlanarFrame:
    """One frame of a clip; leaves may have leading axes. Metres, radians, seconds."""

    q: Float[Array, "11"]
    qd: Float[Array, "11"]
    points: Float[Array, "5 2"]
    """Keypoints in the world."""
    velocities: Float[Array, "5 2"]
    contact: Float[Array, "2"]
    """1 where a foot is labelled as in contact."""
    sensor_position: Float[Array, "3 2"]
    """Headset and controllers of the user, scaled to the character; x is that of the world."""
    sensor_angle: Float[Array, "3"]
    """Their angles about the y axis."""
    sensor_velocity: Float[Array, "3 2"]


@record
class PlanarClips:
    """Clips of equal length, packed so that one gather fetches a frame."""

    table: Float[Array, "clips frames columns"]
    """The fields of `PlanarFrame` side by side; the first `HISTORY` frames are past only."""

    @property
    def frames(self) -> int:
        """Frames per clip, the history included."""
        return self.table.shape[-2]

    def at(self, clip: Array, frame: Array) -> PlanarFrame:
        """Frame `frame` of clip `clip`; indices out of range are clamped."""
        return unpack(self.table[clip, frame])

    def sensors(self, clip: Array, frame: Array) -> Float[Array, "15"]:
        """Only the sensor columns of a frame: positions, angles, velocities."""
        return self.table[clip, frame, -SENSOR_COLUMNS:]


def unpack(row: Float[Array, "... columns"]) -> PlanarFrame:
    """The fields of packed frames."""
    fields, start = {}, 0
    for name, shape in _WIDTHS.items():
        width = int(np.prod(shape))
        fields[name] = row[..., start : start + width].reshape(*row.shape[:-1], *shape)
        start += width
    return PlanarFrame(**fields)


def retarget_coordinates(body: PlanarBody, human_q: Float[Array, "11"]) -> Float[Array, "11"]:
    """The kinematic step: the human's coordinates to the character's.

    Joint by joint (clipped to the limits), the root scaled by the ratio of leg lengths, then
    lifted or lowered so that the lowest foot touches the ground whenever the human's does.
    """
    human = BODIES["human"]
    count = len(JOINTS)
    joints, _, root, scale = kinematic_retarget(
        human_q[3:],
        joint_map=np.arange(count),
        sign=np.ones(count),
        gain=np.ones(count),
        offset=np.zeros(count),
        lower=np.asarray(LOWER),
        upper=np.asarray(UPPER),
        human_root_pos=_in_space(human_q[:2]),
        human_root_rest_height=human.rest_root_height,
        char_root_rest_height=body.rest_root_height,
        human_leg_length=human.leg,
        char_leg_length=body.leg,
    )
    q = jnp.concatenate([root[0::2], human_q[2:3], joints])
    lowest = jnp.min(foot_heights(body, keypoints(body, q)))
    human_lowest = jnp.min(foot_heights(human, keypoints(human, human_q)))
    return q.at[1].add(scale * human_lowest - lowest)


def reference_frame(
    body: PlanarBody, style: MotionStyle, time: Float[Array, ""]
) -> Float[Array, "columns"]:
    """The packed frame of `body` following `style` at `time` seconds."""
    human = BODIES["human"]
    scale = body.leg / human.leg

    def pose(now):
        user = human_coordinates(style, now)
        q = retarget_coordinates(body, user)
        sensed = scale_sensors(
            _in_space(keypoints(human, user)[SENSED]),
            scale,
            human.rest_head_height,
            body.rest_head_height,
        )
        return q, keypoints(body, q), sensed[:, 0::2], _sensor_angles(user)

    one = jnp.ones_like(time)
    (q, points, sensed, angles), (qd, velocities, sensed_velocity, _) = jax.jvp(
        pose, (time,), (one,)
    )
    speed = jnp.linalg.norm(velocities[FEET], axis=-1)
    contact = reference_contact_labels(
        foot_heights(body, points), speed, LABEL_HEIGHT, LABEL_SPEED[0] * scale + LABEL_SPEED[1]
    )
    parts = (q, qd, points, velocities, contact, sensed, angles, sensed_velocity)
    return jnp.concatenate([part.reshape(-1).astype(jnp.float32) for part in parts])


def make_clips(
    key: jax.Array, body: PlanarBody, *, clips: int = 256, seconds: float = 10.0
) -> tuple[PlanarClips, MotionStyle]:
    """`clips` random clips of `seconds` after the history, and their styles `[clips]`."""
    styles = jax.vmap(lambda k: sample_style(k, length=seconds))(jax.random.split(key, clips))
    times = clip_times(seconds)

    def clip(style):
        return jax.vmap(lambda time: reference_frame(body, style, time))(times)

    return PlanarClips(table=jax.vmap(clip)(styles)), styles


def known_and_fresh(
    key: jax.Array, body: PlanarBody, known: int, fresh: int, seconds: float
) -> tuple[PlanarClips, PlanarClips, MotionStyle]:
    """`known` clips to train on, `fresh` ones to evaluate on, and the styles of the latter.

    The styles of a key are the same for every character.
    """
    make = jax.jit(lambda key: make_clips(key, body, clips=known + fresh, seconds=seconds))
    both, styles = make(key)
    return (
        PlanarClips(table=both.table[:known]),
        PlanarClips(table=both.table[known:]),
        jax.tree.map(lambda leaf: leaf[known:], styles),
    )


def clip_times(seconds: float) -> Float[Array, "frames"]:
    """Times of the frames of a clip; the first `HISTORY` are negative."""
    count = round(seconds * RATE) + HISTORY + 1
    return (jnp.arange(count, dtype=jnp.float32) - HISTORY) / RATE


def _sensor_angles(q: Float[Array, "11"]) -> Float[Array, "3"]:
    """Angles of head, left and right hand about the y axis."""
    pitch = q[2]
    left = JOINTS.index("left_shoulder") + 3
    right = JOINTS.index("right_shoulder") + 3
    return jnp.stack([pitch, pitch + q[left] + q[left + 1], pitch + q[right] + q[right + 1]])


def _in_space(points: Float[Array, "... 2"]) -> Float[Array, "... 3"]:
    """Planar (x, z) as (x, 0, z)."""
    return jnp.stack([points[..., 0], jnp.zeros_like(points[..., 0]), points[..., 1]], axis=-1)
