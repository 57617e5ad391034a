"""Writing files so that a reader never sees half of one."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError


def refuse_file(folder: str | os.PathLike[str]) -> None:
    """InputError where a folder is wanted and a file stands, before any work is done for it."""
    if Path(folder).exists() and not Path(folder).is_dir():
        raise InputError(f"{os.fspath(folder)} is a file; give a folder for the results")


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Make `folder` and those above it; InputError in one sentence where that is not possible."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{os.fspath(folder)} is a file; give a folder for the results") from None
    except OSError as error:
        raise InputError(
            f"{os.fspath(folder)} cannot be made ({error.strerror}); choose another folder for the "
            "results"
        ) from error
    return Path(folder)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` in one step.

    The suffix is kept, so that writers which choose a format by suffix work. If the body raises,
    the temporary file is removed and `path` is as it was.
    """
    target = Path(path)
    make_folder(target.parent)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` through a temporary file and a rename."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path` through a temporary file and a rename."""
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: str | os.PathLike[str], value: Any, **kwargs: Any) -> None:
    """Write `value` as indented JSON to `path`; NaN and infinities become null."""
    text = json.dumps(jsonable(value), indent=2, allow_nan=False, **kwargs)
    atomic_write_text(path, text + "\n")


def jsonable(value: Any) -> Any:
    """Turn arrays, NumPy numbers, dataclass-like records and paths into plain JSON values."""
    import dataclasses
    import math

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: jsonable(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if callable(value) and not hasattr(value, "dtype"):
        return getattr(value, "__qualname__", repr(value))
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
