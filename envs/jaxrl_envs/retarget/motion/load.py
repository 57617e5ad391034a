"""Reading a motion of any known format."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from jaxrl_envs.retarget.motion.amass import read_amass
from jaxrl_envs.retarget.motion.bvh import read_bvh
from jaxrl_envs.retarget.motion.deepmimic import read_deepmimic
from jaxrl_envs.retarget.motion.record import Motion
from jaxrl_rewards.core import InputError

READERS = {
    ".bvh": read_bvh,
    ".npz": read_amass,
    ".txt": read_deepmimic,
    ".json": read_deepmimic,
}


def load_motion(path: str | Path, **options: Any) -> Motion:
    """The motion of a file: BVH (.bvh), AMASS or SMPL (.npz), DeepMimic (.txt, .json).

    `options` go to the reader of the format (see `read_bvh`, `read_amass`). InputError for a
    suffix or an option that is not known, and whatever the reader refuses.
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
    return reader(path, **options)


def load_motions(folder: str | Path, **options: Any) -> list[Motion]:
    """All motions of a file or of a folder, by name; InputError where there is none.

    `options` go to the BVH files of a folder; other formats take none there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return [load_motion(folder, **options)]
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in READERS)
    if not files:
        raise InputError(f"{folder} holds no motion ({', '.join(READERS)}); choose another folder")
    return [
        load_motion(path, **(options if path.suffix.lower() == ".bvh" else {})) for path in files
    ]
