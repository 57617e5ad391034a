"""Reading input files with limits and clear errors."""

from __future__ import annotations

from pathlib import Path

from jaxrl_rewards.core import InputError

LARGEST_FILE = 1 << 30
"""bytes"""


def read_bytes(path: Path) -> bytes:
    """The content of a file; InputError where it cannot be read or is larger than 1 GiB."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(f"{path} has {size} bytes; cut it into clips below 1 GiB")
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}; check the path"
        ) from error


def read_text(path: Path) -> str:
    """The content of a UTF-8 file; InputError names the first byte that is none."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text: byte {error.start} is not UTF-8; is it another format?"
        ) from error
