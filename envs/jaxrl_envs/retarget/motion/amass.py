"""Reading AMASS and other SMPL motions (`.npz`), on a rest skeleton of our own round numbers."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np

from jaxrl_envs.retarget.motion.record import Motion, build_motion, forward_kinematics
from jaxrl_envs.retarget.motion.roles import SMPL_NAMES, SMPL_ROLES
from jaxrl_envs.retarget.motion.standing import UPRIGHT, tallness
from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.npz import read_npz
from jaxrl_rewards.core.rotations import quat_conjugate, quat_from_rotvec, quat_multiply

_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
_OFFSETS = {
    "Pelvis": (0.0, 0.0, 0.0), "Hip": (0.0, 0.06, -0.09), "Torso": (-0.03, 0.0, 0.12),
    "Knee": (0.0, 0.04, -0.38), "Spine": (0.0, 0.0, 0.14), "Ankle": (-0.04, -0.015, -0.40),
    "Chest": (0.02, 0.0, 0.05), "Toe": (0.12, 0.03, -0.06), "Neck": (-0.03, 0.0, 0.21),
    "Thorax": (-0.02, 0.08, 0.12), "Head": (0.05, 0.0, 0.09), "Shoulder": (-0.02, 0.10, 0.04),
    "Elbow": (-0.02, 0.26, -0.01), "Wrist": (0.0, 0.25, 0.01),
}  # fmt: skip
"""A grown-up in T pose: x ahead, y left (mirrored on the right), z up, metres."""
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps", "frame_rate")
_PARTS = ("root_orient", "pose_body")
_BODY = 3 * len(SMPL_NAMES)
# Our rest pose (x ahead, z up) turned into SMPL's own (z ahead, y up), which its root then turns.
_TO_SMPL = np.array([0.5, -0.5, -0.5, -0.5])


def read_amass(path: str | Path, *, ground: bool = True, up: str | None = None) -> Motion:
    """The motion of an AMASS or SMPL file: `poses` (frames, 66 or more), or `root_orient`
    (frames, 3) and `pose_body` (frames, 63); `trans` (frames, 3); and the frames per second under
    `mocap_framerate`, `mocap_frame_rate`, `fps` or `frame_rate`.

    `up` is "y" or "z"; by default z as in AMASS, but y (as video tools write) where the person
    stands along y and hardly ever along z; a UserWarning says so. The 22 body joints are read,
    fingers are not. Body shapes (`betas`) are not used: limbs have the lengths of one rest
    skeleton, and with `ground` the feet are put on z = 0. InputError names the file, the key or
    frame, and the remedy.
    """
    path = Path(path)
    if up not in (None, "y", "z"):
        raise InputError(f"{path}: up is {up!r}; use 'y' or 'z'")
    poses, trans, rate = _content(path)
    vectors = poses[:, :_BODY].reshape(len(poses), -1, 3)
    rotations = quat_from_rotvec(vectors)
    # All but the root turn about axes of the rest pose: y up, z ahead, x left.
    rotations = np.concatenate([rotations[..., :1], rotations[..., [3, 1, 2]]], axis=-1)
    rotations[:, 0] = quat_multiply(quat_from_rotvec(vectors[:, 0]), _TO_SMPL)
    if up is None:
        up = _up_axis(rotations, trans, path)
    if up == "y":
        rotations[:, 0] = quat_multiply(quat_conjugate(_TO_SMPL), rotations[:, 0])
        trans = trans[:, [2, 0, 1]]
    return build_motion(
        rotations=rotations,
        root_position=trans,
        offsets=_skeleton(),
        names=SMPL_NAMES,
        parents=_PARENTS,
        frame_time=1.0 / rate,
        roles=SMPL_ROLES,
        name=path.stem,
        ground=ground,
    )


def _content(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Poses of 66 numbers or more, places and frames per second, all finite."""
    arrays = read_npz(path, optional=("poses", "trans", *_PARTS, *_RATES))
    if "poses" not in arrays and all(key in arrays for key in _PARTS):
        parts = [_flat(_numbers(arrays, key, path)) for key in _PARTS]
        sizes = [part.shape for part in parts]
        count = len(parts[0]) if parts[0].ndim else 0
        if sizes != [(count, 3), (count, _BODY - 3)]:
            raise InputError(
                f"{path}: root_orient and pose_body have shapes {sizes[0]} and {sizes[1]}; they "
                f"need (frames, 3) and (frames, {_BODY - 3})"
            )
        arrays["poses"] = np.concatenate(parts, axis=1)
    poses, trans = (_numbers(arrays, key, path) for key in ("poses", "trans"))
    rate_key = next((key for key in _RATES if key in arrays), None)
    if rate_key is None:
        raise InputError(f"{path} has neither {' nor '.join(_RATES)}; add the frames per second")
    rates = _numbers(arrays, rate_key, path)
    if rates.size != 1 or not 1.0 <= float(rates.ravel()[0]) <= 10000.0:
        raise InputError(f"{path}: {rate_key} must be one number from 1 to 10000 frames per second")
    poses = _flat(poses)
    if poses.ndim != 2 or poses.shape[1] < _BODY or len(poses) == 0:
        raise InputError(
            f"{path}: poses has shape {poses.shape}; it needs (frames, {_BODY} or more)"
        )
    if trans.shape != (len(poses), 3):
        raise InputError(f"{path}: trans has shape {trans.shape}; it needs ({len(poses)}, 3)")
    for key, values in {"poses": poses[:, :_BODY], "trans": trans}.items():
        bad = np.flatnonzero(~(np.abs(values) < 1e4).all(axis=1))
        if len(bad):
            raise InputError(
                f"{path}: {key} in frame {bad[0] + 1} is not finite or absurdly large; "
                "drop or mend that frame"
            )
    return poses, trans, float(rates.ravel()[0])


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1) if values.ndim == 3 and len(values) else values


def _up_axis(rotations: np.ndarray, trans: np.ndarray, path: Path) -> str:
    offsets = _skeleton()
    _, places = forward_kinematics(rotations, trans, offsets, _PARENTS)
    role = {part: SMPL_NAMES.index(name) for part, name in SMPL_ROLES.items()}
    upright = (tallness(places, offsets, _PARENTS, role) > UPRIGHT).sum(axis=0)
    if upright[1] <= 10 * upright[2]:
        return "z"
    warnings.warn(
        f"{path} is read with y up, for along it the person stands; if it lies down, read it with "
        "up='z'",
        stacklevel=3,
    )
    return "y"


def _skeleton() -> np.ndarray:
    return np.array([_offset(name) for name in SMPL_NAMES])


def _offset(name: str) -> tuple[float, float, float]:
    x, y, z = _OFFSETS[name.split("_")[-1]]
    return x, (-y if name.startswith("R_") else y), z


def _numbers(arrays: dict[str, np.ndarray], key: str, path: Path) -> np.ndarray:
    if key not in arrays:
        raise InputError(f"{path} has no {key!r}; AMASS files hold poses, trans and the frame rate")
    values = arrays[key]
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path}: {key} holds {values.dtype}; it must hold numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(np.float64)
    if values.ndim == 0 and not math.isfinite(float(values)):
        raise InputError(f"{path}: {key} is {values}; give a finite number")
    return values
