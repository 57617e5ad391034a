"""A client's log as a chat: the same answers, without a network."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
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
        for entry in read_jsonl(path):
            try:
                self._answers[_fingerprint(entry["request"])].append(entry)
            except (KeyError, TypeError) as error:
                raise InputError(f"{path}: an entry has no request; is it a chat log?") from error

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


__all__ = ["ReplayChat"]
