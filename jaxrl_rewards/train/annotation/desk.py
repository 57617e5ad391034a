"""The books of the annotation service: what waits, what is asked, what is known. No threads here.

Every method is quick and called under the service's lock.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxrl_rewards.core import InputError
from jaxrl_rewards.train.annotation.annotators import Annotation

ASK_AGAIN = 1
"""Further questions about a text whose answer could not be read, before it counts as invalid."""


@dataclasses.dataclass(frozen=True)
class Ticket:
    """A batch given to a worker."""

    number: int
    texts: tuple[str, ...]
    since: float


class Desk:
    """Queue (newest first, bounded), pending set, labels and counters."""

    def __init__(self, capacity: int, invalid_limit: int, classes: tuple[int, ...]):
        self.capacity, self.invalid_limit, self.classes = capacity, invalid_limit, classes
        self.waiting: OrderedDict[str, float] = OrderedDict()
        """Text to the time it came, oldest first."""
        self.out: dict[int, Ticket] = {}
        self.asked: set[str] = set()
        """Texts in the hands of workers."""
        self.ids: dict[str, int] = {}
        self.labels: dict[str, int] = {}
        self.arrived: deque[tuple[int, int]] = deque()
        """`(id, label)` not yet polled."""
        self.refused: Counter[str] = Counter()
        """How often the answers about a text could not be read."""
        self.counts = {"dropped": 0, "invalid": 0, "failures": 0, "disagreements": 0}
        self.latencies: deque[float] = deque(maxlen=1000)
        self.tickets = 0

    def submit(self, ids: Iterable[int], texts: Iterable[str], now: float) -> None:
        """Queue texts that are neither known, nor pending, nor given up."""
        waiting, labels, asked, known = self.waiting, self.labels, self.asked, self.ids
        for number, text in zip(ids, texts, strict=True):
            if not isinstance(text, str):
                raise InputError(f"message {number} must be text, got {type(text).__name__}")
            if not text or text in labels or text in waiting or text in asked:
                continue
            if self.refused.get(text, 0) >= self.invalid_limit:
                continue
            known[text] = int(number)
            waiting[text] = now
            if len(waiting) > self.capacity:
                waiting.popitem(last=False)
                self.counts["dropped"] += 1

    def take(self, size: int, now: float) -> Ticket | None:
        """The newest texts, in the order they came; None where nothing waits."""
        if not self.waiting:
            return None
        count = min(size, len(self.waiting))
        texts = tuple(self.waiting.popitem(last=True)[0] for _ in range(count))[::-1]
        self.asked.update(texts)
        self.tickets += 1
        ticket = Ticket(self.tickets, texts, now)
        self.out[ticket.number] = ticket
        return ticket

    def take_named(self, texts: Sequence[str], now: float) -> Ticket:
        """The given waiting texts."""
        for text in texts:
            self.waiting.pop(text, None)
        self.asked.update(texts)
        self.tickets += 1
        ticket = Ticket(self.tickets, tuple(texts), now)
        self.out[ticket.number] = ticket
        return ticket

    def settle(
        self, texts: Sequence[str], answers: Sequence[Annotation], final: bool
    ) -> tuple[list[str], dict[str, Annotation]]:
        """Book answers: `(texts to ask again, newly labelled)`.

        The first valid label of a text wins. With `final`, texts without a valid label count as
        invalid; else they are to be asked again and stay pending.
        """
        again, fresh = [], {}
        for text, answer in zip(texts, answers, strict=True):
            self.counts["disagreements"] += bool(answer.disagreement)
            if text in self.labels:
                continue
            if answer.label in self.classes and not isinstance(answer.label, bool):
                self.labels[text] = int(answer.label)
                self.arrived.append((self.ids[text], int(answer.label)))
                fresh[text] = answer
                self.waiting.pop(text, None)
            elif not final:
                again.append(text)
            elif text in self.asked:
                self.refused[text] += 1
                self.counts["invalid"] += 1
        return again, fresh

    def release(self, ticket: Ticket, now: float) -> None:
        """Take a batch back: its texts are no longer pending and may be submitted again."""
        if self.out.pop(ticket.number, None) is not None:
            self.asked.difference_update(ticket.texts)
            self.latencies.append(now - ticket.since)

    def drain(self) -> list[tuple[int, int]]:
        """Labels that came since the last call, in their order."""
        news = list(self.arrived)
        self.arrived.clear()
        return news

    def pending(self) -> list[str]:
        """Waiting and asked texts, oldest first."""
        asked = [t for k in self.out.values() for t in k.texts if t not in self.labels]
        return [*asked, *self.waiting]

    def health(self, now: float) -> dict[str, Any]:
        """Numbers for a log line."""
        p50, p95 = np.percentile(self.latencies, (50, 95)) if self.latencies else (None, None)
        oldest = min(
            [next(iter(self.waiting.values()), now), *(t.since for t in self.out.values())]
        )
        return {
            "queue": len(self.waiting),
            "pending": len(self.waiting) + len(self.asked),
            "labelled": len(self.labels),
            **self.counts,
            "latency_p50": None if p50 is None else float(p50),
            "latency_p95": None if p95 is None else float(p95),
            "age": max(now - oldest, 0.0),
        }

    def state_dict(self) -> dict[str, Any]:
        """Labels, pending texts and counters as JSON values; polled or not, all labels are kept."""
        return {
            "labels": [[self.ids[text], text, label] for text, label in self.labels.items()],
            "pending": [[self.ids[text], text] for text in self.pending()],
            "refused": dict(self.refused),
            "counts": dict(self.counts),
        }

    def load_state_dict(self, state: dict[str, Any], now: float) -> None:
        """Continue: all labels are handed out once more, and pending texts wait again."""
        try:
            labels = [(int(i), str(text), int(label)) for i, text, label in state["labels"]]
            pending = [(int(i), str(text)) for i, text in state["pending"]]
            refused = Counter({str(k): int(v) for k, v in state["refused"].items()})
            counts = {name: int(state["counts"][name]) for name in self.counts}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"this is no saved state of an annotation service: {error}") from error
        for number, text, label in labels:
            if label not in self.classes:
                raise InputError(f"saved label {label} of {text!r} is not one of {self.classes}")
            self.ids[text], self.labels[text] = number, label
            self.arrived.append((number, label))
        self.refused, self.counts = refused, counts
        self.submit((i for i, _ in pending), (text for _, text in pending), now)
