"""One process at a time writes a run's folder."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import (
    lock_file,
    make_folder,
    shown_path,
    sweep_temporary,
    writing,
)

LOCK = ".lock"
"""Name of the file in a run's folder that is locked; it stays, and means nothing by itself."""
_held: dict[tuple[int, int], int] = {}
"""Locked files (device and number) of this process, and the threads that hold them."""


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Hold a run's folder, made where it is missing, for this process alone.

    The operating system gives it free when the process ends, however it ends, so that a killed run
    can be resumed at once. The thread that holds a folder may hold it again. Temporary files that a
    killed process left in the folder are removed.

    Between machines it holds as far as the file system passes locks on: NFS version 4 does; mounts
    with `nolock` or `local_lock` do not; where there are no locks at all a warning says so.

    Raises:
      InputError: another process (or thread) holds it; it cannot be made or written.
    """
    folder = make_folder(folder)
    with writing(folder / LOCK):
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        facts = os.fstat(handle)
        file = facts.st_dev, facts.st_ino
        again = _held.get(file) == threading.get_ident()
        if not again:
            _take(handle, folder)
            _held[file] = threading.get_ident()
        try:
            sweep_temporary(folder)
            yield folder
        finally:
            if not again:
                del _held[file]
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    """Lock the file and write into it who did."""
    try:
        locked = lock_file(handle, wait=False)
    except BlockingIOError:
        raise InputError(
            f"{shown_path(folder)} is in use by {_owner(handle)}; wait for its end, end it, or "
            "choose another folder"
        ) from None
    if not locked:
        warnings.warn(
            f"{shown_path(folder)} is on a file system without locks: start no second run there",
            RuntimeWarning,
            stacklevel=4,
        )
    text = f"process {os.getpid()} on {socket.gethostname()}"
    with contextlib.suppress(OSError):  # only for the message above
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode(), 0)


def _owner(handle: int) -> str:
    try:
        text = os.pread(handle, 200, 0).decode("utf-8", "replace")
    except OSError:
        text = ""
    return text if text.isprintable() and text else "another process"
