"""Rotations as unit quaternions `(w, x, y, z)` on the last axis; all other axes broadcast.

Functions take NumPy arrays or JAX arrays. NumPy in, NumPy out, in its own precision: readers of
files work in float64 and compile nothing. With a JAX array among the arguments the result is a
JAX array, and works under jit, vmap and grad. Values and gradients are finite at the identity, at
q = -q and for the zero quaternion, which counts as the identity. Angles are in radians.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_rewards.core.errors import require

_TINY = 1e-12
_AXES = {"x": 0, "y": 1, "z": 2}


def _arrays(*values: Any) -> tuple[Any, list[Any]]:
    """The array module for the arguments, and the arguments as its floating-point arrays."""
    if all(
        isinstance(value, (np.ndarray, np.generic, float, int, list, tuple)) for value in values
    ):
        arrays = [np.asarray(value) for value in values]
        return np, [a if a.dtype.kind == "f" else a.astype(np.float64) for a in arrays]
    return jnp, [jnp.asarray(value, jnp.float32) for value in values]


def safe_norm(vector: Float[Array, "... n"]) -> Float[Array, "..."]:
    """Euclidean norm over the last axis whose gradient at zero is zero."""
    xp, (vector,) = _arrays(vector)
    square = xp.sum(vector * vector, axis=-1)
    some = square > 0
    return xp.where(some, xp.sqrt(xp.where(some, square, 1.0)), 0.0)


def quat_identity(shape: tuple[int, ...] = (), xp: Any = jnp) -> Float[Array, "... 4"]:
    """Identity rotations, `shape + (4,)`."""
    one = xp.asarray([1.0, 0.0, 0.0, 0.0], np.float32 if xp is jnp else np.float64)
    return xp.broadcast_to(one, (*shape, 4))


def quat_normalise(quat: Float[Array, "... 4"]) -> Float[Array, "... 4"]:
    """Scaled to norm 1; a quaternion shorter than 1e-6 becomes the identity."""
    xp, (quat,) = _arrays(quat)
    square = xp.sum(quat * quat, axis=-1, keepdims=True)
    known = square > _TINY
    unit = quat / xp.sqrt(xp.where(known, square, 1.0))
    return xp.where(known, unit, xp.asarray([1.0, 0.0, 0.0, 0.0], quat.dtype))


def quat_conjugate(quat: Float[Array, "... 4"]) -> Float[Array, "... 4"]:
    """The inverse of a unit quaternion."""
    xp, (quat,) = _arrays(quat)
    sign = xp.asarray([1.0, -1.0, -1.0, -1.0], quat.dtype)
    return quat * sign.reshape((1,) * (quat.ndim - 1) + (4,))


def quat_multiply(
    first: Float[Array, "... 4"], second: Float[Array, "... 4"]
) -> Float[Array, "... 4"]:
    """Hamilton product: the rotation `second`, then `first`, about fixed axes."""
    xp, (first, second) = _arrays(first, second)
    a, b, c, d = (first[..., i] for i in range(4))
    e, f, g, h = (second[..., i] for i in range(4))
    return xp.stack(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ],
        axis=-1,
    )


def quat_rotate(
    quat: Float[Array, "... 4"], vector: Float[Array, "... 3"]
) -> Float[Array, "... 3"]:
    """The vector turned by a unit quaternion."""
    xp, (quat, vector) = _arrays(quat, vector)
    axis, vector = xp.broadcast_arrays(quat[..., 1:], vector)
    cross = 2.0 * xp.cross(axis, vector)
    real = quat[..., :1]
    real = real.reshape((1,) * (vector.ndim - real.ndim) + real.shape)
    return vector + real * cross + xp.cross(axis, cross)


def quat_inverse_rotate(
    quat: Float[Array, "... 4"], vector: Float[Array, "... 3"]
) -> Float[Array, "... 3"]:
    """The vector turned by the inverse of a unit quaternion."""
    return quat_rotate(quat_conjugate(quat), vector)


def quat_angle(quat: Float[Array, "... 4"]) -> Float[Array, "..."]:
    """Angle of the rotation folded to [0, π]: `2 atan2(‖v‖, |w|)`; equal for q and -q."""
    xp, (quat,) = _arrays(quat)
    sine, cosine = safe_norm(quat[..., 1:]), xp.abs(quat[..., 0])
    known = sine + cosine > 0
    return 2.0 * xp.arctan2(xp.where(known, sine, 0.0), xp.where(known, cosine, 1.0))


def quat_angle_between(
    first: Float[Array, "... 4"], second: Float[Array, "... 4"]
) -> Float[Array, "..."]:
    """Angle of the rotation that takes `first` to `second`, in [0, π]."""
    return quat_angle(quat_multiply(second, quat_conjugate(first)))


def quat_from_rotvec(rotvec: Float[Array, "... 3"]) -> Float[Array, "... 4"]:
    """From the rotation vector `angle · axis`."""
    xp, (rotvec,) = _arrays(rotvec)
    square = xp.sum(rotvec * rotvec, axis=-1, keepdims=True)
    small = square < 1e-8
    angle = xp.sqrt(xp.where(small, 1.0, square))
    factor = xp.where(small, 0.5 - square / 48.0, xp.sin(0.5 * angle) / angle)
    cosine = xp.where(small, 1.0 - square / 8.0, xp.cos(0.5 * angle))
    return xp.concatenate([cosine, factor * rotvec], axis=-1)


def quat_to_rotvec(quat: Float[Array, "... 4"]) -> Float[Array, "... 3"]:
    """The shorter rotation vector of a unit quaternion, of length at most π."""
    xp, (quat,) = _arrays(quat)
    quat = xp.where(quat[..., :1] < 0, -quat, quat)
    vector, cosine = quat[..., 1:], quat[..., :1]
    square = xp.sum(vector * vector, axis=-1, keepdims=True)
    small = square < 1e-8
    sine = xp.sqrt(xp.where(small, 1.0, square))
    angle = 2.0 * xp.arctan2(sine, xp.where(small, 1.0, cosine))
    return vector * xp.where(small, 2.0 + square / 3.0, angle / sine)


def quat_to_matrix(quat: Float[Array, "... 4"]) -> Float[Array, "... 3 3"]:
    """Rotation matrix of a unit quaternion."""
    xp, (quat,) = _arrays(quat)
    w, x, y, z = (quat[..., i] for i in range(4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def quat_to_rot6d(quat: Float[Array, "... 4"]) -> Float[Array, "... 6"]:
    """First, then second column of the rotation matrix: continuous, for networks."""
    xp, (quat,) = _arrays(quat)
    matrix = quat_to_matrix(quat)
    return xp.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def heading_yaw(quat: Float[Array, "... 4"]) -> Float[Array, "..."]:
    """Yaw `atan2(R10, R00)` of the rotated x axis about z; 0 where that axis is vertical."""
    xp, (quat,) = _arrays(quat)
    w, x, y, z = (quat[..., i] for i in range(4))
    along, across = w * w + x * x - y * y - z * z, 2 * (x * y + w * z)
    known = along * along + across * across > _TINY
    return xp.arctan2(xp.where(known, across, 0.0), xp.where(known, along, 1.0))


def quat_from_yaw(yaw: Float[Array, "..."]) -> Float[Array, "... 4"]:
    """Rotation by `yaw` about z."""
    xp, (yaw,) = _arrays(yaw)
    zero = xp.zeros_like(yaw)
    return xp.stack([xp.cos(0.5 * yaw), zero, zero, xp.sin(0.5 * yaw)], axis=-1)


def heading_quat(quat: Float[Array, "... 4"]) -> Float[Array, "... 4"]:
    """The part of a rotation about z alone, see `heading_yaw`."""
    return quat_from_yaw(heading_yaw(quat))


def quat_slerp(
    first: Float[Array, "... 4"], second: Float[Array, "... 4"], fraction: Float[Array, "..."]
) -> Float[Array, "... 4"]:
    """Along the shorter arc from `first` (0) to `second` (1) at constant angular speed."""
    xp, (first, second, fraction) = _arrays(first, second, fraction)
    step = quat_to_rotvec(quat_multiply(quat_conjugate(first), second))
    return quat_normalise(quat_multiply(first, quat_from_rotvec(fraction[..., None] * step)))


def quat_between(
    source: Float[Array, "... 3"], target: Float[Array, "... 3"]
) -> Float[Array, "... 4"]:
    """The smallest rotation that takes direction `source` to direction `target`.

    Opposite directions are joined by a half turn about an axis across `source`; a zero vector
    gives the identity.
    """
    xp, (source, target) = _arrays(source, target)
    lengths = safe_norm(source) * safe_norm(target)
    dot = xp.sum(source * target, axis=-1)
    straight = xp.concatenate([(lengths + dot)[..., None], xp.cross(source, target)], axis=-1)
    least = xp.argmin(xp.abs(source), axis=-1)
    across = xp.cross(source, xp.eye(3, dtype=source.dtype)[least])
    half = xp.concatenate([xp.zeros_like(across[..., :1]), across], axis=-1)
    opposite = (lengths + dot < 1e-6 * lengths)[..., None]
    return quat_normalise(xp.where(opposite, half, straight))


def quat_about(axis: str, angle: Float[Array, "..."]) -> Float[Array, "... 4"]:
    """Rotation by `angle` about the axis named "x", "y" or "z"."""
    xp, (angle,) = _arrays(angle)
    parts = [xp.cos(0.5 * angle)] + [xp.zeros_like(angle)] * 3
    parts[1 + _AXES[axis]] = xp.sin(0.5 * angle)
    return xp.stack(parts, axis=-1)


def quat_from_euler(angles: Float[Array, "... n"], order: str) -> Float[Array, "... 4"]:
    """Product `R(order[0], angles[0]) R(order[1], angles[1]) ...`: turns about moving axes.

    `order` is one to three letters of x, y, z, such as "yxz"; ValueError for other letters or
    another number of angles.
    """
    xp, (angles,) = _arrays(angles)
    require(
        0 < len(order) <= 3 and set(order) <= set(_AXES) and angles.shape[-1] == len(order),
        f"Euler order {order!r} does not fit {angles.shape[-1]} angles; use letters of x, y, z",
    )
    quat = quat_about(order[0], angles[..., 0])
    for number, axis in enumerate(order[1:], 1):
        quat = quat_multiply(quat, quat_about(axis, angles[..., number]))
    return quat


def quat_to_euler(quat: Float[Array, "... 4"], order: str) -> Float[Array, "... 3"]:
    """Angles with `quat_from_euler(angles, order)` = `quat`, the middle one in [-π/2, π/2].

    `order` is three different letters. With the middle angle at ±π/2 the first and third turn
    about one axis; the whole turn is then given to the first.
    """
    xp, (quat,) = _arrays(quat)
    require(sorted(order) == ["x", "y", "z"], f"Euler order {order!r}: give x, y, z in any order")
    i, j, k = (_AXES[axis] for axis in order)
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    matrix = quat_to_matrix(quat)
    sine = xp.clip(sign * matrix[..., i, k], -1.0, 1.0)
    cosine = safe_norm(xp.stack([matrix[..., i, i], matrix[..., i, j]], axis=-1))
    locked = cosine < 1e-6
    first = xp.arctan2(
        xp.where(locked, sign * matrix[..., k, j], -sign * matrix[..., j, k]),
        xp.where(locked, matrix[..., j, j], matrix[..., k, k]),
    )
    third = xp.arctan2(
        xp.where(locked, 0.0, -sign * matrix[..., i, j]), xp.where(locked, 1.0, matrix[..., i, i])
    )
    middle = xp.arctan2(sine, xp.where(locked, 0.0, cosine))
    return xp.stack([first, middle, third], axis=-1)


def twist_angle(quat: Float[Array, "... 4"], axis: Float[Array, "... 3"]) -> Float[Array, "..."]:
    """Angle in [-π, π] of the part of a rotation about the unit vector `axis`; 0 if undefined."""
    xp, (quat, axis) = _arrays(quat, axis)
    along, w = xp.sum(quat[..., 1:] * axis, axis=-1), quat[..., 0]
    along, w = xp.where(w < 0, -along, along), xp.abs(w)
    known = along * along + w * w > _TINY
    return 2.0 * xp.arctan2(xp.where(known, along, 0.0), xp.where(known, w, 1.0))
