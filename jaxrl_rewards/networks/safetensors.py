"""The safetensors format: named arrays behind a JSON header; read by memory map, written whole.

A file is 8 bytes with the header's length (little endian), the header
`{"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {...}}`, and the arrays' bytes one
after another. Written here so that bfloat16 needs no further package and no file can ask for more
than it holds.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_path
from jaxrl_rewards.core.json_files import parse_json, read_json

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
HEADER_LIMIT = 1 << 25
DTYPES = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16), "I64": np.dtype("<i8"), "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"), "I8": np.dtype("i1"), "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Tensors(Mapping):
    """Arrays of one file by name, read when asked for."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.entries, self.metadata, self._start = _header(self.path)

    def __getitem__(self, name: str) -> np.ndarray:
        dtype, shape, begin = self.entries[name]
        if math.prod(shape) == 0:
            return np.zeros(shape, dtype)
        return np.memmap(self.path, dtype, "r", offset=self._start + begin, shape=shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def _header(path: Path) -> tuple[dict, dict, int]:
    """`({name: (dtype, shape, begin)}, metadata, start of the arrays)`; InputError if unsound."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(HEADER_LIMIT, size - 8):
                raise InputError(
                    f"{path} is no whole safetensors file: {size} bytes, of which the header would "
                    f"take {length}; fetch it again"
                )
            text = file.read(length)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; check the path") from None
    header = parse_json(text, f"the header of {path}", dict)
    metadata = header.pop("__metadata__", {})
    entries = {name: _entry(path, name, entry, size - 8 - length) for name, entry in header.items()}
    return entries, metadata if isinstance(metadata, dict) else {}, 8 + length


def _entry(path: Path, name: str, entry: object, room: int) -> tuple[np.dtype, tuple, int]:
    try:
        kind, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        numbers = (*shape, begin, end)
        sound = all(type(number) is int and number >= 0 for number in numbers) and len(shape) <= 32
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise InputError(
            f"{path} describes {name!r} as {str(entry)[:80]}; a dtype, a shape and two offsets are "
            "needed"
        )
    if kind not in DTYPES:
        raise InputError(
            f"{path} holds {name!r} as {kind!r}, which is not read; store it as one of "
            f"{', '.join(DTYPES)}"
        )
    if end > room:
        raise InputError(
            f"{path} is cut off: {name!r} ends at byte {end} of {room} that are there; fetch it "
            "again"
        )
    if end - begin != math.prod(shape) * DTYPES[kind].itemsize:
        raise InputError(
            f"{path} gives {name!r} {end - begin} bytes, which do not fit {kind} of shape "
            f"{list(shape)}; fetch it again"
        )
    return DTYPES[kind], shape, begin


def write_safetensors(
    path: str | os.PathLike,
    tensors: Mapping[str, np.ndarray],
    metadata: dict[str, str] | None = None,
) -> None:
    """Write arrays under their names, through a temporary file. ValueError for other dtypes."""
    header: dict = {"__metadata__": metadata or {"format": "pt"}}
    offset = 0
    for name, value in tensors.items():
        if value.dtype not in NAMES:
            raise ValueError(f"{name!r} is {value.dtype}; safetensors hold {', '.join(DTYPES)}")
        size = math.prod(value.shape) * value.dtype.itemsize
        header[name] = {
            "dtype": NAMES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for value in tensors.values():
            file.write(np.ascontiguousarray(value).tobytes())


def read_folder(folder: str | os.PathLike) -> dict[str, Tensors]:
    """Every tensor's name and the file that holds it: a single file's, or those of an index.

    InputError, one sentence, for a folder without weights, a shard that is missing or lies
    elsewhere, and a tensor that its shard lacks.
    """
    folder = Path(folder)
    if (folder / SINGLE).is_file():
        tensors = Tensors(folder / SINGLE)
        return dict.fromkeys(tensors, tensors)
    if not (folder / INDEX).is_file():
        raise InputError(f"{folder} has neither {SINGLE} nor {INDEX}; give a folder with weights")
    index = read_json(folder / INDEX, needs=("weight_map",))["weight_map"]
    if not isinstance(index, dict):
        raise InputError(f"{folder / INDEX} must map names to files; correct it")
    shards: dict[str, Tensors] = {}
    for name, shard in index.items():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise InputError(
                f"{folder / INDEX} puts {name!r} into {shard!r}; name a file beside it"
            )
        if shard not in shards:
            if not (folder / shard).is_file():
                raise InputError(f"{folder} lacks the shard {shard} of its index; fetch it")
            shards[shard] = Tensors(folder / shard)
        if name not in shards[shard]:
            raise InputError(f"{folder / shard} lacks {name!r}, which the index puts there")
    return {name: shards[shard] for name, shard in index.items()}


def write_folder(
    folder: str | os.PathLike, tensors: Mapping[str, np.ndarray], shard_bytes: int = 5 * 10**9
) -> None:
    """Write a single file, or shards of about `shard_bytes` at most and an index."""
    folder, parts, size = Path(folder), [{}], 0
    for name, value in tensors.items():
        if parts[-1] and size + value.nbytes > shard_bytes:
            parts.append({})
            size = 0
        parts[-1][name] = value
        size += value.nbytes
    if len(parts) == 1:
        write_safetensors(folder / SINGLE, parts[0])
        return
    names = [f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors" for i in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        write_safetensors(folder / name, part)
    total = sum(value.nbytes for value in tensors.values())
    where = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    index = {"metadata": {"total_size": total}, "weight_map": where}
    with atomic_path(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
