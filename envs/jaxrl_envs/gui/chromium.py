"""A Chromium found on the machine, driven over its DevTools pipe; no package is needed.

The browser reads commands from file descriptor 3 and writes answers and events to 4, as JSON
messages that end in a NUL byte (`--remote-debugging-pipe`). No port is opened.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxrl_rewards.core.errors import InputError

CHROME_VARIABLE = "CHROME_PATH"
CHROME_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "chrome-headless-shell",
)
CHROME_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--mute-audio",
    "--force-color-profile=srgb",
    "--password-store=basic",
)


class PageError(RuntimeError):
    """One page or one command failed; the browser may have to be started anew."""


def find_chromium(path: str | os.PathLike | None = None) -> str:
    """Return the path of a Chromium or Chrome.

    In order: `path`, the environment variable CHROME_PATH, the usual names on PATH, the usual
    places on macOS. Raises `InputError` where there is none.
    """
    for source, name in (
        ("the path given", path),
        (CHROME_VARIABLE, os.environ.get(CHROME_VARIABLE)),
    ):
        if name:
            found = shutil.which(os.fspath(name))
            if found is None:
                raise InputError(
                    f"{source} names {os.fspath(name)!r}, which is no program; correct it"
                )
            return found
    for name in (*CHROME_NAMES, *CHROME_PLACES):
        found = shutil.which(name)
        if found is not None:
            return found
    raise InputError(
        "no Chromium was found; install chromium or Google Chrome, or set CHROME_PATH to its "
        "program"
    )


class Chromium:
    """A running headless browser; use it as a context manager.

    `call(method, params, session)` sends a DevTools command and returns its result; events that
    arrive meanwhile wait in `events`. Every wait has a deadline and raises `PageError`. Requests
    that `Fetch.enable` holds back go on unless `refuses(params of Fetch.requestPaused)`.
    """

    def __init__(self, program: str, flags: Sequence[str] = (), start_timeout: float = 60.0):
        """Start `program`; raises `InputError` if it does not answer within `start_timeout` s."""
        if not hasattr(os, "posix_spawn"):
            raise InputError("the collector needs Linux or macOS; run it there")
        self.events: deque[dict] = deque(maxlen=1000)
        self.refuses: Callable[[dict], bool] = lambda request: False
        self._buffer, self._number, self._pid = bytearray(), 0, 0
        self._folder = Path(tempfile.mkdtemp(prefix="jaxrl-chromium-"))
        self._read = self._write = -1
        try:
            self._start(program, flags)
            self.version = self.call("Browser.getVersion", timeout=start_timeout)["product"]
        except (PageError, OSError) as error:
            log = self._log_tail()
            self.close()
            raise InputError(
                f"the browser {program!r} did not start ({error}){log}; try it by hand, or set "
                "CHROME_PATH to another"
            ) from None
        except BaseException:
            self.close()
            raise

    def _start(self, program: str, flags: Sequence[str]) -> None:
        import fcntl

        their_read, self._write = os.pipe()
        self._read, their_write = os.pipe()
        # Above 9, so that putting them at 3 and 4 cannot close one of the four.
        high_read = fcntl.fcntl(their_read, fcntl.F_DUPFD_CLOEXEC, 10)
        high_write = fcntl.fcntl(their_write, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(their_read)
        os.close(their_write)
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        profile = f"--user-data-dir={self._folder / 'profile'}"
        arguments = [program, *FLAGS, *sandbox, profile, *flags, "about:blank"]
        create = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(self._folder / "log"), create, 0o600),
            (os.POSIX_SPAWN_DUP2, high_read, 3),
            (os.POSIX_SPAWN_DUP2, high_write, 4),
        ]
        try:
            self._pid = os.posix_spawn(
                program, arguments, dict(os.environ), file_actions=actions, setpgroup=0
            )
        finally:
            os.close(high_read)
            os.close(high_write)
        os.set_blocking(self._write, False)

    def call(
        self, method: str, params: dict | None = None, session: str = "", timeout: float = 30.0
    ) -> dict:
        """Send one command and return its result; `PageError` on an error answer or time-out."""
        deadline = time.monotonic() + timeout
        number = self.send(method, params, session, deadline)
        while True:
            message = self._receive(deadline, method)
            if message.get("id") == number:
                if "error" in message:
                    raise PageError(f"{method}: {message['error'].get('message', 'failed')}")
                return message.get("result", {})
            if "method" in message:
                self._note(message)

    def send(self, method: str, params: dict | None, session: str, deadline: float) -> int:
        """Send one command without waiting for its answer; return its number."""
        self._number += 1
        message: dict = {"id": self._number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        data = memoryview(json.dumps(message).encode() + b"\0")
        while data:
            _, writable, _ = select.select(
                [], [self._write], [], max(0.0, deadline - time.monotonic())
            )
            if not writable:
                raise PageError(f"{method}: the browser does not take commands")
            try:
                data = data[os.write(self._write, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise PageError(f"{method}: the browser has ended ({error})") from None
        return self._number

    def wait_for(self, wanted: Callable[[dict], bool], deadline: float, what: str) -> dict:
        """Return the first event, old or new, for which `wanted` is true."""
        while True:
            while self.events:
                event = self.events.popleft()
                if wanted(event):
                    return event
            message = self._receive(deadline, what)
            if "method" in message:
                self._note(message)

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass and answer the page's dialogs and requests meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if b"\0" in self._buffer or select.select([self._read], [], [], left)[0]:
                message = self._receive(deadline + 1.0, "waiting")
                if "method" in message:
                    self._note(message)

    def _note(self, event: dict) -> None:
        if event["method"] == "Page.javascriptDialogOpening":  # it would block the page for ever
            params = {"accept": True}
            self.send(
                "Page.handleJavaScriptDialog",
                params,
                event.get("sessionId", ""),
                time.monotonic() + 5.0,
            )
        elif event["method"] == "Fetch.requestPaused":
            refused = self.refuses(event["params"])
            self.send(
                "Fetch.failRequest" if refused else "Fetch.continueRequest",
                {"requestId": event["params"]["requestId"]}
                | ({"errorReason": "AccessDenied"} if refused else {}),
                event.get("sessionId", ""),
                time.monotonic() + 5.0,
            )
        elif event["method"] in ("Inspector.targetCrashed", "Target.targetCrashed"):
            raise PageError("the page crashed")
        else:
            self.events.append(event)

    def _receive(self, deadline: float, what: str) -> dict:
        while True:
            end = self._buffer.find(b"\0")
            if end >= 0:
                text = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                return json.loads(text)
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise PageError(f"{what}: no answer in time")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise PageError(f"{what}: the browser has ended")
            self._buffer += chunk

    def _log_tail(self) -> str:
        try:
            lines = (self._folder / "log").read_text(errors="replace").split("\n")
        except OSError:
            return ""
        lines = [line.strip() for line in lines if line.strip()]
        return f", its last words: {lines[-1][:200]!r}" if lines else ""

    def close(self) -> None:
        """End the browser and all its processes, and remove its profile."""
        for name in ("_write", "_read"):
            handle = getattr(self, name)
            if handle >= 0:
                os.close(handle)
                setattr(self, name, -1)
        if self._pid:
            # Closing the pipe asks the browser to leave; the group is killed if it does not.
            if not self._ended_within(2.0):
                self._kill_group()
                self._ended_within(10.0)
            self._kill_group()
            self._pid = 0
        for _ in range(40):  # a killed process may still be writing its last file
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                break
            time.sleep(0.05)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def _ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if os.waitpid(self._pid, os.WNOHANG)[0]:
                    return True
            except ChildProcessError:
                return True
            time.sleep(0.02)
        return False

    def __enter__(self) -> "Chromium":
        """Return the browser."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the browser."""
        self.close()
