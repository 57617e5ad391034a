"""What a headset and two controllers tell, in the character's own frame and size."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core.rotations import (
    heading_quat,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    quat_to_rot6d,
)


def scale_sensors(
    points: Float[Array, "... 3"],
    planar_scale: float | Float[Array, ""],
    human_head_rest_height: float | Float[Array, ""],
    char_head_rest_height: float | Float[Array, ""],
) -> Float[Array, "... 3"]:
    """World positions in metres brought to a character's size.

    x and y by `planar_scale` (the ratio of leg lengths), z by the ratio of the heads' heights at
    rest.
    """
    points = jnp.asarray(points, jnp.float32)
    vertical = jnp.asarray(char_head_rest_height, jnp.float32) / human_head_rest_height
    scale = jnp.stack([jnp.asarray(planar_scale, jnp.float32)] * 2 + [vertical])
    return points * jnp.broadcast_to(scale, points.shape)


def to_heading_frame(
    root_pos: Float[Array, "3"],
    root_quat: Float[Array, "4"],
    points: Float[Array, "points 3"],
    velocities: Float[Array, "points 3"],
    quats: Float[Array, "points 4"],
) -> tuple[
    Float[Array, "4"], Float[Array, "points 3"], Float[Array, "points 3"], Float[Array, "points 6"]
]:
    """`(heading_quat, points, velocities, rot6d)` seen from a root: its yaw only, its place on
    the ground as the origin.

    The root's height stays in z, and drift against the user stays visible. `rot6d` is the first,
    then the second column of the rotation relative to the heading. A root whose x axis is
    vertical has yaw 0.
    """
    heading = heading_quat(jnp.asarray(root_quat, jnp.float32))
    back = quat_conjugate(heading)
    origin = jnp.asarray(root_pos, jnp.float32) * jnp.asarray([1.0, 1.0, 0.0], jnp.float32)
    return (
        heading,
        quat_rotate(back, jnp.asarray(points, jnp.float32) - origin[None]),
        quat_rotate(back, jnp.asarray(velocities, jnp.float32)),
        quat_to_rot6d(quat_multiply(back, jnp.asarray(quats, jnp.float32))),
    )
