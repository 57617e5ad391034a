"""The files of a finished checkpoint with their checksums, so that damage is found before a reader
meets it."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.files import atomic_write_text
from jaxrl_rewards.core.json_files import read_json

_PIECE = 1 << 20


def write_manifest(folder: Path, path: Path) -> None:
    """Have all files in the folders below `folder` on the disk, and list them in `path`, one of
    them. (Files of `folder` itself hold times only, and are written once more.)"""
    files: dict[str, list[int]] = {}
    for file in sorted(folder.glob("*/**/*")):
        if file.is_file() and file != path:
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())
            files[file.relative_to(folder).as_posix()] = _size_and_checksum(file)
    atomic_write_text(path, json.dumps(sealed({"files": files})))


def check_manifest(folder: Path, path: Path) -> None:
    """ValueError names a file that is not as `write_manifest` found it; without a list (the process
    was killed before it was written) nothing is checked here."""
    if not path.exists():
        return
    for name, facts in unsealed(read_json(path), "files")["files"].items():
        file = folder / name
        if not file.is_file():
            raise ValueError(f"its file {name} is missing")
        if _size_and_checksum(file) != facts:
            raise ValueError(f"its file {name} is damaged")


def sealed(facts: dict[str, Any]) -> dict[str, Any]:
    """Values for JSON with their checksum."""
    facts = json.loads(json.dumps(facts))
    return {"facts": facts, "checksum": _checksum(facts)}


def unsealed(stored: Any, *needs: str) -> dict[str, Any]:
    """What `sealed` was given; ValueError where it was damaged since, or lacks an entry."""
    try:
        facts, expected = stored["facts"], stored["checksum"]
        whole = all(name in facts for name in needs)
    except (KeyError, TypeError):
        raise ValueError("its record lacks entries") from None
    if not whole or _checksum(facts) != expected:
        raise ValueError("its record does not match its checksum")
    return facts


def _checksum(facts: Any) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def _size_and_checksum(file: Path) -> list[int]:
    size, value = 0, 0
    with open(file, "rb") as stream:
        while piece := stream.read(_PIECE):
            size, value = size + len(piece), zlib.crc32(piece, value)
    return [size, value]
