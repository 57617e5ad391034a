"""Writing files so that a reader never sees half of one."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError, WriteError

try:
    import fcntl
except ImportError:  # Windows has other locks
    fcntl = None

TEMPORARY = ".jaxrl-"
"""How the names of temporary files begin; the process that writes one holds a lock on it."""
_LONGEST_SHOWN = 160


def refuse_file(folder: str | os.PathLike[str]) -> None:
    """InputError where a folder is wanted and a file stands, before any work is done for it."""
    with _told(f"{shown_path(folder)} cannot be used"):
        if Path(folder).exists() and not Path(folder).is_dir():
            raise InputError(f"{shown_path(folder)} is a file; give a folder for the results")


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Make `folder` and those above it; InputError in one sentence where that is not possible."""
    with _told(f"{shown_path(folder)} cannot be made"):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise InputError(
                f"{shown_path(folder)} is a file; give a folder for the results"
            ) from None
    return Path(folder)


@contextlib.contextmanager
def writing(
    path: str | os.PathLike[str], by: str | os.PathLike[str] | None = None
) -> Iterator[None]:
    """A `WriteError`, one sentence with `path`, in place of what the operating system raises.

    With `by`, only what it says of that file, or of none.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if by is not None and error.filename not in (None, os.fspath(by)):
            raise
        raise WriteError(
            f"{shown_path(path)} cannot be written ({error.strerror or error}); free space, allow "
            "writing there, or choose another folder"
        ) from error


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """As `writing`, for a folder of results that is to be made or looked at."""
    try:
        yield
    except OSError as error:
        if isinstance(error, InputError):
            raise
        raise WriteError(
            f"{what} ({error.strerror or error}); choose another folder for the results"
        ) from error


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path for a message; the middle of a very long one is left out."""
    text = os.fspath(path)
    half = _LONGEST_SHOWN // 2
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:half]}...{text[-half:]}"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` in one step.

    The suffix is kept, so that writers which choose a format by suffix work. If the body raises,
    the temporary file is removed and `path` is as it was. WriteError where the operating system
    refuses; what a killed process leaves is removed by `sweep_temporary`.
    """
    target = Path(path)
    make_folder(target.parent)
    with writing(target):
        handle, temporary = _temporary(target)
    with writing(target, by=temporary):
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
            os.close(handle)


def _temporary(target: Path) -> tuple[int, Path]:
    """An open, locked new file beside `target`."""
    while True:
        handle, name = tempfile.mkstemp(
            prefix=f"{TEMPORARY}{target.stem[:80]}-", suffix=target.suffix, dir=target.parent
        )
        if lock_file(handle) and not os.path.exists(name):
            os.close(handle)  # a sweep took it for a dead process's, between making and locking
            continue
        return handle, Path(name)


def lock_file(handle: int, *, wait: bool = True) -> bool:
    """Lock an open file for this process alone; the operating system unlocks it when it is closed,
    however the process ends.

    Returns whether it is locked; False where the file system has no locks. BlockingIOError where
    another holds the lock and `wait` is False.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def sweep_temporary(folder: str | os.PathLike[str]) -> int:
    """Remove temporary files of `atomic_path` in and below `folder` whose process is gone; how
    many."""
    removed = 0
    for path in list(Path(folder).rglob(f"{TEMPORARY}*")):
        with contextlib.suppress(OSError):  # BlockingIOError: somebody is writing it
            handle = os.open(path, os.O_RDWR)
            try:
                if lock_file(handle, wait=False):
                    path.unlink()
                    removed += 1
            finally:
                os.close(handle)
    return removed


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
