"""What actor and critic see of the character and of its reference."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core.rotations import (
    heading_quat,
    quat_conjugate,
    quat_inverse_rotate,
    quat_multiply,
    quat_to_rot6d,
    quat_to_rotvec,
)

VELOCITY_SCALE = 0.1
"""Joint and angular velocities, rad/s, are multiplied by this."""


def character_features(
    qpos: Float[Array, "nq"],
    qvel: Float[Array, "nv"],
    rest: Float[Array, "J"],
    keypoints: Float[Array, "points 3"],
    contact: Float[Array, "feet"],
    action: Float[Array, "J"],
    scale: float,
) -> Float[Array, "features"]:
    """Root height, orientation and velocity, joint angles and velocities, keypoints, contacts and
    the last action, seen from the character's heading; lengths and speeds over `scale`."""
    heading = heading_quat(qpos[3:7])
    origin = qpos[:3] * jnp.asarray([1.0, 1.0, 0.0])
    return jnp.concatenate(
        [
            qpos[2:3] / scale,
            quat_to_rot6d(quat_multiply(quat_conjugate(heading), qpos[3:7])),
            quat_inverse_rotate(heading, qvel[:3]) / scale,
            VELOCITY_SCALE * qvel[3:6],
            qpos[7:] - rest,
            VELOCITY_SCALE * qvel[6:],
            (quat_inverse_rotate(heading, keypoints - origin[None]) / scale).reshape(-1),
            contact,
            action,
        ]
    )


def reference_features(
    qpos: Float[Array, "nq"],
    keypoints: Float[Array, "points 3"],
    qpos_ref: Float[Array, "nq"],
    qvel_ref: Float[Array, "nv"],
    rest: Float[Array, "J"],
    keypoints_ref: Float[Array, "points 3"],
    contact_ref: Float[Array, "feet"],
    scale: float,
) -> Float[Array, "features"]:
    """The reference as the critic sees it, from the character's heading: root, joint angles and
    velocities, keypoints, their distance to the character's, and contacts."""
    heading = heading_quat(qpos[3:7])
    origin = qpos[:3] * jnp.asarray([1.0, 1.0, 0.0])
    turn = quat_to_rotvec(quat_multiply(quat_conjugate(qpos[3:7]), qpos_ref[3:7]))
    return jnp.concatenate(
        [
            qpos_ref[2:3] / scale,
            turn,
            quat_inverse_rotate(heading, qvel_ref[:3]) / scale,
            qpos_ref[7:] - rest,
            VELOCITY_SCALE * qvel_ref[6:],
            (quat_inverse_rotate(heading, keypoints_ref - origin[None]) / scale).reshape(-1),
            (quat_inverse_rotate(heading, keypoints_ref - keypoints) / scale).reshape(-1),
            contact_ref,
        ]
    )
