"""JSONL files: one JSON object a line, appended to, possibly cut short by a crash."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError, WriteError
from jaxrl_rewards.core.files import atomic_write_bytes, make_folder, writing
from jaxrl_rewards.core.json_files import parse_json

PAUSES = (0.05, 0.2, 0.5)
"""Seconds before an append that failed is tried again."""


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
    with path.open("rb") as stream:  # a file in order is not read to its beginning
        if stream.seek(0, os.SEEK_END) == 0:
            return
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) == b"\n":
            return
    data = path.read_bytes()
    start = data.rfind(b"\n") + 1
    try:
        parse_json(data[start:], path, finite=False)
    except InputError:
        atomic_write_bytes(path, data[:start])
    else:
        atomic_write_bytes(path, data + b"\n")


class JsonlWriter:
    """Appends whole lines to a JSONL file, which may be missing yet; may be shared by threads.

    Opening cuts off a line that a crash left incomplete. Each append is one write; one that fails
    or falls short, as on a full disk, is taken back and tried again for a moment. Then it is a
    `WriteError`; its lines are kept in memory, go with the next append, and never touch others.
    """

    def __init__(self, path: str | Path, *, pauses: tuple[float, ...] = PAUSES):
        self.path, self._pauses = Path(path), pauses
        self._lock = threading.Lock()
        self._waiting = b""
        make_folder(self.path.parent)
        with writing(self.path):
            mend_jsonl(self.path)

    def append(self, entries: Iterable[Any], *, sync: bool = False) -> None:
        """Append one line per entry (values for JSON); with `sync`, down to the disk."""
        lines = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
        with self._lock:
            self._waiting += lines.encode("utf-8")
            for pause in (*self._pauses, None):
                try:
                    append_bytes(self.path, self._waiting, sync=sync)
                except WriteError:
                    if pause is None:
                        raise
                    time.sleep(pause)
                else:
                    self._waiting = b""
                    return

    def flush(self) -> int:
        """Write what waits, have all of it on the disk, and give the file's size in bytes."""
        self.append((), sync=True)
        return self.path.stat().st_size


def append_bytes(path: str | Path, data: bytes, *, sync: bool = False) -> None:
    """Append `data` to a file in one piece or not at all; WriteError where it is not possible."""
    with writing(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            end = os.lseek(handle, 0, os.SEEK_END)
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(handle, left) :]
                if sync:
                    os.fsync(handle)
            except BaseException:
                os.ftruncate(handle, end)
                raise
        finally:
            os.close(handle)
