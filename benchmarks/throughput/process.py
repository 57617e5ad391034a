"""Sides of a comparison as resident processes that measure in turn, when asked.

Every side runs in its own process with one XLA thread and no compilation cache. It compiles first
and then answers one request at a time, so that repetitions alternate (A B A B ...) and only one
side works at any moment: noise of the machine hits all alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.report import ROOT

_MARK = "@answer "


class WorkerError(RuntimeError):
    """A side could not be measured; the message is its last error line."""


class Worker:
    """One side: `python -m <module> <arguments>`, which calls `serve`."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        timeout: float = 900.0,
        python: str = sys.executable,
    ):
        """Start it; `python` is another interpreter where a peer has an environment of its own."""
        environment = dict(os.environ)
        environment |= {"PJRT_NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        path = [str(ROOT), str(ROOT / "envs"), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
        self._timeout = timeout
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [python, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            cwd=ROOT,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def receive(self) -> dict[str, Any]:
        """The next answer; WorkerError when the process ends or takes longer than the limit."""
        alarm = threading.Timer(self._timeout, self._process.kill)
        alarm.start()
        try:
            for line in self._process.stdout:
                if line.startswith(_MARK):
                    return json.loads(line[len(_MARK) :])
        finally:
            alarm.cancel()
        self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if line.strip()]
        raise WorkerError(lines[-1] if lines else f"ended with {self._process.returncode}")

    def ask(self, request: str = "measure") -> dict[str, Any]:
        """Send a request and wait for its answer."""
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the reason is in the process's error output, which `receive` reports
        return self.receive()

    def close(self) -> None:
        """Let the process end; kill it when it does not."""
        if self._process.poll() is None:
            try:
                self._process.stdin.close()
                self._process.wait(timeout=20)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()
        self._errors.close()


def answer(values: dict[str, Any]) -> None:
    """From a side: send one answer."""
    print(_MARK + json.dumps(values), flush=True)


def requests() -> Iterable[str]:
    """From a side: the requests, until the other end closes."""
    for line in sys.stdin:
        yield line.strip()


def serve(ready: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> None:
    """From a side: say that it is ready, then answer every request by `measure()`."""
    answer(ready)
    for _ in requests():
        answer(measure())


def alternate(
    sides: dict[str, Callable[[], Worker]],
    repetitions: int,
    *,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[dict[str, dict[str, Any]], dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Start all sides one after the other, then measure them in turn `repetitions` times.

    Returns what each side said when ready, its answers in order, and the reasons of the sides
    that failed (which are left out).
    """
    workers: dict[str, Worker] = {}
    ready: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    answers: dict[str, list[dict[str, Any]]] = {}
    try:
        for name, start in sides.items():
            workers[name] = start()
            try:
                ready[name] = workers[name].receive()
                answers[name] = []
                report(f"{name}: ready {ready[name]}")
            except WorkerError as error:
                failed[name] = str(error)
                report(f"{name}: left out: {error}")
        for _ in range(repetitions):
            for name in list(answers):
                try:
                    answers[name].append(workers[name].ask())
                except WorkerError as error:
                    failed[name] = str(error)
                    del answers[name]
                    report(f"{name}: left out: {error}")
        return ready, answers, failed
    finally:
        for worker in workers.values():
            worker.close()
