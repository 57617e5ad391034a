"""Stopping a run politely."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

from jaxrl_rewards.core.output import SteadyStream


class StopRequest:
    """Within the context, SIGTERM, SIGINT and SIGHUP set `signal_number` instead of ending the
    process.

    More of them change nothing but the note that the first is being obeyed: what is at work is
    finished and saved, and only SIGKILL ends it at once. Signals that were ignored when the context
    began (`nohup`, a shell's background jobs) stay ignored. Outside the main thread, where Python
    allows no handlers, the context does nothing. The former handlers come back on exit.
    """

    SIGNALS = tuple(
        getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
    )

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._former.clear()

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def _handle(self, number: int, _frame: Any) -> None:
        if self.signal_number is None:
            self.signal_number = number
            return
        try:
            SteadyStream(sys.stderr).write("stopping: the work at hand is finished and saved\n")
        except RuntimeError:  # a signal in the middle of a write to the same stream
            return
