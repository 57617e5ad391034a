"""What two runs of one command wrote, compared to the bit where it follows from the command."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

CLOCKS = ("second", "minutes", "wall", "date", "physics_threads")
"""Entries with these words in their names tell of the machine's time and are left out."""
PICTURES = (".png", ".gif")
APART = ("halfway", "tensorboard", "chat.jsonl")
"""What only a run that goes on needs, and what holds times."""


def digest(folder: Path) -> dict[str, Any]:
    """Everything in a run's folder that must be alike, by name."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.suffix in PICTURES or name.startswith(APART):
            continue
        if "checkpoints" in path.relative_to(folder).parts or path.name == ".lock":
            continue
        found[name] = _content(path)
    for kept in sorted(folder.rglob("checkpoints")):  # runs within the run have their own
        if kept.is_dir():
            where = kept.parent.relative_to(folder).as_posix()
            found |= {f"{where}/{name}": value for name, value in _checkpoints(kept.parent).items()}
    return found


def differences(one: Path, two: Path) -> list[str]:
    """Names of what differs between two folders; empty where nothing does."""
    first, second = digest(one), digest(two)
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


def _content(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in path.read_bytes().splitlines()]
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_bytes()))
    if path.suffix == ".npz" and zipfile.is_zipfile(path):
        with np.load(path, allow_pickle=False) as arrays:
            return {
                name: (arrays[name].shape, arrays[name].tobytes())
                for name in arrays.files
                if name != "metadata"
            }
    return path.read_bytes()


def _checkpoints(folder: Path) -> dict[str, Any]:
    """Parameters and all else of every checkpoint, their numbers, and which is the best."""
    from jaxrl_rewards.train.checkpoint import Checkpoints, checksum

    checkpoints = Checkpoints(folder, read_only=True)
    try:
        steps = checkpoints.steps()
        values = {f"checkpoints/{step}": checksum(checkpoints.raw(step)) for step in steps}
        return values | {"checkpoints": steps, "best checkpoint": checkpoints.best_step()}
    finally:
        checkpoints.close()


def _timeless(value: Any) -> Any:
    """The value without entries that tell of time, and without where the files lie."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not any(word in k for word in CLOCKS)}
        return {name: _timeless(one) for name, one in kept.items() if name != "files"}
    return [_timeless(one) for one in value] if isinstance(value, list) else value
