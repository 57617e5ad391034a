"""Ball joints as three hinges: angles without jumps, within a human's limits where possible."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float

from jaxrl_rewards.core.rotations import (
    quat_about,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    twist_angle,
)

_POLE = 0.02
"""How firmly the first hinge rests at 0 while the bone points along its axis."""
_OUTSIDE = 30.0
"""Cost of a second one radian outside the limits, where a jump by one radian costs 1."""
_EASE = 0.08
_ALIKE = np.array(
    [
        (a, half, c)
        for half, a, c in itertools.product((0, 1), (-2, -1, 0, 1, 2), (-2, -1, 0, 1, 2))
        if (a - half) % 2 == 0 and (c - half) % 2 == 0
    ]
)
"""Triples that are one rotation: (a + πn, b or π - b, c + πm), n and m odd where b is turned."""


def ball_angles(
    quats: Float[np.ndarray, "frames 4"],
    lower: Float[np.ndarray, "3"],
    upper: Float[np.ndarray, "3"],
    frame_time: float,
) -> Float[np.ndarray, "frames 3"]:
    """Angles (a, b, c), radians, with `Ry(a) Rx(b) Rz(c)` = the rotation of a bone along -z.

    Of the triples that give a rotation, the path through time with the fewest jumps and the least
    time outside `lower` and `upper` is taken; a jump that remains is spread over 0.16 s. Within
    about 8 degrees of the y axis, where a and c turn about one axis and small circles of the bone
    would wind them up, the bone is followed to within those degrees only: both stay calm.
    """
    plain = _away_from_pole(np.asarray(quats, np.float64))
    turned = _ALIKE[:, 1] == 1
    options = plain[:, None, :] + np.pi * _ALIKE * np.array([1.0, 0.0, 1.0])
    options[:, turned, 1] = np.pi - options[:, turned, 1]
    options[..., 1] = (options[..., 1] + np.pi) % (2.0 * np.pi) - np.pi
    outside = np.maximum(np.maximum(lower - options, options - upper), 0.0)
    standing = _OUTSIDE * frame_time * (outside**2).sum(axis=-1)
    # The least cost of a path that ends in each option, frame by frame; then back along it.
    cost, came = standing[0] + 1e-3 * (options[0] ** 2).sum(axis=-1), []
    for before, now, here in zip(options[:-1], options[1:], standing[1:], strict=True):
        steps = cost[:, None] + ((now[None] - before[:, None]) ** 2).sum(axis=-1)
        came.append(steps.argmin(axis=0))
        cost = steps.min(axis=0) + here
    path = [int(cost.argmin())]
    for origin in reversed(came):
        path.append(int(origin[path[-1]]))
    return _ease(options[np.arange(len(options)), path[::-1]], frame_time)


def _ease(angles: np.ndarray, frame_time: float) -> np.ndarray:
    """The jumps that remain spread over `_EASE` seconds on either side."""
    margin = round(_EASE / frame_time)
    for before in np.flatnonzero(np.abs(np.diff(angles, axis=0)).max(axis=1) > 1.0):
        start, stop = max(before - margin, 0), min(before + 1 + margin, len(angles) - 1)
        share = np.linspace(0.0, 1.0, stop - start + 1)[:, None]
        angles[start : stop + 1] = angles[start] + share * (angles[stop] - angles[start])
    return angles


def _away_from_pole(quats: np.ndarray) -> np.ndarray:
    """Angles whose first is drawn to 0 while the bone is near the y axis."""
    bone = quat_rotate(quats, np.array([0.0, 0.0, -1.0]))
    # Twice the first angle, as the angle of a complex number: a and a + π are one plane.
    plane = (-bone[:, 2] - 1j * bone[:, 0]) ** 2
    plane = plane + _POLE * np.maximum(1.0 - 4.0 * np.abs(plane), 0.0) ** 2
    first = 0.5 * np.angle(plane)
    rest = quat_multiply(quat_about("y", -first), quats)
    bone = quat_rotate(rest, np.array([0.0, 0.0, -1.0]))
    second = np.arctan2(bone[:, 1], -bone[:, 2])
    rest = quat_multiply(quat_conjugate(quat_about("x", second)), rest)
    third = twist_angle(rest, np.array([0.0, 0.0, 1.0]))
    return np.stack([first, second, third], axis=-1)
