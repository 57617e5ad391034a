"""When one process of a run is lost, the others end with one sentence instead of waiting.

Every process holds a connection to process 0, which the operating system closes when either side
dies and, by keep-alive probes, when its machine is gone. Whoever sees that says so on standard
error and exits with code 1. JAX's own heartbeats notice what is left (a process that is stopped),
but end the process within compiled code; for that case a shell waits beside each process and says
the sentence when it ends without having taken leave.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from jaxrl_rewards.train.place import Place

EXIT_CODE = 1
PROBE_SECONDS = (10, 5, 4)
"""Idle time before the first probe, time between probes, and how many go unanswered."""
NOTICE_SECONDS = 1.0
"""How long a process that fails waits for the news that another one is lost."""
LONGEST_LINE = 64
AGAIN = "start all processes again with the same command and --resume"

_LAST_WORDS = (
    'while IFS= read -r line; do last=$line; done; [ -z "$last" ] || printf "%s\\n" "$last" >&2'
)


class LastWords:
    """A shell that says a sentence on standard error if this process ends without `silence`."""

    def __init__(self, sentence: str):
        """Start the shell; without /bin/sh there are no last words."""
        self._shell: subprocess.Popen | None = None
        with contextlib.suppress(OSError):
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _LAST_WORDS],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            self.say(sentence)

    def say(self, sentence: str) -> None:
        """Put `sentence` in the place of the one before."""
        if self._shell is not None and self._shell.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._shell.stdin.write(sentence.encode() + b"\n")
                self._shell.stdin.flush()

    def silence(self) -> None:
        """Nothing is to be said, and the shell may go."""
        self.say("")
        if self._shell is not None and self._shell.stdin is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._shell.stdin.close()
                self._shell.wait(timeout=1.0)


class Watch:
    """The connections of one process to the others of its run."""

    def __init__(self, place: Place, words: LastWords):
        """Nothing is connected before `connect`."""
        self.place = place
        self.words = words
        self.failed: int | None = None
        """The exit code of a process that fails; None while all is well."""
        self._leaving = False
        self._ending = threading.Lock()
        self._lines: dict[int, socket.socket] = {}
        self._listener: socket.socket | None = None

    def connect(self, tell: Callable[[list[int]], list[int]]) -> None:
        """Connect to process 0 and watch from now on.

        `tell` hands process 0's numbers to all processes; it is called once by each.
        """
        numbers = [0, 0]
        if self.place.index == 0:
            dual = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual else socket.AF_INET
            self._listener = socket.create_server(("", 0), family=family, dualstack_ipv6=dual)
            numbers = [self._listener.getsockname()[1], secrets.randbelow(2**31)]
        port, token = tell(numbers)
        if self.place.index == 0:
            _thread(self._accept, token)
        elif (line := self._dial(port, token)) is not None:
            self._lines[0] = line
            _thread(self._watch_first, line)

    def leave(self) -> None:
        """Tell the others that this process ends, and whether it failed; call it at exit.

        One that failed ends here, since JAX would wait for the others.
        """
        if self._leaving:
            return
        failed = self.failed is not None
        if failed:  # perhaps because another one is lost, which the watch is about to say
            time.sleep(NOTICE_SECONDS)
        self._leaving = True
        self._tell(f"failed {self.place.index}\n" if failed else "bye\n")
        self.words.silence()
        if failed:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(self.failed)

    def _dial(self, port: int, token: int) -> socket.socket | None:
        host = self.place.coordinator.rpartition(":")[0].strip("[]")
        try:
            line = socket.create_connection((host, port), timeout=20.0)
            line.settimeout(None)
            _probe(line)
            line.sendall(f"{token} {self.place.index}\n".encode())
        except OSError as error:
            _say(
                f"warning: {self._me()} cannot reach process 0 on port {port} ({error}); "
                "a lost process is noticed by its missing heartbeats only"
            )
            return None
        return line

    def _watch_first(self, line: socket.socket) -> None:
        """In every process but 0: wait for what process 0 says, or its end."""
        for text in _lines_of(line):
            if text == "bye":
                return
            self._end(text)
        self._end("lost 0")

    def _accept(self, token: int) -> None:
        """In process 0: a thread for each of the others."""
        while True:
            line, _ = self._listener.accept()
            _probe(line)
            _thread(self._watch_one, line, token)

    def _watch_one(self, line: socket.socket, token: int) -> None:
        """In process 0: wait for what another process says, or its end."""
        index = None
        for text in _lines_of(line):
            if index is None:
                index = self._admit(line, text, token)
                if index is None:
                    break  # a stranger
            elif text == "bye":
                return
            else:
                self._end(text)
        if index is None:
            line.close()
        else:
            self._end(f"lost {index}")

    def _admit(self, line: socket.socket, text: str, token: int) -> int | None:
        """The number of the process that sent `text`; None for anybody else."""
        word, _, number = text.partition(" ")
        if word != str(token) or not number.isdigit() or not 0 < int(number) < self.place.count:
            return None
        self._lines[int(number)] = line
        return int(number)

    def _end(self, what: str) -> None:
        """Say what happened to whom, pass it on, and end this process."""
        with self._ending:
            if self._leaving:
                return
            self._leaving = True
        if self.place.index == 0:
            self._tell(what + "\n")
        kind, _, number = what.partition(" ")
        happened = "has failed" if kind == "failed" else "was lost"
        sentence = (
            f"process {number} of {self.place.count} {happened}, so process {self.place.index} "
            f"ends too; see the output of process {number}, then {AGAIN}"
        )
        self.words.say("jaxrl-rewards: " + sentence)  # should compiled code end us before the next
        _say(sentence)
        self.words.silence()
        os._exit(EXIT_CODE)

    def _tell(self, text: str) -> None:
        for line in list(self._lines.values()):
            with contextlib.suppress(OSError):
                line.sendall(text.encode())

    def _me(self) -> str:
        return f"process {self.place.index} of {self.place.count}"


def joining(place: Place, seconds: float) -> str:
    """The last words of a process that ends before all have met."""
    return (
        f"process {place.index} of {place.count} ended before all processes had met at "
        f"{place.coordinator}: check that address, and that all are started within {seconds:g} s"
    )


def working(place: Place) -> str:
    """The last words of a process that ends in compiled code, or is killed."""
    return (
        f"process {place.index} of {place.count} was ended because another process of the run was "
        f"lost, or by a signal; see the output of the others, then {AGAIN}"
    )


def leave_at_exit(watch: Watch) -> None:
    """Have `watch` take leave when the interpreter ends, whatever the reason."""

    def leave() -> None:
        if watch.failed is None and getattr(sys, "last_value", None) is not None:
            watch.failed = EXIT_CODE
        watch.leave()

    atexit.register(leave)


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"jaxrl-rewards: {sentence}\n".encode())


def _receive(line: socket.socket) -> bytes:
    try:
        return line.recv(4096)
    except OSError:
        return b""


def _lines_of(line: socket.socket) -> Iterator[str]:
    buffer = b""
    while len(buffer) <= LONGEST_LINE and (data := _receive(line)):
        *texts, buffer = (buffer + data).split(b"\n")
        yield from (text.decode(errors="replace") for text in texts)


def _thread(work: Callable, *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, name="watch", daemon=True).start()


def _probe(line: socket.socket) -> None:
    """Have the operating system notice that the machine at the other end is gone."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    for name, value in zip(names, PROBE_SECONDS, strict=True):
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
