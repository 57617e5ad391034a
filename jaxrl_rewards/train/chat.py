"""A client for chat servers with the OpenAI interface, on the standard library alone.

Works with vLLM, llama.cpp, FastChat and hosted servers. Address, model and key come from the
environment. What a server says is data: it is size-limited, logged as JSON and never executed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import threading
import time
import urllib.parse
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.jsonl import mend_jsonl, read_jsonl
from jaxrl_rewards.train.chat_transport import ChatError, post_json

Message = Mapping[str, str]
"""`{"role": "system" | "user" | "assistant", "content": text}`."""


@dataclasses.dataclass(frozen=True)
class ChatSettings:
    """Where to ask, and how patiently."""

    url: str
    """Base address up to and with the version, e.g. `http://localhost:8000/v1`."""
    model: str
    key: str = dataclasses.field(default="", repr=False)
    """Sent as a bearer token where not empty; never logged."""
    timeout: float = 30.0
    """Seconds that one request may take from start to end."""
    retries: int = 4
    """Further attempts after a failed one that may be temporary."""
    backoff: float = 0.5
    """Seconds before the first retry; doubles each time, with jitter."""
    longest_wait: float = 60.0
    """Limit of a wait, also of one that the server asks for."""
    body_limit: int = 1 << 20
    """Bytes of a request's or an answer's body."""
    token_budget: int | None = None
    """Tokens, asked and answered, that this client may spend in all."""

    def __post_init__(self):
        if not self.url.startswith(("http://", "https://")):
            raise InputError(
                f"chat server address {self.url!r} must start with http:// or https://"
            )
        if not self.model:
            raise InputError("the chat server needs the name of a model, got an empty one")
        try:
            urllib.parse.urlsplit(self.url).port  # noqa: B018
        except ValueError as error:
            raise InputError(f"chat server address {self.url!r} is no URL: {error}") from None
        if not self.key.isascii() or any(mark in self.key for mark in "\r\n"):
            raise InputError("the chat key must be a single line of ASCII characters")
        for name in ("timeout", "longest_wait", "body_limit"):
            if not getattr(self, name) > 0:
                raise InputError(f"chat {name} must be positive, got {getattr(self, name)}")
        if self.retries < 0 or self.backoff < 0:
            raise InputError("chat retries and backoff must not be negative")

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, **changes: Any
    ) -> ChatSettings:
        """Read JAXRL_CHAT_URL, JAXRL_CHAT_MODEL and JAXRL_CHAT_KEY (the last may be missing)."""
        source = os.environ if environment is None else environment
        missing = [n for n in ("JAXRL_CHAT_URL", "JAXRL_CHAT_MODEL") if not source.get(n)]
        if missing:
            raise InputError(f"set {' and '.join(missing)} in the environment to use a chat server")
        return cls(
            url=source["JAXRL_CHAT_URL"].rstrip("/"),
            model=source["JAXRL_CHAT_MODEL"],
            key=source.get("JAXRL_CHAT_KEY", ""),
            **changes,
        )


@dataclasses.dataclass(frozen=True)
class ChatAnswer:
    """What a server said."""

    texts: tuple[str, ...]
    """One per choice."""
    tokens: int
    """Tokens spent on question and answers; estimated where the server does not say."""
    attempts: int
    seconds: float


class Chat(Protocol):
    """Whatever answers: a client, or a recording of one."""

    def complete(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 1.0,
        max_tokens: int = 4096,
        choices: int = 1,
    ) -> ChatAnswer:
        """Ask; raises `ChatError` where there is no answer."""
        ...


class ChatClient:
    """Asks a server; may be shared between threads.

    Time-outs, lost connections, unreadable bodies and the statuses 408, 429 and 5xx are tried
    again with exponential back-off and jitter; `Retry-After` is honoured up to `longest_wait`.
    Other statuses and redirects to another host are errors at once. Every exchange goes to `log`
    (a JSONL file, continued where it exists) where one is given, without the key; `ReplayChat`
    reads it back. Setting `stop` ends all waiting between attempts.
    """

    def __init__(
        self,
        settings: ChatSettings,
        *,
        log: str | Path | None = None,
        seed: int = 0,
        stop: threading.Event | None = None,
    ):
        self.settings = settings
        self.stop = stop or threading.Event()
        self.spent = 0
        """Tokens spent so far."""
        self._log = None if log is None else Path(log)
        if self._log is not None:
            mend_jsonl(self._log)
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def complete(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 1.0,
        max_tokens: int = 4096,
        choices: int = 1,
    ) -> ChatAnswer:
        """Ask for `choices` answers of at most `max_tokens` each; see the class."""
        request = _request(messages, temperature, max_tokens, choices)
        start = time.monotonic()
        attempt = 0
        try:
            self._spend_check(request)
            while True:
                attempt += 1
                try:
                    texts, tokens = self._once(request)
                    break
                except ChatError as error:
                    if not error.temporary or attempt > self.settings.retries:
                        raise
                    if self.stop.wait(self._wait(attempt, error.retry_after)):
                        raise ChatError("stopped", "the client was closed while waiting") from error
        except ChatError as error:
            seconds = time.monotonic() - start
            self._write(request, None, attempt, seconds, f"{error.kind}: {error}")
            raise
        seconds = time.monotonic() - start
        self._write(request, {"texts": texts, "tokens": tokens}, attempt, seconds, None)
        return ChatAnswer(texts=tuple(texts), tokens=tokens, attempts=attempt, seconds=seconds)

    def _once(self, request: dict[str, Any]) -> tuple[list[str], int]:
        settings = self.settings
        body = {"model": settings.model, **request}
        reply = post_json(
            f"{settings.url}/chat/completions",
            body,
            key=settings.key,
            timeout=settings.timeout,
            limit=settings.body_limit,
        )
        texts = _texts(reply)
        tokens = _tokens(reply, request, texts)
        with self._lock:
            self.spent += tokens
        return texts, tokens

    def _spend_check(self, request: dict[str, Any]) -> None:
        budget = self.settings.token_budget
        if budget is None:
            return
        with self._lock:
            spent = self.spent
        wanted = _estimate(request, []) + request["max_tokens"] * request["n"]
        if spent + wanted > budget:
            raise ChatError(
                "budget", f"{spent} of {budget} tokens are spent and {wanted} more might be needed"
            )

    def _wait(self, attempt: int, asked: float | None) -> float:
        """Seconds before the next attempt."""
        limit = self.settings.longest_wait
        with self._lock:
            jitter = self._random.uniform(0.5, 1.0)
        own = min(self.settings.backoff * 2.0 ** (attempt - 1) * jitter, limit)
        return own if asked is None else min(max(asked, own), limit)

    def _write(self, request: dict, answer: dict | None, attempts: int, seconds: float, error):
        if self._log is None:
            return
        entry = {
            "request": request,
            "model": self.settings.model,
            "answer": answer,
            "error": error,
            "attempts": attempts,
            "seconds": round(seconds, 4),
        }
        line = json.dumps(entry)
        if self.settings.key:
            line = line.replace(json.dumps(self.settings.key)[1:-1], "[key]")
        with self._lock:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


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
        request = _request(messages, temperature, max_tokens, choices)
        with self._lock:
            queue = self._answers.get(_fingerprint(request))
            entry = queue.popleft() if queue else None
        if entry is None:
            raise ChatError("replay", "the recording holds no further answer to this question")
        if entry["answer"] is None:
            kind, _, text = str(entry["error"]).partition(": ")
            raise ChatError(kind, text)
        return ChatAnswer(
            texts=tuple(entry["answer"]["texts"]),
            tokens=int(entry["answer"]["tokens"]),
            attempts=int(entry["attempts"]),
            seconds=float(entry["seconds"]),
        )


def _request(
    messages: Sequence[Message], temperature: float, max_tokens: int, choices: int
) -> dict:
    if not messages:
        raise InputError("a chat request needs at least one message")
    for message in messages:
        if set(message) != {"role", "content"} or not isinstance(message["content"], str):
            raise InputError("a chat message has a 'role' and a text 'content', nothing else")
    if max_tokens < 1 or choices < 1:
        raise InputError(f"max_tokens and choices must be positive, got {max_tokens}, {choices}")
    return {
        "messages": [dict(message) for message in messages],
        "temperature": float(temperature),
        "max_tokens": int(max_tokens),
        "n": int(choices),
    }


def _fingerprint(request: dict) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _texts(reply: Any) -> list[str]:
    try:
        texts = [choice["message"]["content"] for choice in reply["choices"]]
    except (KeyError, TypeError, IndexError) as error:
        raise ChatError("malformed", "the answer has no choices with a text", True) from error
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ChatError("malformed", "the answer has a choice without a text", True)
    return texts


def _tokens(reply: Any, request: dict, texts: list[str]) -> int:
    usage = reply.get("usage") if isinstance(reply, dict) else None
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    if isinstance(total, int) and not isinstance(total, bool) and total >= 0:
        return total
    return _estimate(request, texts)


def _estimate(request: dict, texts: list[str]) -> int:
    """About one token per four characters."""
    characters = sum(len(m["content"]) for m in request["messages"]) + sum(map(len, texts))
    return -(-characters // 4)


__all__ = [
    "Chat",
    "ChatAnswer",
    "ChatClient",
    "ChatError",
    "ChatSettings",
    "ReplayChat",
]
