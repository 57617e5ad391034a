"""Rewards for pointing at, or outlining, a box: Gaussians sized by the target, and baselines.

Boxes are corners `[x1, y1, x2, y2]`, float32, in pixels, on the last axis; all other axes
broadcast. Every function works under jit, vmap and grad, and its value and gradients are finite
for any input: boxes with a coordinate that is not finite, or beyond 1e12, earn 0 (the distance:
see there).

Reversed corners (x2 < x1 or y2 < y1) earn 0. The published code accepts them, because it squares
the sizes; pass `strict=False` for that behaviour. A target without area earns 0.

Source: Tang et al., "GUI-G²: Gaussian Reward Modeling for GUI Grounding", 2025.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import record, static_field
from jaxrl_rewards.rewards.base import RewardTerm

_FAR = 14.0  # standard deviations; exp(-14² / 2) is below the smallest normal float32
_TINY = 1e-12  # pixels; a smaller extent counts as none
_HUGE = 1e12  # pixels; a box that reaches farther counts as not finite


def box_centre(box: Float[Array, "... 4"]) -> Float[Array, "... 2"]:
    """Centres (x, y) of boxes."""
    box = jnp.asarray(box, jnp.float32)
    return 0.5 * box[..., :2] + 0.5 * box[..., 2:]


def box_size(box: Float[Array, "... 4"]) -> Float[Array, "... 2"]:
    """Width and height of boxes; negative where corners are reversed."""
    box = jnp.asarray(box, jnp.float32)
    return box[..., 2:] - box[..., :2]


def gaussian_point_at(
    point: Float[Array, "... 2"],
    box: Float[Array, "... 4"],
    alpha: Float[Array, "..."] | float = 0.5,
    *,
    strict: bool = True,
) -> Float[Array, "..."]:
    """`exp(-½ Σ ((point - centre) / (alpha · size))²)`: 1 at the centre of `box`, in [0, 1].

    With `alpha` 0.5 it is 0.61 in the middle of an edge and 0.37 at a corner. It is exactly 0
    beyond 14 standard deviations (where float32 underflows), for a box without area, and for
    `alpha` 0.
    """
    point, known_point = _clean(point)
    box, known_box = _clean(box)
    size = box_size(box)
    deviation = jnp.asarray(alpha, jnp.float32)[..., None] * size
    usable = jnp.abs(deviation) > _TINY
    if strict:
        usable = usable & (size > 0)
    offset = point - box_centre(box)
    known = (known_point & known_box)[..., None]
    near = usable & known & (jnp.abs(offset) < _FAR * jnp.abs(deviation))
    # The inner selections keep gradients finite where the outer one discards the value.
    score = jnp.where(near, offset, 0.0) / jnp.where(near, deviation, 1.0)
    value = jnp.exp(-0.5 * jnp.sum(score**2, axis=-1))
    return jnp.where(jnp.all(near, axis=-1), value, 0.0)


def gaussian_point_reward(
    pred: Float[Array, "... 4"],
    gt: Float[Array, "... 4"],
    alpha: Float[Array, "..."] | float = 0.5,
    *,
    strict: bool = True,
) -> Float[Array, "..."]:
    """`gaussian_point_at` of the centre of `pred`; in [0, 1].

    A prediction without area is scored like a point. With `strict`, reversed corners of either
    box earn 0.
    """
    value = gaussian_point_at(box_centre(pred), gt, alpha, strict=strict)
    return jnp.where(_ordered(pred), value, 0.0) if strict else value


def gaussian_coverage_reward(
    pred: Float[Array, "... 4"],
    gt: Float[Array, "... 4"],
    alpha: Float[Array, "..."] | float = 0.5,
    eps: Float[Array, "..."] | float = 1e-8,
    *,
    strict: bool = True,
) -> Float[Array, "..."]:
    """Bhattacharyya coefficient `exp(-D)` of two Gaussians with `sigma = alpha · size`.

    `D = ⅛ dᵀ S⁻¹ d + ½ ln(det S / sqrt(det S_p det S_g))`, `S = (S_p + S_g) / 2`, d between the
    centres. As published, `eps` is added to the diagonal of S before it is inverted and inside
    the square root. In pixels that is harmless and the value lies in [0, 1]; with coordinates in
    0..1 it dominates and the value exceeds 1: use `eps=0` there, which is invariant to the scale
    of both boxes and never exceeds 1.

    Without area, `pred` earns `det S^(-½) eps^(¼)`, nearly 0 (with `eps=0` exactly 0), and `gt`
    earns 0.
    """
    pred, known_pred = _clean(pred)
    gt, known_gt = _clean(gt)
    alpha = jnp.abs(jnp.asarray(alpha, jnp.float32))[..., None]
    sigma_p, sigma_g = alpha * jnp.abs(box_size(pred)), alpha * jnp.abs(box_size(gt))
    offset = box_centre(pred) - box_centre(gt)
    earns = known_pred & known_gt & jnp.all(sigma_g > _TINY, axis=-1)
    if strict:
        earns = earns & _ordered(pred) & _ordered(gt)
    sigma_g = jnp.where(earns[..., None], sigma_g, 1.0)
    has_area = jnp.all(sigma_p > _TINY, axis=-1)
    eps = jnp.asarray(eps, jnp.float32)

    # Mahalanobis part per axis: d² / (8 (s + eps)) with s = (sigma_p² + sigma_g²) / 2.
    spread = jnp.sqrt(0.5 * (sigma_p**2 + sigma_g**2) + eps[..., None])
    close = earns[..., None] & (jnp.abs(offset) < 2.0 * _FAR * spread)
    score = jnp.where(close, offset, 0.0) / jnp.where(close, spread, 1.0)
    distance = 0.125 * jnp.sum(score**2, axis=-1)

    # Log-determinants as sums of logs. With area, per axis ½ ln(s / (sigma_p sigma_g)) is
    # ½ log1p((sigma_p - sigma_g)² / (2 sigma_p sigma_g)), which never rounds below 0.
    inner = jnp.where(has_area[..., None], sigma_p, 1.0)
    gap = (inner - sigma_g) / sigma_g
    shape = 0.5 * jnp.sum(jnp.log1p(0.5 * gap * (gap / (inner / sigma_g))), axis=-1)
    log_product = 2.0 * jnp.sum(jnp.log(inner) + jnp.log(sigma_g), axis=-1)
    log_eps = jnp.log(jnp.where(eps > 0, eps, 1.0))
    softened = -0.25 * jax.nn.softplus(log_eps - log_product)
    with_area = shape + jnp.where(eps > 0, softened, 0.0)
    flat = 0.5 * jnp.sum(jnp.log(0.5 * (sigma_p**2 + sigma_g**2)), axis=-1) - 0.25 * log_eps
    earns = earns & jnp.all(close, axis=-1) & (has_area | (eps > 0))
    exponent = -(distance + jnp.where(has_area, with_area, flat))
    return jnp.where(earns, jnp.exp(jnp.where(earns, jnp.minimum(exponent, 80.0), 0.0)), 0.0)


def gaussian_coverage_reward_safe(
    pred: Float[Array, "... 4"],
    gt: Float[Array, "... 4"],
    alpha: Float[Array, "..."] | float = 0.5,
    *,
    strict: bool = True,
) -> Float[Array, "..."]:
    """`gaussian_coverage_reward` with `eps=0`: invariant to scale, never above 1."""
    return gaussian_coverage_reward(pred, gt, alpha, 0.0, strict=strict)


def combined_reward(
    point: Float[Array, "..."],
    coverage: Float[Array, "..."],
    nu: Float[Array, "..."] | float = 1.0,
    gamma: Float[Array, "..."] | float = 1.0,
) -> Float[Array, "..."]:
    """`nu · point + gamma · coverage`; in [0, 2] with the published weights of 1."""
    return nu * point + gamma * coverage


def point_in_box(point: Float[Array, "... 2"], box: Float[Array, "... 4"]) -> Bool[Array, "..."]:
    """Whether a point lies in a box, borders included."""
    point, box = jnp.asarray(point, jnp.float32), jnp.asarray(box, jnp.float32)
    return jnp.all((point >= box[..., :2]) & (point <= box[..., 2:]), axis=-1)


def point_binary_reward(
    pred: Float[Array, "... 4"], gt: Float[Array, "... 4"], *, strict: bool = True
) -> Float[Array, "..."]:
    """1 where the centre of `pred` lies in `gt`, borders included, else 0."""
    hit = point_in_box(box_centre(pred), gt)
    return (hit & _ordered(pred) if strict else hit).astype(jnp.float32)


def iou(pred: Float[Array, "... 4"], gt: Float[Array, "... 4"]) -> Float[Array, "..."]:
    """Intersection over union, in [0, 1]; 0 where a box is reversed or the union has no area."""
    pred, known_pred = _clean(pred)
    gt, known_gt = _clean(gt)
    good = known_pred & known_gt & _ordered(pred) & _ordered(gt)
    low, high = jnp.maximum(pred[..., :2], gt[..., :2]), jnp.minimum(pred[..., 2:], gt[..., 2:])
    overlap = jnp.prod(jnp.maximum(high - low, 0.0), axis=-1)
    union = jnp.prod(box_size(pred), axis=-1) + jnp.prod(box_size(gt), axis=-1) - overlap
    usable = good & (union > _TINY**2)
    return jnp.where(usable, overlap / jnp.where(usable, union, 1.0), 0.0)


def iou_binary_reward(
    pred: Float[Array, "... 4"],
    gt: Float[Array, "... 4"],
    threshold: Float[Array, "..."] | float = 0.5,
) -> Float[Array, "..."]:
    """1 where `iou` exceeds `threshold`, else 0."""
    return (iou(pred, gt) > threshold).astype(jnp.float32)


def inside_gaussian_reward(
    pred: Float[Array, "... 4"],
    gt: Float[Array, "... 4"],
    alpha: Float[Array, "..."] | float = 0.5,
    nu: Float[Array, "..."] | float = 1.0,
    gamma: Float[Array, "..."] | float = 1.0,
) -> Float[Array, "..."]:
    """The combined Gaussian reward, paid only where the centre of `pred` lies in `gt`."""
    total = combined_reward(
        gaussian_point_reward(pred, gt, alpha),
        gaussian_coverage_reward_safe(pred, gt, alpha),
        nu,
        gamma,
    )
    return point_binary_reward(pred, gt) * total


def fixed_variance_reward(
    pred: Float[Array, "... 4"],
    gt: Float[Array, "... 4"],
    sigma: Float[Array, "..."] | float = 5.0,
    nu: Float[Array, "..."] | float = 1.0,
    gamma: Float[Array, "..."] | float = 1.0,
) -> Float[Array, "..."]:
    """Both Gaussians with one `sigma` in pixels, whatever the sizes; in [0, nu + gamma].

    The point part is `exp(-d²/2σ²)`; two Gaussians of equal variance have the coefficient
    `exp(-d²/8σ²)`. 0 for reversed corners and for `sigma` 0.
    """
    sigma = jnp.asarray(sigma, jnp.float32)
    pred, known_pred = _clean(pred)
    gt, known_gt = _clean(gt)
    offset = box_centre(pred) - box_centre(gt)
    limit = 2.0 * _FAR * jnp.abs(sigma)[..., None]
    near = (jnp.abs(offset) < limit) & (jnp.abs(sigma)[..., None] > _TINY)
    score = jnp.where(near, offset, 0.0) / jnp.where(near, sigma[..., None], 1.0)
    square = jnp.sum(score**2, axis=-1)
    total = combined_reward(jnp.exp(-0.5 * square), jnp.exp(-0.125 * square), nu, gamma)
    earns = known_pred & known_gt & _ordered(pred) & _ordered(gt) & jnp.all(near, axis=-1)
    return jnp.where(earns, total, 0.0)


def centre_distance(pred: Float[Array, "... 4"], gt: Float[Array, "... 4"]) -> Float[Array, "..."]:
    """Euclidean distance between the centres, pixels; its gradient at 0 is 0.

    Coordinates are clipped to ±1e9 pixels and those that are not numbers count as 1e9.
    """
    offset = jnp.abs(_bounded(box_centre(pred)) - _bounded(box_centre(gt)))
    square = jnp.sum(offset**2, axis=-1)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def distance_reward(
    pred: Float[Array, "... 4"],
    gt: Float[Array, "... 4"],
    scale: Float[Array, "..."] | float = 1.0,
) -> Float[Array, "..."]:
    """`-centre_distance / scale`: 0 at the centre, unbounded below; `scale` in pixels, positive."""
    return -centre_distance(pred, gt) / scale


def _ordered(box: Float[Array, "... 4"]) -> Bool[Array, "..."]:
    """Whether corners are in order (equal ones included)."""
    return jnp.all(box_size(box) >= 0, axis=-1)


def _clean(value: Float[Array, "... D"]) -> tuple[Float[Array, "... D"], Bool[Array, "..."]]:
    """`value` with 0 for all of an unknown or huge row, and which rows are sound.

    Sound numbers are small enough that their squares and quotients are finite.
    """
    value = jnp.asarray(value, jnp.float32)
    sound = jnp.all(jnp.abs(value) < _HUGE, axis=-1)
    return jnp.where(sound[..., None], value, 0.0), sound


def _bounded(value: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.clip(jnp.where(jnp.isnan(value), 1e9, value), -1e9, 1e9)


# ---------------------------------------------------------------- reward classes


def _number(value: float) -> Any:
    """A dataclass field with a float32 scalar as its default."""
    return dataclasses.field(default_factory=lambda: jnp.asarray(np.float32(value)))


class _BoxTerm(RewardTerm):
    """Reads `nxt.pred_box` and `nxt.target_box`, float32 `[4]`, of the world's state."""

    def score(self, pred: Float[Array, "4"], gt: Float[Array, "4"]) -> Float[Array, ""]:
        """The value for one answer."""
        raise NotImplementedError

    def value(self, prev: Any, action: Any, nxt: Any) -> Float[Array, ""]:
        """The value for the answer that led to `nxt`."""
        return self.score(nxt.pred_box, nxt.target_box)


@record
class GaussianPoint(_BoxTerm):
    """`gaussian_point_reward`, in [0, 1]."""

    alpha: Float[Array, ""] | float = _number(0.5)
    name: str = static_field(default="gaussian_point")

    def score(self, pred, gt):
        """See `gaussian_point_reward`."""
        return gaussian_point_reward(pred, gt, self.alpha)


@record
class GaussianCoverage(_BoxTerm):
    """`gaussian_coverage_reward` without `eps`, in [0, 1]."""

    alpha: Float[Array, ""] | float = _number(0.5)
    name: str = static_field(default="gaussian_coverage")

    def score(self, pred, gt):
        """See `gaussian_coverage_reward_safe`."""
        return gaussian_coverage_reward_safe(pred, gt, self.alpha)


@record
class InsideGaussian(_BoxTerm):
    """`inside_gaussian_reward`, in [0, nu + gamma]."""

    alpha: Float[Array, ""] | float = _number(0.5)
    nu: Float[Array, ""] | float = _number(1.0)
    gamma: Float[Array, ""] | float = _number(1.0)
    name: str = static_field(default="inside_gaussian")

    def score(self, pred, gt):
        """See `inside_gaussian_reward`."""
        return inside_gaussian_reward(pred, gt, self.alpha, self.nu, self.gamma)


@record
class FixedVariance(_BoxTerm):
    """`fixed_variance_reward` with `sigma` in pixels, in [0, nu + gamma]."""

    sigma: Float[Array, ""] | float = _number(5.0)
    nu: Float[Array, ""] | float = _number(1.0)
    gamma: Float[Array, ""] | float = _number(1.0)
    name: str = static_field(default="fixed_variance")

    def score(self, pred, gt):
        """See `fixed_variance_reward`."""
        return fixed_variance_reward(pred, gt, self.sigma, self.nu, self.gamma)


@record
class PointHit(_BoxTerm):
    """`point_binary_reward`, 0 or 1."""

    name: str = static_field(default="point_hit")

    def score(self, pred, gt):
        """See `point_binary_reward`."""
        return point_binary_reward(pred, gt)


@record
class BoxIoU(_BoxTerm):
    """`iou`, in [0, 1]."""

    name: str = static_field(default="iou")

    def score(self, pred, gt):
        """See `iou`."""
        return iou(pred, gt)


@record
class IoUHit(_BoxTerm):
    """`iou_binary_reward`, 0 or 1."""

    threshold: Float[Array, ""] | float = _number(0.5)
    name: str = static_field(default="iou_hit")

    def score(self, pred, gt):
        """See `iou_binary_reward`."""
        return iou_binary_reward(pred, gt, self.threshold)


@record
class Distance(_BoxTerm):
    """`distance_reward`, at most 0; `scale` in pixels."""

    scale: Float[Array, ""] | float = _number(1.0)
    name: str = static_field(default="distance")

    def score(self, pred, gt):
        """See `distance_reward`."""
        return distance_reward(pred, gt, self.scale)
