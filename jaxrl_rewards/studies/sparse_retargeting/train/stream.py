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
LIMIT = 1e6
"""Largest coordinate, metres; of a larger one, float64 would lose parts of a micrometre."""
LONGEST_GAP = 1.0
"""Seconds without a frame after which the avatar is placed anew."""
HELD = 0.2
"""Seconds for which the last pose of a device that is lost is held."""
PATIENCE = 2.0
"""Seconds of the stream after which a wait is explained."""


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


@dataclasses.dataclass
class StreamCounts:
    """What a stream held that was passed over."""

    not_finite: int = 0
    """Poses with a number that is not finite, taken as not tracked."""
    repeated: int = 0
    """Frames skipped because their time is that of the frame before."""
    unknown: int = 0
    """Frames with unknown fields, which were ignored."""
    first_unknown: str = ""

    def told(self) -> list[str]:
        """A phrase for each count that is not zero."""
        told = []
        if self.not_finite:
            told.append(f"poses not finite, taken as not tracked: {self.not_finite}")
        if self.repeated:
            told.append(f"frames at a repeated time, skipped: {self.repeated}")
        if self.unknown:
            told.append(
                f"frames with unknown fields ({self.first_unknown}), ignored: {self.unknown}"
            )
        return told


def parse_frame(line: str, number: int, counts: StreamCounts | None = None) -> StreamFrame:
    """A line `{"t": ..., "head": [x, y, z, qw, qx, qy, qz], "left": ..., "right": ...}`.

    A device was not received where it is null, or holds a number that is not finite (or null, as
    JavaScript writes those); `left` and `right` may be absent. Other fields are ignored. `counts`,
    where given, is kept up. InputError, in one sentence with the line's number, for anything else.
    """
    counts = StreamCounts() if counts is None else counts
    where = f"line {number}"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON ({error}); send one object a line") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a JSON object with t, head, left and right")
    t = value.get("t")
    if not _is_number(t) or abs(t) > LATEST:
        raise InputError(f"{where}: t must be a time in seconds, got {str(t)[:40]}")
    if "head" not in value:
        raise InputError(f"{where} lacks head; send its pose, or null while it is not tracked")
    unknown = sorted(set(value) - {"t", *DEVICES})
    if unknown:
        counts.unknown += 1
        counts.first_unknown = counts.first_unknown or repr(unknown[0][:40])
    position, rotation = np.zeros((3, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (3, 1))
    received = np.zeros(3, bool)
    for index, device in enumerate(DEVICES):
        pose = value.get(device)
        if pose is None:
            continue
        shaped = isinstance(pose, list) and len(pose) == 7
        if shaped and any(map(_is_not_finite, pose)):
            counts.not_finite += 1
            continue
        if not shaped or not all(map(_is_number, pose)):
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


def read_stream(lines: Iterator[str], counts: StreamCounts | None = None) -> Iterator[StreamFrame]:
    """Frames in order. Empty lines are skipped, and frames at the time of the one before; the
    first of them counts. InputError too where time runs backwards."""
    counts = StreamCounts() if counts is None else counts
    last = -math.inf
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        frame = parse_frame(line, number, counts)
        if frame.t == last:
            counts.repeated += 1
            continue
        if frame.t < last:
            raise InputError(
                f"line {number}: t is {frame.t}, after {last}; send frames in the order of time"
            )
        last = frame.t
        yield frame


class StreamWatch:
    """Tells why an avatar waits, or sees little: once, and only where the stream is the reason."""

    def __init__(self) -> None:
        self._told = False
        self._last: float | None = None
        self._since: float | None = None
        """Time at which the present wait began; None while the avatar is there."""
        self._breaks = 0
        self._tracked = False
        self._steady, self._count = 0.0, 0

    def note(self, frame: StreamFrame, waiting: bool) -> str | None:
        """After each frame; `waiting`: there is no avatar now. A warning, or None."""
        gap = 0.0 if self._last is None else frame.t - self._last
        self._last = frame.t
        if not waiting:
            self._since, self._breaks, self._tracked = None, 0, False
        else:
            self._since = frame.t if self._since is None else self._since
            self._breaks += gap > LONGEST_GAP
            self._tracked |= bool(frame.received[0])
        if 0 < gap <= LONGEST_GAP:
            self._steady, self._count = self._steady + gap, self._count + 1
        warning = None if self._told else self._reason(frame.t, gap)
        if self._steady >= PATIENCE:
            self._steady, self._count = 0.0, 0
        self._told |= warning is not None
        return warning

    def _reason(self, t: float, gap: float) -> str | None:
        waited = 0.0 if self._since is None else t - self._since
        if self._breaks >= 2:  # one may be a pause
            return (
                f"the avatar is not placed, because frames are {gap:.3g} s apart and after "
                f"{LONGEST_GAP:g} s without one it starts anew; is t in seconds?"
            )
        if waited >= PATIENCE and not self._tracked:
            return (
                f"the avatar is not placed, because the headset has not been tracked for "
                f"{waited:.3g} s: head is null or not finite"
            )
        if self._steady >= PATIENCE and self._steady / self._count > HELD + 0.02:
            return (
                f"frames are {self._steady / self._count:.2g} s apart, but a pose is held for "
                f"{HELD:g} s only, so the avatar often sees nothing; send 30 or more a second"
            )
        return None


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


def _is_not_finite(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
