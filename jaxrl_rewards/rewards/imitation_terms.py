"""The imitation rewards as terms of the reward algebra: `0.7 * Pose() + 0.3 * ContactMatch()`.

Terms read what a world's state offers: `nxt.tracking` (a `Tracking` record), `nxt.bodies` and
`nxt.bodies_ref` (`Bodies`), `nxt.sites` and `nxt.sites_ref` (`Sites`), `nxt.style_logit`. A record
handed over directly, instead of a state that holds one, works as well. Every sharpness k is a
leaf, and so is every weight of a sum. The functions stand in `jaxrl_rewards.rewards.imitation`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_rewards.core import Record, record, static_field
from jaxrl_rewards.rewards import imitation as functions
from jaxrl_rewards.rewards.base import RewardTerm, WeightedSum, weighted_sum
from jaxrl_rewards.rewards.imitation import ImitationWeights, exponential_kernel


def _number(value: float) -> Any:
    """A dataclass field with a float32 scalar as its default."""
    return dataclasses.field(default_factory=lambda: jnp.asarray(np.float32(value)))


@record
class Tracking(Record):
    """One moment of a character beside its reference; lengths and speeds divided by its scale."""

    q: Float[Array, "joints"]
    q_ref: Float[Array, "joints"]
    qd: Float[Array, "joints"]
    qd_ref: Float[Array, "joints"]
    mapped_mask: Float[Array, "joints"]
    keypoints: Float[Array, "points 3"]
    keypoints_ref: Float[Array, "points 3"]
    keypoints_vel: Float[Array, "points 3"]
    keypoints_vel_ref: Float[Array, "points 3"]
    root_height: Float[Array, ""]
    root_height_ref: Float[Array, ""]
    root_angle_error: Float[Array, ""]
    contact: Float[Array, "feet"]
    contact_ref: Float[Array, "feet"]
    action: Float[Array, "actions"]
    prev_action: Float[Array, "actions"]


@record
class Bodies(Record):
    """Positions, orientations and velocities of all bodies of a character."""

    pos: Float[Array, "bodies 3"]
    quat: Float[Array, "bodies 4"]
    vel: Float[Array, "bodies 3"]
    angvel: Float[Array, "bodies 3"]


@record
class Sites(Record):
    """Joint state of a character and its sites relative to a main site."""

    qpos: Float[Array, "positions"]
    root_quat_angle: Float[Array, ""]
    """Angle to the reference's root; read from `nxt.sites`, ignored in `nxt.sites_ref`."""
    qvel: Float[Array, "velocities"]
    rpos: Float[Array, "sites 3"]
    rangles: Float[Array, "sites 3"]
    rvel: Float[Array, "sites 6"]


class _TrackingTerm(RewardTerm):
    """Reads `nxt.tracking`."""

    def score(self, now: Tracking) -> Float[Array, ""]:
        """The value of the term at one moment."""
        raise NotImplementedError

    def value(self, prev: Any, action: Any, nxt: Any) -> Float[Array, ""]:
        """The value for the moment reached."""
        now = getattr(nxt, "tracking", nxt)
        if now is None:
            raise ValueError(
                f"the term {self.name!r} reads nxt.tracking, which is None; fill it in by "
                "nxt.replace(tracking=world.tracking(nxt, params))"
            )
        return self.score(now)


@record
class Pose(_TrackingTerm):
    """`exp(-k · masked mean (q - q_ref)²)` over mapped joints."""

    k: Float[Array, ""] | float = _number(10.0)
    name: str = static_field(default="pose")

    def score(self, now):
        """See `masked_mean_square`."""
        error = functions.masked_mean_square(now.q, now.q_ref, now.mapped_mask)
        return exponential_kernel(error, self.k)


@record
class JointVelocity(_TrackingTerm):
    """`exp(-k · masked mean (q̇ - q̇_ref)²)` over mapped joints."""

    k: Float[Array, ""] | float = _number(0.1)
    name: str = static_field(default="joint_vel")

    def score(self, now):
        """See `masked_mean_square`."""
        error = functions.masked_mean_square(now.qd, now.qd_ref, now.mapped_mask)
        return exponential_kernel(error, self.k)


@record
class Keypoint(_TrackingTerm):
    """`exp(-k · mean ‖p - p_ref‖²)` over head, hands and feet."""

    k: Float[Array, ""] | float = _number(100.0)
    name: str = static_field(default="keypoint")

    def score(self, now):
        """See `mean_square_norm`."""
        error = functions.mean_square_norm(now.keypoints, now.keypoints_ref)
        return exponential_kernel(error, self.k)


@record
class KeypointVelocity(_TrackingTerm):
    """`exp(-k · mean ‖v - v_ref‖²)` over head, hands and feet."""

    k: Float[Array, ""] | float = _number(0.1)
    name: str = static_field(default="keypoint_vel")

    def score(self, now):
        """See `mean_square_norm`."""
        error = functions.mean_square_norm(now.keypoints_vel, now.keypoints_vel_ref)
        return exponential_kernel(error, self.k)


@record
class Root(_TrackingTerm):
    """`exp(-k · ((h - h_ref)² + angle²))` of the root."""

    k: Float[Array, ""] | float = _number(10.0)
    name: str = static_field(default="root")

    def score(self, now):
        """See `root_error`."""
        error = functions.root_error(now.root_height, now.root_height_ref, now.root_angle_error)
        return exponential_kernel(error, self.k)


@record
class ContactMatch(_TrackingTerm):
    """`contact_reward`: feet on the ground when the reference's are."""

    k: Float[Array, ""] | float = _number(3.0)
    name: str = static_field(default="contact")

    def score(self, now):
        """See `contact_reward`."""
        return functions.contact_reward(now.contact, now.contact_ref, self.k)


@record
class ActionSize(_TrackingTerm):
    """`action_size_reward`: small actions."""

    k: Float[Array, ""] | float = _number(0.5)
    name: str = static_field(default="action_size")

    def score(self, now):
        """See `action_size_reward`."""
        return functions.action_size_reward(now.action, self.k)


@record
class ActionRate(_TrackingTerm):
    """`action_rate_reward`: steady actions."""

    k: Float[Array, ""] | float = _number(2.0)
    name: str = static_field(default="action_rate")

    def score(self, now):
        """See `action_rate_reward`."""
        return functions.action_rate_reward(now.action, now.prev_action, self.k)


def retarget_terms(weights: ImitationWeights | None = None) -> WeightedSum:
    """The whole `retarget_reward` as a sum of its eight terms, all numbers as leaves."""
    w = ImitationWeights() if weights is None else weights
    number = lambda value: jnp.asarray(value, jnp.float32)  # noqa: E731
    pairs = (
        (Pose(k=number(w.k_pose)), w.imitation * w.pose),
        (JointVelocity(k=number(w.k_joint_vel)), w.imitation * w.joint_vel),
        (Keypoint(k=number(w.k_keypoint)), w.imitation * w.keypoint),
        (KeypointVelocity(k=number(w.k_keypoint_vel)), w.imitation * w.keypoint_vel),
        (Root(k=number(w.k_root)), w.imitation * w.root),
        (ContactMatch(k=number(w.k_contact)), w.contact),
        (ActionSize(k=number(w.k_action_size)), w.action * w.action_size),
        (ActionRate(k=number(w.k_action_rate)), w.action * w.action_rate),
    )
    return weighted_sum(
        tuple(term for term, _ in pairs), tuple(number(weight) for _, weight in pairs)
    )


@record
class BodyMatch(RewardTerm):
    """`exp(-k · mean Δ²)` of one field of `nxt.bodies` against `nxt.bodies_ref`.

    The field "quat" is compared by its angle.
    """

    k: Float[Array, ""] | float
    field: str = static_field()
    name: str = static_field()

    def value(self, prev, action, nxt):
        """See `imitation_reward_maximal`."""
        ours, theirs = getattr(nxt.bodies, self.field), getattr(nxt.bodies_ref, self.field)
        compare = functions.mean_square_angle if self.field == "quat" else functions.mean_square
        return exponential_kernel(compare(ours, theirs), self.k)


def maximal_terms() -> WeightedSum:
    """`imitation_reward_maximal` as a sum of four terms with its published numbers."""
    numbers = {
        "pos": ("body_position", 100.0, 0.5),
        "quat": ("body_rotation", 10.0, 0.3),
        "vel": ("body_velocity", 0.1, 0.1),
        "angvel": ("body_angular_velocity", 0.1, 0.1),
    }
    return weighted_sum(
        tuple(
            BodyMatch(k=jnp.float32(k), field=field, name=name)
            for field, (name, k, _) in numbers.items()
        ),
        tuple(jnp.float32(weight) for *_, weight in numbers.values()),
    )


@record
class SiteMatch(RewardTerm):
    """One term of `imitation_reward_relative_sites`, from `nxt.sites` and `nxt.sites_ref`."""

    k: Float[Array, ""] | float
    part: str = static_field()
    """"qpos", "qvel", "rpos", "rquat", "rvel_rot" or "rvel_lin"."""
    name: str = static_field()

    def value(self, prev, action, nxt):
        """See `imitation_reward_relative_sites`."""
        ours, theirs = nxt.sites, nxt.sites_ref
        if self.part == "rvel_rot":
            error = functions.mean_square(ours.rvel[..., :3], theirs.rvel[..., :3])
        elif self.part == "rvel_lin":
            error = functions.mean_square(ours.rvel[..., 3:], theirs.rvel[..., 3:])
        else:
            field = {"rquat": "rangles"}.get(self.part, self.part)
            error = functions.mean_square(getattr(ours, field), getattr(theirs, field))
        if self.part == "qpos":
            error = error + ours.root_quat_angle
        return exponential_kernel(error, self.k)


def relative_site_terms() -> WeightedSum:
    """`imitation_reward_relative_sites` as a sum of six terms with its published numbers."""
    parts = ("qpos", "qvel", "rpos", "rquat", "rvel_rot", "rvel_lin")
    k, weights = functions.RELATIVE_SITE_SHARPNESS, functions.RELATIVE_SITE_WEIGHTS
    return weighted_sum(
        tuple(
            SiteMatch(k=jnp.float32(k[part.split("_")[0]]), part=part, name=f"site_{part}")
            for part in parts
        ),
        tuple(jnp.float32(weights[part.split("_")[0]]) for part in parts),
    )


@record
class ErrorKernel(RewardTerm):
    """`exp(-k · e)` of one entry of the dict `nxt.errors`, e.g. a DeepMimic error."""

    k: Float[Array, ""] | float
    error: str = static_field()
    name: str = static_field()

    def value(self, prev, action, nxt):
        """See `exponential_kernel`."""
        return exponential_kernel(nxt.errors[self.error], self.k)


def deepmimic_terms(num_joints: int) -> WeightedSum:
    """`deepmimic_reward` as a sum of five terms that read `nxt.errors`."""
    sharpness = functions.deepmimic_sharpness(num_joints)
    return weighted_sum(
        tuple(
            ErrorKernel(k=jnp.float32(sharpness[name]), error=name, name=f"deepmimic_{name}")
            for name in functions.DEEPMIMIC_WEIGHTS
        ),
        tuple(jnp.float32(weight) for weight in functions.DEEPMIMIC_WEIGHTS.values()),
    )


@record
class Style(RewardTerm):
    """`amp_style_reward` of the discriminator's output `nxt.style_logit`."""

    name: str = static_field(default="style")

    def value(self, prev, action, nxt):
        """See `amp_style_reward`."""
        return functions.amp_style_reward(nxt.style_logit)
