"""How well a motion was followed, and how smooth it was."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core.errors import require
from jaxrl_rewards.core.rotations import quat_angle_between, safe_norm


def tracking_metrics(
    keypoints: Float[Array, "time points 3"],
    keypoints_ref: Float[Array, "time points 3"],
    dt: float | Float[Array, ""],
    foot_planar_speed: Float[Array, "time feet"],
    foot_contact: Float[Array, "time feet"],
) -> dict[str, Float[Array, ""]]:
    """Metrics of one trajectory sampled every `dt` seconds.

    `mean_keypoint_error`: mean distance in metres; `mean_jerk`: mean norm of the third difference
    of the keypoints over dt³, m/s³ (0 for fewer than four frames); `foot_skate`: mean planar
    speed over the entries in contact, m/s (0 without contact). ValueError where shapes differ.
    """
    keypoints, reference = jnp.asarray(keypoints), jnp.asarray(keypoints_ref)
    speed, contact = jnp.asarray(foot_planar_speed), jnp.asarray(foot_contact)
    require(
        keypoints.ndim == 3 and keypoints.shape == reference.shape,
        f"keypoints have shape {keypoints.shape} and keypoints_ref {reference.shape}; "
        "both must be (time, points, 3)",
    )
    require(
        speed.shape == contact.shape,
        f"foot_planar_speed has shape {speed.shape} and foot_contact {contact.shape}; "
        "both must be (time, feet)",
    )
    third = jnp.diff(keypoints, n=3, axis=0) if keypoints.shape[0] > 3 else keypoints[:0]
    touching = contact > 0
    return {
        "mean_keypoint_error": jnp.mean(safe_norm(keypoints - reference)),
        "mean_jerk": jnp.sum(safe_norm(third)) / (max(third.size // 3, 1) * dt**3),
        "foot_skate": jnp.sum(jnp.where(touching, speed, 0.0)) / jnp.maximum(jnp.sum(touching), 1),
    }


def mean_rotation_error(
    quats: Float[Array, "... 4"], quats_ref: Float[Array, "... 4"]
) -> Float[Array, ""]:
    """Mean angle between orientations, in radians."""
    return jnp.mean(quat_angle_between(jnp.asarray(quats), jnp.asarray(quats_ref)))


def contact_agreement(
    contact: Float[Array, "time feet"], contact_ref: Float[Array, "time feet"]
) -> Float[Array, ""]:
    """Share of entries in which foot contact is as in the reference; 1 without feet."""
    same = (jnp.asarray(contact) > 0) == (jnp.asarray(contact_ref) > 0)
    return jnp.sum(same) / max(same.size, 1) + float(same.size == 0)
