"""The stream of headset and controller poses: JSON lines, read strictly."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxrl_rewards.core.errors import InputError

DEVICES = ("head", "left", "right")
LATEST = 1e10
"""Seconds; a later time is one in other units, at which steps of 1/30 s would be lost."""
LIMIT = 1e4
"""Largest coordinate, metres."""


@dataclasses.dataclass(frozen=True, eq=False)
class StreamFrame:
    """One line of the stream; world frame, z up, metres, in the user's size."""

    t: float
    """seconds"""
    position: np.ndarray
    """float64 [3, 3]: head, left, right; zeros where not received."""
    rotation: np.ndarray
    """float64 [3, 4], w x y z, of norm 1; the identity where not received."""
    received: np.ndarray
    """bool [3]."""


def parse_frame(line: str, number: int) -> StreamFrame:
    """A line `{"t": ..., "head": [x, y, z, qw, qx, qy, qz], "left": ..., "right": ...}`.

    A device that is null or absent was not received. InputError, in one sentence with the line's
    number, for anything else.
    """
    where = f"line {number}"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON ({error}); send one object a line") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a JSON object with t, head, left and right")
    unknown = sorted(set(value) - {"t", *DEVICES})
    if unknown:
        raise InputError(f"{where} has the unknown field {unknown[0]!r}; send t, head, left, right")
    t = value.get("t")
    if not _is_number(t) or abs(t) > LATEST:
        raise InputError(f"{where}: t must be a time in seconds, got {str(t)[:40]}")
    position, rotation = np.zeros((3, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (3, 1))
    received = np.zeros(3, bool)
    for index, device in enumerate(DEVICES):
        pose = value.get(device)
        if pose is None:
            continue
        if not isinstance(pose, list) or len(pose) != 7 or not all(map(_is_number, pose)):
            raise InputError(
                f"{where}: {device} must be seven finite numbers x, y, z, qw, qx, qy, qz, or null"
            )
        if max(map(abs, pose[:3])) > LIMIT:
            raise InputError(f"{where}: {device} is {max(map(abs, pose[:3]))} m away; send metres")
        norm = math.sqrt(sum(number * number for number in pose[3:]))
        if norm < 0.5 or norm > 2.0:
            raise InputError(
                f"{where}: the quaternion of {device} has length {norm:.3g}; send unit quaternions "
                "as qw, qx, qy, qz"
            )
        position[index], rotation[index] = pose[:3], np.asarray(pose[3:]) / norm
        received[index] = True
    return StreamFrame(float(t), position, rotation, received)


def read_stream(lines: Iterator[str]) -> Iterator[StreamFrame]:
    """Frames in order; empty lines are skipped. InputError too where time runs backwards."""
    last = -math.inf
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        frame = parse_frame(line, number)
        if frame.t <= last:
            raise InputError(
                f"line {number}: t is {frame.t}, after {last}; send frames in the order of time"
            )
        last = frame.t
        yield frame


def stream_lines(pose: Any) -> Iterator[str]:
    """A recorded motion (`HumanPose`) as the lines that its headset and controllers would send."""
    points, quats = np.asarray(pose.points, float), np.asarray(pose.point_quats, float)
    for index in range(len(points)):
        value: dict[str, Any] = {"t": round(index * float(pose.frame_time), 6)}
        for device, name in enumerate(DEVICES):
            both = [*points[index, device], *quats[index, device]]
            value[name] = [round(float(number), 6) for number in both]
        yield json.dumps(value)


def _is_number(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False
