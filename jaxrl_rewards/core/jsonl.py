"""JSONL files: one JSON object a line, appended to, possibly cut short by a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_bytes


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file; a last line cut short by a crash is left out.

    InputError names the file and line where another line is no JSON object.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    entries = []
    last = max((i for i, line in enumerate(lines) if line.strip()), default=-1)
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            if number == last and number == len(lines) - 1:
                break
            raise InputError(f"{path}, line {number + 1} is not JSON: {error}") from error
        if not isinstance(entry, dict):
            raise InputError(f"{path}, line {number + 1} must hold an object, got {line[:40]!r}")
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
        json.loads(data[start:])
    except ValueError:
        atomic_write_bytes(path, data[:start])
    else:
        atomic_write_bytes(path, data + b"\n")
