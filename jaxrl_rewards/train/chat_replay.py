"""A client's log as a chat: the same answers, without a network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.jsonl import read_jsonl
from jaxrl_rewards.train.chat_exchange import ChatAnswer, Message, make_request
from jaxrl_rewards.train.chat_transport import ChatError


class ReplayChat:
    """Answers from a client's log, without a network.

    Equal questions get the recorded answers in their order, failures included; a question that
    was never asked is a `ChatError` of kind "replay". InputError where the file cannot be read;
    an incomplete last line is left out.
    """

    def __init__(self, path: str | Path):
        self._answers: dict[str, deque] = defaultdict(deque)
        self._lock = threading.Lock()
        self.tokens, self.seconds = 0, 0.0
        """What the recorded questions cost."""
        for entry in read_jsonl(path):
            try:
                self._answers[_fingerprint(entry["request"])].append(entry)
                self.tokens += int(entry.get("tokens") or 0)
                self.seconds += float(entry.get("seconds") or 0.0)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise InputError(f"{path}: an entry has no request; is it a chat log?") from error

    def forget(self, *kinds: str) -> None:
        """Leave out recorded failures of these kinds."""
        for question, entries in self._answers.items():
            self._answers[question] = deque(
                entry
                for entry in entries
                if entry.get("answer") is not None
                or str(entry.get("error")).partition(": ")[0] not in kinds
            )

    def complete(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 1.0,
        max_tokens: int = 4096,
        choices: int = 1,
    ) -> ChatAnswer:
        """The next recorded answer to this very question."""
        request = make_request(messages, temperature, max_tokens, choices)
        with self._lock:
            queue = self._answers.get(_fingerprint(request))
            entry = queue.popleft() if queue else None
        if entry is None:
            raise ChatError("replay", "the recording holds no further answer to this question")
        if entry.get("answer") is None:
            kind, _, text = str(entry.get("error")).partition(": ")
            raise ChatError(kind, text)
        return _recorded(entry)


class ContinuedChat:
    """A client that goes on with its own log: what stands there is not asked again.

    Equal questions get the recorded answers in their order, then the client is asked. Recorded
    failures count as answers, for those who asked went on after them, except that a budget that was
    spent is looked at anew. What the log says was spent counts towards the client's budgets.
    """

    def __init__(self, client: Any, path: str | Path):
        self.client, self._asks = client, True
        self._recorded = ReplayChat(path) if Path(path).exists() else None
        if self._recorded is not None:
            self._recorded.forget("budget", "stopped")
            client.spent += self._recorded.tokens
            client.seconds += self._recorded.seconds

    @property
    def stop(self) -> threading.Event:
        """The client's: setting it ends all waiting."""
        return self.client.stop

    def complete(self, messages: Sequence[Message], **more: Any) -> ChatAnswer:
        """The next recorded answer to this very question, or else the client's."""
        if self._recorded is not None:
            try:
                return self._recorded.complete(messages, **more)
            except ChatError as error:
                if error.kind != "replay":
                    raise
        if not self._asks:
            raise ChatError("replay", "the recording holds no further answer to this question")
        return self.client.complete(messages, **more)

    @contextlib.contextmanager
    def rehearsing(self) -> Iterator[None]:
        """Within the context nothing is asked: the recording answers, or nobody does."""
        self._asks = False
        try:
            yield
        finally:
            self._asks = True


def _recorded(entry: dict[str, Any]) -> ChatAnswer:
    try:
        return ChatAnswer(
            texts=tuple(map(str, entry["answer"]["texts"])),
            tokens=int(entry["answer"]["tokens"]),
            attempts=int(entry["attempts"]),
            seconds=float(entry["seconds"]),
            missing=str(entry.get("error") or ""),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        text = f"an entry of the recording holds no answer ({error!r}); is it a chat log?"
        raise InputError(text) from None


def _fingerprint(request: dict) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


__all__ = ["ContinuedChat", "ReplayChat"]
