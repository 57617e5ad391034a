"""Text for people, which never ends the work that it tells of."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class SteadyStream:
    """A text stream whose writing never fails.

    What cannot be encoded becomes `?`; text for a stream that is missing (None), closed, or a pipe
    that nobody reads is dropped from then on, and text for which there is no room is dropped.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream.inner if isinstance(stream, SteadyStream) else stream
        self.lost = self._stream is None
        """Whether nobody reads any more."""

    @property
    def inner(self) -> TextIO | None:
        """The stream that is written to."""
        return self._stream

    def write(self, text: str) -> int:
        """Write what can be written; always the length of `text`."""
        if not self.lost:
            with self._forgiving():
                try:
                    self._stream.write(text)
                except UnicodeEncodeError:
                    encoding = self._stream.encoding or "ascii"
                    self._stream.write(text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        if not self.lost:
            with self._forgiving():
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal that is still there."""
        if not self.lost:
            with self._forgiving():
                return self._stream.isatty()
        return False

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.lost = self.lost or error.errno in (errno.EPIPE, errno.EBADF, errno.EIO)
        except ValueError:  # it was closed
            self.lost = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_stream"], name)


@contextlib.contextmanager
def steady_output() -> Iterator[None]:
    """Within the context, printing never fails, on `sys.stdout` and `sys.stderr`.

    Descriptors 0 to 2 that are closed are opened on the null device first, or the next file to be
    opened would get what compiled code writes to standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    former = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(SteadyStream, former)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = former
        for stream in former:
            _leave_empty(stream)


def _leave_empty(stream: TextIO | None) -> None:
    """Flush a stream; what it cannot get rid of goes to the null device, or Python would complain
    of it when it ends."""
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
            stream.flush()
