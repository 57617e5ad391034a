"""Stopping a run politely."""

from __future__ import annotations

import signal
import threading
from typing import Any


class StopRequest:
    """Within the context, SIGTERM and SIGINT set `signal_number` instead of ending the process.

    A second SIGINT raises `KeyboardInterrupt` at once. Outside the main thread, where Python
    allows no handlers, the context does nothing. The former handlers come back on exit.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._former.clear()

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def _handle(self, number: int, _frame: Any) -> None:
        if number == signal.SIGINT and self.signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal_number is None:
            self.signal_number = number
