"""Foot contact of the reference, and when a character has lost its reference."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core.errors import require
from jaxrl_rewards.core.rotations import safe_norm


def reference_contact_labels(
    foot_height: Float[Array, "... feet"],
    foot_speed: Float[Array, "... feet"],
    height_threshold: float | Float[Array, ""] = 0.05,
    speed_threshold: float | Float[Array, ""] = 0.5,
) -> Bool[Array, "... feet"]:
    """A foot touches where it is lower (metres) and slower (m/s) than the thresholds, strictly.

    Thresholds grow with the character's scale. NaN is no contact.
    """
    low = jnp.asarray(foot_height) < height_threshold
    return low & (jnp.asarray(foot_speed) < speed_threshold)


def early_termination(
    keypoints: Float[Array, "points 3"],
    keypoints_ref: Float[Array, "points 3"],
    root_height: Float[Array, ""],
    char_root_rest_height: float | Float[Array, ""],
    scale: float | Float[Array, ""],
    distance_threshold: float | Float[Array, ""] = 0.4,
    height_fraction: float | Float[Array, ""] = 0.4,
) -> Bool[Array, ""]:
    """Whether an episode ends: lost, fallen, or not finite.

    Lost: a keypoint farther than `distance_threshold · scale` from its reference; fallen: root
    below `height_fraction` of its rest height. ValueError where keypoints differ in shape.
    """
    keypoints, reference = jnp.asarray(keypoints), jnp.asarray(keypoints_ref)
    require(
        keypoints.shape == reference.shape,
        f"keypoints have shape {keypoints.shape}, keypoints_ref {reference.shape}; they must agree",
    )
    lost = jnp.any(safe_norm(keypoints - reference) > distance_threshold * scale)
    fallen = root_height < height_fraction * char_root_rest_height
    finite = jnp.all(jnp.isfinite(keypoints)) & jnp.isfinite(root_height)
    return lost | fallen | ~finite
