"""JSONL files: one JSON object a line, appended to, possibly cut short by a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_bytes
from jaxrl_rewards.core.json_files import parse_json


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file; a last line cut short by a crash is left out.

    InputError where the file cannot be read, and for another line that is no JSON object.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}; check the path") from error
    entries = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = parse_json(line, path, finite=False)
        except InputError:
            if number == len(lines):
                break
            entry = None
        if not isinstance(entry, dict):
            raise InputError(f"{path}, line {number} is not a JSON object; remove it")
        entries.append(entry)
    return entries


def mend_jsonl(path: str | Path) -> None:
    """Make a file fit to be continued: cut off a last line that a crash left incomplete.

    A whole last line only gets its end. The file is replaced in one step, so that another crash
    costs nothing; a file that is in order, or missing, is not touched.
    """
    path = Path(path)
    if not path.is_file():
        return
    data = path.read_bytes()
    start = data.rfind(b"\n") + 1
    if start == len(data):
        return
    try:
        parse_json(data[start:], path, finite=False)
    except InputError:
        atomic_write_bytes(path, data[:start])
    else:
        atomic_write_bytes(path, data + b"\n")
