"""Rewards for following a reference motion: pure functions over arrays.

Every kernel is `exp(-k · e)` of an error e: 1 on the reference, in [0, 1], smooth. Arrays are
float32; lengths in metres, angles in radians, quaternions `(w, x, y, z)`. Everything is for one
moment of one character and is lifted by `vmap`; values and gradients are finite for finite
arguments, at q = -q too. The terms of the reward algebra stand in
`jaxrl_rewards.rewards.imitation_terms`.

Sources: the reward of Reda et al., "Physics-based Motion Retargeting from Sparse Inputs", 2023;
Luo et al., "Perpetual Humanoid Control", 2023; Al-Hafez et al., "LocoMuJoCo", 2023; Peng et al.,
"DeepMimic", 2018, and "AMP: Adversarial Motion Priors", 2021.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import Record, record
from jaxrl_rewards.core.errors import require
from jaxrl_rewards.core.rotations import quat_angle_between

Number = float | Float[Array, ""]


@record
class ImitationWeights(Record):
    """Weights v and sharpness k of the retargeting reward; every number is a leaf."""

    imitation: Number = 0.7
    contact: Number = 0.1
    action: Number = 0.2
    pose: Number = 0.3
    joint_vel: Number = 0.1
    keypoint: Number = 0.35
    keypoint_vel: Number = 0.1
    root: Number = 0.15
    k_pose: Number = 10.0
    k_joint_vel: Number = 0.1
    k_keypoint: Number = 100.0
    k_keypoint_vel: Number = 0.1
    k_root: Number = 10.0
    k_contact: Number = 3.0
    action_size: Number = 0.4
    action_rate: Number = 0.6
    k_action_size: Number = 0.5
    k_action_rate: Number = 2.0


IMITATION_TERMS = ("pose", "joint_vel", "keypoint", "keypoint_vel", "root")


def exponential_kernel(error: Float[Array, "..."], k: Number) -> Float[Array, "..."]:
    """`exp(-k · error)`: 1 without error."""
    return jnp.exp(-jnp.asarray(k, jnp.float32) * error)


def masked_mean_square(
    values: Float[Array, "joints"], reference: Float[Array, "joints"], mask: Float[Array, "joints"]
) -> Float[Array, ""]:
    """`Σ mask (values - reference)² / max(Σ mask, 1)`: 0 when nothing is mapped.

    Entries under a false mask are ignored, NaN included.
    """
    _same_shape("values", values, "reference", reference, "mask", mask)
    mask = jnp.asarray(mask, jnp.float32)
    gap = jnp.where(mask > 0, values, 0.0) - jnp.where(mask > 0, reference, 0.0)
    return jnp.sum(mask * gap**2) / jnp.maximum(jnp.sum(mask), 1.0)


def mean_square_norm(
    values: Float[Array, "points 3"], reference: Float[Array, "points 3"]
) -> Float[Array, ""]:
    """Squared distance per point, averaged over the points; 0 without points."""
    _same_shape("values", values, "reference", reference)
    square = jnp.sum((jnp.asarray(values) - jnp.asarray(reference)) ** 2, axis=-1)
    return jnp.sum(square) / max(square.size, 1)


def root_error(
    height: Float[Array, ""], height_ref: Float[Array, ""], angle: Float[Array, ""]
) -> Float[Array, ""]:
    """`(h - h_ref)² + angle²`: height in (scaled) metres, angle to the reference in radians."""
    return (height - height_ref) ** 2 + angle**2


def contact_reward(
    contact: Float[Array, "feet"], contact_ref: Float[Array, "feet"], k: Number = 3.0
) -> Float[Array, ""]:
    """`exp(-k · mean over feet (c - c_ref)²)`; 1 for a character without feet."""
    _same_shape("contact", contact, "contact_ref", contact_ref)
    gap = jnp.asarray(contact, jnp.float32) - jnp.asarray(contact_ref, jnp.float32)
    return exponential_kernel(jnp.sum(gap**2) / max(gap.size, 1), k)


def action_size_reward(action: Float[Array, "actions"], k: Number = 0.5) -> Float[Array, ""]:
    """`exp(-k · mean a²)`: small actions earn more."""
    return exponential_kernel(jnp.mean(jnp.asarray(action) ** 2), k)


def action_rate_reward(
    action: Float[Array, "actions"], previous: Float[Array, "actions"], k: Number = 2.0
) -> Float[Array, ""]:
    """`exp(-k · mean (a - a_prev)²)`: steady actions earn more."""
    _same_shape("action", action, "previous", previous)
    return exponential_kernel(jnp.mean((jnp.asarray(action) - jnp.asarray(previous)) ** 2), k)


def retarget_errors(
    q: Float[Array, "joints"],
    q_ref: Float[Array, "joints"],
    qd: Float[Array, "joints"],
    qd_ref: Float[Array, "joints"],
    mapped_mask: Float[Array, "joints"],
    keypoints: Float[Array, "points 3"],
    keypoints_ref: Float[Array, "points 3"],
    keypoints_vel: Float[Array, "points 3"],
    keypoints_vel_ref: Float[Array, "points 3"],
    root_height: Float[Array, ""],
    root_height_ref: Float[Array, ""],
    root_angle_error: Float[Array, ""],
) -> dict[str, Float[Array, ""]]:
    """The five errors of the imitation reward, by name (`IMITATION_TERMS`)."""
    return {
        "pose": masked_mean_square(q, q_ref, mapped_mask),
        "joint_vel": masked_mean_square(qd, qd_ref, mapped_mask),
        "keypoint": mean_square_norm(keypoints, keypoints_ref),
        "keypoint_vel": mean_square_norm(keypoints_vel, keypoints_vel_ref),
        "root": root_error(root_height, root_height_ref, root_angle_error),
    }


def retarget_reward(
    q: Float[Array, "joints"],
    q_ref: Float[Array, "joints"],
    qd: Float[Array, "joints"],
    qd_ref: Float[Array, "joints"],
    mapped_mask: Float[Array, "joints"],
    keypoints: Float[Array, "points 3"],
    keypoints_ref: Float[Array, "points 3"],
    keypoints_vel: Float[Array, "points 3"],
    keypoints_vel_ref: Float[Array, "points 3"],
    root_height: Float[Array, ""],
    root_height_ref: Float[Array, ""],
    root_angle_error: Float[Array, ""],
    contact: Float[Array, "feet"],
    contact_ref: Float[Array, "feet"],
    action: Float[Array, "actions"],
    prev_action: Float[Array, "actions"],
    weights: ImitationWeights = ImitationWeights(),  # noqa: B008 - frozen
) -> dict[str, Any]:
    """`reward = w_i R_im + w_c R_contact + w_a R_action`, with all its parts.

    `R_im = Σ v exp(-k e)` over `retarget_errors`; joints with a false `mapped_mask` (tail, ears)
    are left out. Lengths and speeds are taken as given: divide them by the character's scale
    first, so that a mouse is judged like a human. Returns `errors`, `terms` (dicts by name),
    `imitation`, `contact`, `action` and `reward`, scalars. ValueError where shapes differ.
    """
    errors = retarget_errors(
        q=q,
        q_ref=q_ref,
        qd=qd,
        qd_ref=qd_ref,
        mapped_mask=mapped_mask,
        keypoints=keypoints,
        keypoints_ref=keypoints_ref,
        keypoints_vel=keypoints_vel,
        keypoints_vel_ref=keypoints_vel_ref,
        root_height=root_height,
        root_height_ref=root_height_ref,
        root_angle_error=root_angle_error,
    )
    terms = {
        name: exponential_kernel(error, getattr(weights, f"k_{name}"))
        for name, error in errors.items()
    }
    imitation = sum(getattr(weights, name) * term for name, term in terms.items())
    touching = contact_reward(contact, contact_ref, weights.k_contact)
    size = action_size_reward(action, weights.k_action_size)
    rate = action_rate_reward(action, prev_action, weights.k_action_rate)
    acting = weights.action_size * size + weights.action_rate * rate
    return {
        "errors": errors,
        "terms": terms,
        "imitation": imitation,
        "contact": touching,
        "action": acting,
        "reward": weights.imitation * imitation
        + weights.contact * touching
        + weights.action * acting,
    }


def imitation_reward_maximal(
    body_pos: Float[Array, "bodies 3"],
    body_quat: Float[Array, "bodies 4"],
    body_vel: Float[Array, "bodies 3"],
    body_angvel: Float[Array, "bodies 3"],
    ref_pos: Float[Array, "bodies 3"],
    ref_quat: Float[Array, "bodies 4"],
    ref_vel: Float[Array, "bodies 3"],
    ref_angvel: Float[Array, "bodies 3"],
    *,
    weights: Float[Array, "4"] | tuple[float, ...] = (0.5, 0.3, 0.1, 0.1),
    sharpness: Float[Array, "4"] | tuple[float, ...] = (100.0, 10.0, 0.1, 0.1),
) -> tuple[Float[Array, ""], Float[Array, "4"]]:
    """`(reward, terms)` over all bodies of a character, in the order position, rotation,
    velocity, angular velocity.

    `terms = exp(-k · mean squared difference)`, the mean over bodies and axes; the rotation's
    difference is the angle of `q_ref q⁻¹` folded to [0, π], averaged over bodies.
    Source: Luo et al. 2023 (PHC).
    """
    errors = jnp.stack(
        [
            mean_square(body_pos, ref_pos),
            mean_square_angle(body_quat, ref_quat),
            mean_square(body_vel, ref_vel),
            mean_square(body_angvel, ref_angvel),
        ]
    )
    terms = exponential_kernel(errors, jnp.asarray(sharpness, jnp.float32))
    return jnp.sum(jnp.asarray(weights, jnp.float32) * terms), terms


def mean_square(values: Float[Array, "..."], reference: Float[Array, "..."]) -> Float[Array, ""]:
    """Mean over all entries of the squared difference; 0 without entries."""
    _same_shape("values", values, "reference", reference)
    gap = jnp.asarray(values, jnp.float32) - jnp.asarray(reference, jnp.float32)
    return jnp.sum(gap**2) / max(gap.size, 1)


def mean_square_angle(
    quats: Float[Array, "bodies 4"], reference: Float[Array, "bodies 4"]
) -> Float[Array, ""]:
    """Mean over bodies of the squared angle between orientations, in rad²."""
    _same_shape("quats", quats, "reference", reference)
    return jnp.mean(quat_angle_between(jnp.asarray(quats), jnp.asarray(reference)) ** 2)


RELATIVE_SITE_SHARPNESS = {"qpos": 10.0, "qvel": 2.0, "rpos": 100.0, "rquat": 10.0, "rvel": 0.1}
RELATIVE_SITE_WEIGHTS = {"qpos": 0.0, "qvel": 0.0, "rpos": 0.5, "rquat": 0.3, "rvel": 0.0}


def imitation_reward_relative_sites(
    qpos: Float[Array, "positions"],
    qpos_ref: Float[Array, "positions"],
    root_quat_angle: Float[Array, ""],
    qvel: Float[Array, "velocities"],
    qvel_ref: Float[Array, "velocities"],
    site_rpos: Float[Array, "sites 3"],
    site_rpos_ref: Float[Array, "sites 3"],
    site_rangles: Float[Array, "sites 3"],
    site_rangles_ref: Float[Array, "sites 3"],
    site_rvel: Float[Array, "sites 6"],
    site_rvel_ref: Float[Array, "sites 6"],
    *,
    sharpness: dict[str, Number] | None = None,
    weights: dict[str, Number] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """`(reward, terms)` from sites relative to a main site, plus joint positions and velocities.

    `qpos`: `exp(-k (mean Δ² + root_quat_angle))`, the angle unsquared; all others `exp(-k mean
    Δ²)` over all entries. `site_rangles` are rotation vectors to the main site; `site_rvel` holds
    rotational (columns 0-2), then linear velocity (3-5), two terms that share weight and
    sharpness `rvel`. Keys as in `RELATIVE_SITE_SHARPNESS` and `RELATIVE_SITE_WEIGHTS`, the
    defaults. Source: Al-Hafez et al. 2023 (LocoMuJoCo).
    """
    k = RELATIVE_SITE_SHARPNESS if sharpness is None else sharpness
    w = RELATIVE_SITE_WEIGHTS if weights is None else weights
    site_rvel, site_rvel_ref = jnp.asarray(site_rvel), jnp.asarray(site_rvel_ref)
    terms = {
        "qpos": exponential_kernel(mean_square(qpos, qpos_ref) + root_quat_angle, k["qpos"]),
        "qvel": exponential_kernel(mean_square(qvel, qvel_ref), k["qvel"]),
        "rpos": exponential_kernel(mean_square(site_rpos, site_rpos_ref), k["rpos"]),
        "rquat": exponential_kernel(mean_square(site_rangles, site_rangles_ref), k["rquat"]),
        "rvel_rot": exponential_kernel(
            mean_square(site_rvel[..., :3], site_rvel_ref[..., :3]), k["rvel"]
        ),
        "rvel_lin": exponential_kernel(
            mean_square(site_rvel[..., 3:], site_rvel_ref[..., 3:]), k["rvel"]
        ),
    }
    return sum(w[name.split("_")[0]] * term for name, term in terms.items()), terms


DEEPMIMIC_WEIGHTS = {"pose": 0.5, "vel": 0.05, "end_eff": 0.15, "root": 0.2, "com": 0.1}


def deepmimic_sharpness(num_joints: int, com: float = 10.0) -> dict[str, float]:
    """k of each DeepMimic term; pose and velocity errors are sums over joints, so k grows with
    their number. `com` is 10 in the published code and 40 in the article."""
    per_joint = num_joints / 15.0
    return {
        "pose": 2.0 * per_joint,
        "vel": 0.1 * per_joint,
        "end_eff": 10.0,
        "root": 5.0,
        "com": com,
    }


def deepmimic_reward(
    errors: dict[str, Float[Array, ""]],
    num_joints: int,
    *,
    weights: dict[str, Number] | None = None,
    sharpness: dict[str, Number] | None = None,
) -> Float[Array, ""]:
    """`Σ w exp(-k e)` over `pose`, `vel`, `end_eff`, `root` and `com`.

    `errors` are the squared errors, already joined with the joints' weights. Source: Peng et al.
    2018.
    """
    w = DEEPMIMIC_WEIGHTS if weights is None else weights
    k = deepmimic_sharpness(num_joints) if sharpness is None else sharpness
    missing = sorted(set(w) - set(errors))
    require(not missing, f"deepmimic_reward: errors has no {', '.join(missing)}; give all five")
    return sum(w[name] * exponential_kernel(jnp.asarray(errors[name]), k[name]) for name in w)


def amp_style_reward(logit: Float[Array, "..."]) -> Float[Array, "..."]:
    """`max(0, 1 - (logit - 1)² / 4)` of a least-squares discriminator trained to give 1 for the
    reference and -1 for the policy. Source: Peng et al. 2021 (AMP)."""
    return jnp.maximum(0.0, 1.0 - 0.25 * (jnp.asarray(logit, jnp.float32) - 1.0) ** 2)


def _same_shape(*pairs: Any) -> None:
    """ValueError unless all arrays have one shape; arguments alternate name, array."""
    names, shapes = pairs[::2], [jnp.shape(array) for array in pairs[1::2]]
    require(
        len(set(shapes)) == 1,
        f"{', '.join(names)} have shapes {', '.join(map(str, shapes))}; they must agree",
    )
