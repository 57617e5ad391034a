"""Arrays of `.npz` files from outside, within a limit of memory and without pickles."""

from __future__ import annotations

import ast
import math
import os
import re
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core.errors import InputError

LIMIT_BYTES = 1 << 28
"""Of the file, and of all arrays that are asked for together; their users make copies."""
_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}
"""How many bytes hold the length of the header, by version of the format."""
_LONGEST_HEADER = 1 << 14
_PLAIN_TYPE = re.compile(r"[<>|=]?(?:[biuf?][0-9]{0,2}|c(?:8|16)|[SU][0-9]{1,9})")
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_PIECE = 1 << 20


def read_npz(
    path: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    *,
    optional: Sequence[str] = (),
    limit_bytes: int = LIMIT_BYTES,
) -> dict[str, np.ndarray]:
    """Arrays of an `.npz` archive by name; all of them where no names are given.

    `names` must be there, `optional` may be; no other array is unpacked. Numbers, truth values
    and text are read, of any shape and byte order; nothing is unpickled. Headers are compared with
    the sizes that the archive states, and their sum with `limit_bytes`, before anything is
    unpacked. InputError, one sentence with file, array and remedy, for anything else: no regular
    file, a damaged archive, Python objects, an array that is missing, too much data.
    """
    path = Path(path)
    try:
        _check_file(path, limit_bytes)
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
            members = _members(archive)
            wanted = _wanted(members, names, optional, path)
            return _arrays(archive, {name: members[name] for name in wanted}, path, limit_bytes)
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises errors of almost every kind
        raise _unreadable(path, error) from error


def _check_file(path: Path, limit_bytes: int) -> None:
    """Only regular files are opened: a pipe or a device would block, or never end."""
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise _unreadable(path, "it is no regular file")
    if facts.st_size > limit_bytes:
        raise InputError(
            f"{path} has {facts.st_size} bytes, more than the {limit_bytes} that are read; save "
            "fewer or smaller arrays"
        )


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The entries of an archive under the names that NumPy gives them."""
    return {
        member.filename.removesuffix(".npy"): member
        for member in archive.infolist()
        if not member.is_dir()
    }


def _wanted(
    members: dict[str, Any], names: Sequence[str] | None, optional: Sequence[str], path: Path
) -> list[str]:
    if names is None:
        return [*members] if not optional else [name for name in optional if name in members]
    for name in names:
        if name not in members:
            found = sorted(members)
            shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
            raise InputError(
                f"{path} has no array {name!r}; save {', '.join(names)} (found {shown or 'none'})"
            )
    return [*names, *(name for name in optional if name in members and name not in names)]


def _arrays(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path, limit_bytes: int
) -> dict[str, np.ndarray]:
    """All headers first, then, where their sum is within the limit, the arrays."""
    total, headers = 0, {}
    for name, member in members.items():
        if member.compress_type not in _METHODS or member.flag_bits & 0x1:
            raise _unreadable(path, f"array {name!r} is packed in a way that NumPy does not write")
        with archive.open(member) as stream:
            headers[name] = header = _Header(stream)
        if header.start + header.size != member.file_size:
            raise _unreadable(path, f"the header of array {name!r} disagrees with its size")
        total += header.size
    if total > limit_bytes:
        raise InputError(
            f"{path} unpacks to {total} bytes, more than the {limit_bytes} that are read; save "
            "fewer or smaller arrays"
        )
    return {name: headers[name].array(archive, member) for name, member in members.items()}


class _Header:
    """What a `.npy` entry says about itself: type, shape, order, where its data start."""

    def __init__(self, stream: Any):
        start = stream.read(8)
        if len(start) < 8 or start[:6] != _MAGIC or start[6] not in _LENGTH_BYTES:
            raise ValueError("an entry is no array in NumPy's format")
        width = _LENGTH_BYTES[start[6]]
        length = int.from_bytes(stream.read(width), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"an array's header has {length} bytes")
        text = stream.read(length).decode("utf-8" if start[6] == 3 else "latin1")
        facts = ast.literal_eval(text.strip())
        if not isinstance(facts, dict) or set(facts) != {"descr", "fortran_order", "shape"}:
            raise ValueError("an array's header is not NumPy's")
        self.start = 8 + width + length
        self.dtype = _plain_type(facts["descr"])
        self.shape = _shape(facts["shape"])
        self.order = "F" if facts["fortran_order"] is True else "C"
        self.size = math.prod(self.shape) * self.dtype.itemsize

    def array(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
        """Unpack the data, never more than the header asks for."""
        data = bytearray()
        with archive.open(member) as stream:
            stream.read(self.start)
            while piece := stream.read(min(_PIECE, self.size + 1 - len(data))):
                data += piece
        if len(data) != self.size:
            raise ValueError(f"an array has {len(data)} bytes where {self.size} are needed")
        return np.frombuffer(data, self.dtype).reshape(self.shape, order=self.order)


def _plain_type(text: Any) -> np.dtype:
    if not isinstance(text, str) or not _PLAIN_TYPE.fullmatch(text):
        shown = repr(text)
        raise ValueError(f"an array holds {shown[:40]}, which is no plain number, flag or text")
    return np.dtype(text)


def _shape(value: Any) -> tuple[int, ...]:
    whole = isinstance(value, tuple) and all(type(size) is int and size >= 0 for size in value)
    if not whole or len(value) > 32 or any(size >= 1 << 62 for size in value):
        raise ValueError(f"an array has the shape {repr(value)[:40]}")
    return value


def _unreadable(path: Path, reason: Any) -> InputError:
    if isinstance(reason, OSError) and reason.strerror:
        return InputError(f"{path} cannot be read: {reason.strerror}; check the path")
    if isinstance(reason, MemoryError | RecursionError):
        reason = "a header is nested too deeply"
    shown = " ".join(str(reason).split())[:200] or type(reason).__name__
    return InputError(
        f"{path} cannot be read: it is not a readable .npz of arrays ({shown}); save it with "
        "numpy.savez, without objects"
    )
