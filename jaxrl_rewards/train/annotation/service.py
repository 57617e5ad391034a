"""Asynchronous annotation: the learner hands in messages and picks up labels, and never waits.

Source of the loop: Zheng et al. 2024 (ONI), arXiv 2410.23022. Theirs has no error handling; here
a server that is slow, wrong or gone costs labels and nothing else.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.errors import WriteError
from jaxrl_rewards.train.annotation.annotators import Annotation, Annotator
from jaxrl_rewards.train.annotation.desk import ASK_AGAIN, Desk, Ticket
from jaxrl_rewards.train.annotation.labels import CLASSES, Label, LabelFile

BREAK_AFTER = 5
"""Failures in a row after which only one probe per `probe_interval` is sent."""
MOST_REPLACEMENTS = 8
"""Workers that may be given up because their annotator never returned."""


@dataclasses.dataclass(frozen=True)
class AnnotationSettings:
    """Sizes and patience of the service."""

    mode: str = "threads"
    """"threads", or "sync": one thread, the caller's, and answers after `latency` polls."""
    batch_size: int = 100
    capacity: int = 10_000
    """Texts that may wait; when more come, the oldest is dropped."""
    workers: int = 2
    latency: int = 2
    """In mode "sync", polls between a submission and its labels."""
    timeout: float = 30.0
    """Seconds that an annotator may take over one text. A worker from which no answer comes through
    all retries and waits, `(retries + 1)(timeout + longest_wait)`, is given up and replaced."""
    retries: int = 4
    backoff: float = 0.5
    """Seconds before the first retry; doubles each time, with jitter."""
    longest_wait: float = 60.0
    probe_interval: float = 30.0
    invalid_limit: int = 5
    """Times that a text may turn out invalid before it is given up for good."""
    classes: tuple[int, ...] = CLASSES
    """Labels that count as valid; `(0, 1, 2)` for pairs of messages."""

    def __post_init__(self):
        if self.mode not in ("threads", "sync"):
            raise InputError(f"annotation mode {self.mode!r} is unknown; choose threads or sync")
        for name in ("batch_size", "capacity", "workers", "invalid_limit"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"annotation {name} must be a positive integer, got {value!r}")
        for name in ("latency", "timeout", "retries", "backoff", "longest_wait", "probe_interval"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise InputError(f"annotation {name} must be finite and not negative, got {value}")


Due = tuple[int, Ticket, list[Annotation], Exception | None]
"""In mode "sync": the poll that books the answers, the batch, its answers and what went wrong."""


class AnnotationService:
    """`submit` and `poll` return at once whatever the annotator does, and never raise for it.

    Texts wait in a bounded queue, the newest are asked first, each is asked once. A failed batch
    is retried with exponential back-off and jitter (`retry_after` of the exception is honoured,
    `temporary=False` ends the retries); then its texts may be submitted again. An answer that
    cannot be read is asked for once more, then counted as invalid, without a label. The first
    valid label of a text wins and never changes.

    Every text has one id. Id 0 and the empty text are never asked. `label_file` collects the
    labels as JSONL. Mode "sync" calls the annotator for one batch inside `submit` and hands its
    labels out at the `latency`-th `poll` from there: the same calls give the same labels, bit for
    bit, also across `state_dict`.
    """

    def __init__(
        self,
        annotator: Annotator,
        settings: AnnotationSettings | None = None,
        *,
        label_file: LabelFile | None = None,
        clock: Callable[[], float] = time.monotonic,
        seed: int = 0,
    ):
        self.annotator, self.settings = annotator, settings or AnnotationSettings()
        self._file, self._clock = label_file, clock
        self._random = random.Random(seed)
        self._desk = Desk(
            self.settings.capacity, self.settings.invalid_limit, self.settings.classes
        )
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._stop = threading.Event()
        self._in_a_row = 0
        self._next_probe = 0.0
        self._last_error = ""
        self._polls = 0
        self._due: deque[Due] = deque()
        self._threads: list[threading.Thread] = []
        self._heard: dict[int, float] = {}
        """When the last answer of a batch under way came."""
        self._abandoned: set[int] = set()
        """Tickets of workers that hang in their annotator and were replaced."""
        if self.settings.mode == "threads":
            for _ in range(self.settings.workers):
                self._start_worker()

    def submit(self, ids: Iterable[int], texts: Iterable[str]) -> None:
        """Hand in messages that were met; the last ones count as the newest.

        InputError where ids and texts differ in number or a text is none.
        """
        ids, texts = list(ids), list(texts)
        if len(ids) != len(texts):
            raise InputError(f"{len(ids)} ids came with {len(texts)} texts; give one id per text")
        with self._lock:
            if self._stop.is_set():
                return
            self._desk.submit(ids, texts, self._clock())
            if self.settings.mode == "threads":
                self._reap()
                self._work.notify_all()
        if self.settings.mode == "sync":
            self._ask_now()

    def poll(self) -> list[tuple[int, int]]:
        """`(id, label)` of the texts labelled since the last call, in order of arrival."""
        with self._lock:
            if self.settings.mode == "threads":
                self._reap()
            news = self._desk.drain()
        if self.settings.mode == "sync":
            self._deliver()
            self._polls += 1
            with self._lock:
                news += self._desk.drain()
        return news

    def health(self) -> dict[str, Any]:
        """queue, pending, labelled, dropped, invalid, failures, disagreements, latency_p50 and
        latency_p95 (seconds), age of the oldest unanswered text (seconds), state and last_error."""
        with self._lock:
            numbers = self._desk.health(self._clock())
            down = self._in_a_row >= BREAK_AFTER
            state = "closed" if self._stop.is_set() else "down" if down else "ok"
            return {**numbers, "state": state, "last_error": self._last_error}

    def state_dict(self) -> dict[str, Any]:
        """Labels, pending texts and counters as JSON values, for a checkpoint."""
        with self._lock:
            state = self._desk.state_dict()
        if self.settings.mode == "sync":
            state["polls"] = self._polls
            state["due"] = [_dump(due, self._polls) for due in self._due]
        if hasattr(self.annotator, "state_dict"):
            state["annotator"] = self.annotator.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`: the next `poll` gives all labels, pending texts wait.

        In mode "sync" answers that were under way arrive when they would have.
        """
        with self._lock:
            self._desk.load_state_dict(state, self._clock())
            if self.settings.mode == "sync":
                self._polls = int(state.get("polls", 0))
                for tick, texts, answers, error in state.get("due", ()):
                    self._due.append(
                        (
                            tick + self._polls,
                            self._desk.take_named(texts, self._clock()),
                            [Annotation(**answer) for answer in answers],
                            None if error is None else RuntimeError(error),
                        )
                    )
            self._work.notify_all()
        if "annotator" in state and hasattr(self.annotator, "load_state_dict"):
            self.annotator.load_state_dict(state["annotator"])

    def close(self, timeout: float = 5.0) -> None:
        """End the workers; waits at most `timeout` seconds for calls under way. Idempotent.

        What is being asked is the last: the rest of its batch is not asked."""
        self._stop.set()
        stop = getattr(getattr(self.annotator, "chat", None), "stop", None)
        if stop is not None:
            stop.set()
        with self._lock:
            self._work.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def __enter__(self) -> AnnotationService:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    # ------------------------------------------------------------------ one thread

    def _ask_now(self) -> None:
        """Ask about one batch, in the caller's thread; the answers are booked later."""
        with self._lock:
            ticket = self._desk.take(self.settings.batch_size, self._clock())
        if ticket is None:
            return
        answers, error = self._call(ticket.texts)
        for _ in range(ASK_AGAIN):
            bad = [
                i for i, answer in enumerate(answers) if answer.label not in self.settings.classes
            ]
            if bad and error is None:
                second, error = self._call([ticket.texts[i] for i in bad])
                for i, answer in zip(bad, second, strict=False):
                    answers[i] = answer
        due = self._polls + max(self.settings.latency, 1) - 1
        self._due.append((due, ticket, answers, error))

    def _deliver(self) -> None:
        while self._due and self._due[0][0] <= self._polls:
            _, ticket, answers, error = self._due.popleft()
            self._book(ticket.texts[: len(answers)], answers, final=True)
            if error is not None:
                self._fail(error)
            with self._lock:
                self._desk.release(ticket, self._clock())

    # ------------------------------------------------------------------ worker threads

    def _start_worker(self) -> None:
        thread = threading.Thread(target=self._run, name="annotation", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                pause = self._pause()
                ticket = None
                if pause <= 0:
                    size = 1 if self._in_a_row >= BREAK_AFTER else self.settings.batch_size
                    ticket = self._desk.take(size, self._clock())
                    if ticket is not None and self._in_a_row >= BREAK_AFTER:
                        self._next_probe = self._clock() + self.settings.probe_interval
                if ticket is None:
                    self._work.wait(min(pause, 1.0) if pause > 0 else 1.0)
                    continue
            try:
                self._serve(ticket)
            except Exception as error:  # whatever happens here must not end the thread
                self._fail(error)
            with self._lock:
                self._desk.release(ticket, self._clock())
                self._heard.pop(ticket.number, None)
                if ticket.number in self._abandoned:
                    return

    def _serve(self, ticket: Ticket) -> None:
        """Ask about a batch until it is answered, hopeless or out of retries."""
        texts, left, attempt = list(ticket.texts), ASK_AGAIN, 0
        while texts and not self._stop.is_set():
            answers, error = self._call(texts, ticket.number)
            rest = texts[len(answers) :]
            texts = self._book(texts[: len(answers)], answers, final=left == 0)
            if error is None:
                left -= 1
                continue
            self._fail(error)
            attempt += 1
            texts += rest
            broken = self._in_a_row >= BREAK_AFTER
            if attempt > self.settings.retries or broken or not _temporary(error):
                return
            self._stop.wait(self._wait(attempt, getattr(error, "retry_after", None)))

    def _pause(self) -> float:
        """Seconds until the annotator may be asked again."""
        if self._in_a_row < BREAK_AFTER:
            return 0.0
        return self._next_probe - self._clock()

    def _reap(self) -> None:
        """Give up batches whose annotator does not return, and the worker that hangs in it."""
        now = self._clock()
        for ticket in list(self._desk.out.values()):
            if (
                now - max(ticket.since, self._heard.get(ticket.number, now - 1e9))
                <= self._patience()
            ):
                continue
            self._desk.release(ticket, now)
            self._note(TimeoutError(f"no answer within {self._patience():g} s"))
            if len(self._abandoned) < MOST_REPLACEMENTS and not self._stop.is_set():
                self._abandoned.add(ticket.number)
                self._start_worker()

    def _patience(self) -> float:
        """Seconds without any answer after which a worker hangs."""
        settings = self.settings
        return (settings.retries + 1) * (settings.timeout + settings.longest_wait)

    # ------------------------------------------------------------------ both

    def _call(
        self, texts: Sequence[str], ticket: int | None = None
    ) -> tuple[list[Annotation], Exception | None]:
        """Answers to the first texts, and the exception where that is not all of them."""
        answers: list[Annotation] = []
        try:
            for answer in self.annotator.annotate(list(texts)):
                if not isinstance(answer, Annotation) or len(answers) == len(texts):
                    raise ValueError("an annotator must give one Annotation per text")
                answers.append(answer)
                if ticket is not None:
                    self._heard[ticket] = self._clock()
                if self._stop.is_set() and len(answers) < len(texts):
                    raise RuntimeError("the service was closed; the rest is not asked")
            if len(answers) < len(texts):
                raise ValueError(f"{len(answers)} annotations came for {len(texts)} texts")
        except Exception as error:
            return answers, error
        return answers, None

    def _book(self, texts: Sequence[str], answers: list[Annotation], final: bool) -> list[str]:
        """Enter answers into the books and the file; the texts to ask again."""
        with self._lock:
            self._in_a_row = 0 if answers else self._in_a_row
            again, fresh = self._desk.settle(texts, answers, final)
        if self._file is not None and fresh:
            names = {"model": self.annotator.model, "prompt_version": self.annotator.prompt_version}
            try:
                self._file.append(
                    Label(message=text, label=int(a.label), raw=a.raw, **names)
                    for text, a in fresh.items()
                )
            except WriteError as error:  # the file keeps them; the annotator is well
                with self._lock:
                    self._last_error = str(error)[:300]
        return again

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._note(error)

    def _note(self, error: Exception) -> None:
        self._desk.counts["failures"] += 1
        self._in_a_row += 1
        self._next_probe = self._clock() + self.settings.probe_interval
        self._last_error = f"{type(error).__name__}: {error}"[:300]

    def _wait(self, attempt: int, asked: float | None) -> float:
        with self._lock:
            jitter = self._random.uniform(0.5, 1.0)
        own = min(self.settings.backoff * 2.0 ** (attempt - 1) * jitter, self.settings.longest_wait)
        return own if asked is None else min(max(asked, own), self.settings.longest_wait)


def _temporary(error: Exception) -> bool:
    """Whether asking again may help; unknown exceptions may."""
    return bool(getattr(error, "temporary", True))


def _dump(due: Due, polls: int) -> list[Any]:
    tick, ticket, answers, error = due
    text = None if error is None else f"{type(error).__name__}: {error}"
    return [tick - polls, list(ticket.texts), [dataclasses.asdict(a) for a in answers], text]
