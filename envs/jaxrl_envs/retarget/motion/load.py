"""Reading a motion of any known format."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

from jaxrl_envs.retarget.motion.amass import read_amass
from jaxrl_envs.retarget.motion.bvh import read_bvh
from jaxrl_envs.retarget.motion.deepmimic import read_deepmimic
from jaxrl_envs.retarget.motion.record import Motion
from jaxrl_envs.retarget.motion.report import report_lying
from jaxrl_rewards.core import InputError

_SHOWN = 20
"""Skipped files that a warning lists."""

READERS = {
    ".bvh": read_bvh,
    ".npz": read_amass,
    ".txt": read_deepmimic,
    ".json": read_deepmimic,
}


def load_motion(path: str | Path, **options: Any) -> Motion:
    """The motion of a file: BVH (.bvh), AMASS or SMPL (.npz), DeepMimic (.txt, .json).

    `options` go to the reader of the format (see `read_bvh`, `read_amass`). InputError for a
    suffix or an option that is not known, and whatever the reader refuses. A UserWarning reports
    a motion in which the person is hardly ever upright.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path} has the suffix {path.suffix!r}; motions are read from {', '.join(READERS)}"
        )
    known = [name for name in inspect.signature(reader).parameters if name != "path"]
    for name in options:
        if name not in known:
            raise InputError(
                f"{path}: files of this format have no option {name!r}; "
                f"{'they have ' + ', '.join(known) if known else 'they need none'}"
            )
    motion = reader(path, **options)
    report_lying(motion)
    return motion


def load_motions(folder: str | Path, **options: Any) -> list[Motion]:
    """All motions of a file, or of a folder and the folders in it, by path.

    `options` go to the BVH files of a folder; other formats take none there. Files of a folder
    that are no motions (notes, body shapes) or are damaged are skipped; a UserWarning lists them
    with the reason. InputError where no file holds a motion.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return [load_motion(folder, **options)]
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in READERS and not path.name.startswith(".") and path.is_file()
    )
    if not files:
        raise InputError(f"{folder} holds no motion ({', '.join(READERS)}); choose another folder")
    motions, skipped = [], []
    for path in files:
        try:
            chosen = options if path.suffix.lower() == ".bvh" else {}
            motions.append(load_motion(path, **chosen))
        except InputError as error:
            skipped.append(str(error))
    if not motions:
        more = f" (and {len(skipped) - 1} more files)" if len(skipped) > 1 else ""
        raise InputError(f"{folder} holds no motion that can be read: {skipped[0]}{more}")
    if skipped:
        shown = "; ".join(skipped[:_SHOWN]) + ("; ..." if len(skipped) > _SHOWN else "")
        warnings.warn(
            f"{folder}: {len(skipped)} of {len(files)} files were skipped: {shown}", stacklevel=2
        )
    return motions
