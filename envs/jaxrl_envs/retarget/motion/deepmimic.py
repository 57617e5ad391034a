"""Reading DeepMimic's motions: JSON with 44 numbers a frame."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_envs.retarget.motion.files import LARGEST_FILE, read_text
from jaxrl_envs.retarget.motion.record import Motion, build_motion
from jaxrl_envs.retarget.motion.roles import DEEPMIMIC_NAMES, DEEPMIMIC_ROLES
from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.json_files import parse_json
from jaxrl_rewards.core.rotations import quat_about, quat_slerp

_NUMBERS = 44
_PARENTS = (-1, 0, 1, 0, 3, 4, 1, 6, 7, 0, 9, 10, 1, 12, 13, 5, 11)
_OFFSETS = {
    "chest": (0.0, 0.0, 0.236), "neck": (0.0, 0.0, 0.224), "hip": (0.0, 0.085, 0.0),
    "knee": (0.0, 0.0, -0.422), "ankle": (0.0, 0.0, -0.410), "shoulder": (-0.024, 0.183, 0.244),
    "elbow": (0.0, 0.0, -0.275), "wrist": (0.0, 0.0, -0.259), "root": (0.0, 0.0, 0.0),
    "toe": (0.12, 0.0, -0.05),
}  # fmt: skip
"""x ahead, y left (mirrored on the right), z up, metres."""
_COLUMNS = {
    "root": 4, "chest": 8, "neck": 12, "right_hip": 16, "right_knee": 20, "right_ankle": 21,
    "right_shoulder": 25, "right_elbow": 29, "left_hip": 30, "left_knee": 34, "left_ankle": 35,
    "left_shoulder": 39, "left_elbow": 43,
}  # fmt: skip
_ANKLE_HEIGHT = 0.08
_LONGEST_FRAME = 1.0
_ROUNDING = 0.02
_UNEVEN = 3.0


def read_deepmimic(path: str | Path) -> Motion:
    """The motion of a DeepMimic humanoid file (`.txt` or `.json`).

    A frame holds its duration, the root's position and quaternion, and 13 joints; y up, x ahead.
    One duration for all may stand in `FrameDuration` instead. Durations that differ (by up to a
    factor of 3 from their median; the last one's is not used) are evened out: the motion is
    sampled anew at their mean. With `"Loop"` or `"LoopMode"` `"wrap"` the motion loops. The feet
    are put on the ground. InputError names the file, the frame and the remedy.
    """
    path = Path(path)
    text = read_text(path)
    content = parse_json(text, path, finite=False, limit_bytes=LARGEST_FILE)
    frames = _frames(content, path)
    quats = {
        name: _upright(frames[:, start : start + 4], f"{path}: {name}")
        for name, start in _COLUMNS.items()
        if not name.endswith(("knee", "elbow"))
    }
    for name, start in _COLUMNS.items():
        if name not in quats:  # one angle about the file's z, which points to the right
            quats[name] = quat_about("y", -frames[:, start])
    still = np.broadcast_to(np.array([1.0, 0.0, 0.0, 0.0]), (len(frames), 4))
    rotations = np.stack([quats.get(name, still) for name in DEEPMIMIC_NAMES], axis=1)
    offsets = np.array([_offset(name) for name in DEEPMIMIC_NAMES])
    x, y, z = frames[:, 1:4].T
    root = np.stack([x, -z, y], axis=1)
    rotations, root, frame_time = _evenly(rotations, root, frames[:, 0])
    return build_motion(
        rotations=rotations,
        root_position=root,
        offsets=offsets,
        names=DEEPMIMIC_NAMES,
        parents=_PARENTS,
        frame_time=frame_time,
        roles=DEEPMIMIC_ROLES,
        loop=_loop(content) == "wrap",
        name=path.stem,
        ground=True,
        ankle_height=_ANKLE_HEIGHT,
    )


def _loop(content: dict[str, Any]) -> Any:
    value = content.get("Loop", content.get("LoopMode", "none"))
    return value.lower() if isinstance(value, str) else value


def _evenly(
    rotations: np.ndarray, root: np.ndarray, durations: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """The same time in as many frames of one length; frames that differ by rounding stay."""
    times = durations[: max(len(durations) - 1, 1)]
    if np.abs(times - times[0]).max() <= _ROUNDING * times[0]:
        return rotations, root, float(times[0])
    starts = np.concatenate([[0.0], np.cumsum(times)])
    even = np.linspace(0.0, starts[-1], len(starts))
    first = np.clip(np.searchsorted(starts, even, side="right") - 1, 0, len(times) - 1)
    share = np.clip((even - starts[first]) / times[first], 0.0, 1.0)
    turns = quat_slerp(rotations[first], rotations[first + 1], share[:, None])
    places = root[first] + share[:, None] * (root[first + 1] - root[first])
    return turns, places, float(times.mean())


def _offset(name: str) -> tuple[float, float, float]:
    x, y, z = _OFFSETS[name.split("_")[-1]]
    return x, (-y if name.startswith("right") else y), z


def _upright(quats: np.ndarray, where: str) -> np.ndarray:
    """From y up, z to the right, to z up, y to the left; InputError for a zero quaternion."""
    bad = np.flatnonzero(np.linalg.norm(quats, axis=1) < 1e-3)
    if len(bad):
        raise InputError(f"{where} has a zero quaternion in frame {bad[0] + 1}; mend that frame")
    w, x, y, z = quats.T
    return np.stack([w, x, -z, y], axis=1)


def _frames(content: Any, path: Path) -> np.ndarray:
    if not isinstance(content, dict) or not isinstance(content.get("Frames"), list):
        raise InputError(f"{path} has no list 'Frames'; a DeepMimic motion is an object with one")
    rows, duration = content["Frames"], content.get("FrameDuration")
    if duration is not None and all(isinstance(r, list) and len(r) == _NUMBERS - 1 for r in rows):
        rows = [[duration, *row] for row in rows]
    if not rows:
        raise InputError(f"{path}: 'Frames' is empty; give at least one frame")
    if _loop(content) not in ("wrap", "none", "clamp"):
        raise InputError(f'{path}: \'Loop\' is {_loop(content)!r}; use "wrap" or "none"')
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != _NUMBERS:
            found = len(row) if isinstance(row, list) else type(row).__name__
            raise InputError(
                f"{path}: frame {number} has {found} numbers; the humanoid needs {_NUMBERS}"
            )
        for column, value in enumerate(row):
            plain = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not plain or not _small(value):
                raise InputError(
                    f"{path}: frame {number}, number {column + 1} is {str(value)[:40]}; "
                    "give a finite number"
                )
    frames = np.asarray(rows, np.float64)
    times = frames[: max(len(frames) - 1, 1), 0]
    bad = np.flatnonzero(~((times > 1e-4) & (times < _LONGEST_FRAME)))
    if not len(bad):
        bad = np.flatnonzero(np.abs(np.log(times / np.median(times))) > np.log(_UNEVEN))
    if len(bad):
        raise InputError(
            f"{path}: frame {bad[0] + 1} lasts {times[bad[0]]:g} s; all frames must last equally "
            f"long or nearly so, between 0.0001 and {_LONGEST_FRAME:g} s"
        )
    return frames


def _small(value: float) -> bool:
    try:
        return math.isfinite(value) and abs(value) < 1e6
    except OverflowError:
        return False
