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
from jaxrl_rewards.train.chat_dialect import REFUSALS, Dialect
from jaxrl_rewards.train.chat_replies import Reply, estimate, read_reply
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
    """Sent as a bearer token where not empty. Taken out of whatever the server says, pieces of it
    too; a key with fewer than 8 characters counts as a placeholder and is not looked for."""
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
    """Tokens, asked and answered, that this client may spend in all. Answers that cannot be used
    count too; one that never came, after the question was sent, counts as if it had been as long
    as it might."""
    time_budget: float | None = None
    """Seconds that this client may spend in all with asking and waiting, failures included."""

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
        for name in ("token_budget", "time_budget"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"chat {name} must be positive, got {value}")
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
    """One per choice, at least one; fewer than asked for where `missing` says why."""
    tokens: int
    """Tokens spent on question and answers, failed attempts included; estimated where the server
    does not say."""
    attempts: int
    seconds: float
    missing: str = ""
    """`kind: reason` of the choices that did not come."""


@dataclasses.dataclass
class _Tally:
    """What became of one question so far."""

    start: float
    texts: list[str] = dataclasses.field(default_factory=list)
    cut: int = 0
    """Choices that ended before any text."""
    tokens: int = 0
    attempts: int = 0
    failures: int = 0
    """Attempts in a row that brought nothing."""
    problem: str = ""


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
    Other statuses and redirects to another host are errors at once. A server that gives fewer
    choices than asked is asked again for the rest, and one that refuses `n`, `max_tokens` or
    `temperature` is asked in its own way from then on (`Dialect`). Every question goes to `log`
    (a JSONL file, continued where it exists) where one is given; `ReplayChat` reads it back.
    Setting `stop` ends all waiting between attempts.
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
        self.seconds = 0.0
        """Seconds spent so far, in all threads together."""
        self.dialect = Dialect()
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
        """Ask for `choices` answers of at most `max_tokens` each; see the class.

        Where only some of them came, these are the answer and `missing` says why; ChatError where
        none did.
        """
        request = _request(messages, temperature, max_tokens, choices)
        tally, failure = _Tally(start=time.monotonic()), None
        try:
            self._collect(request, tally)
            if tally.cut:
                failure = ChatError("length", tally.problem)
        except ChatError as error:
            failure = error
        seconds = time.monotonic() - tally.start
        with self._lock:
            self.seconds += seconds
        missing = "" if failure is None else f"{failure.kind}: {failure}"
        self._write(request, tally, seconds, missing)
        if failure is not None and not tally.texts:
            raise failure
        return ChatAnswer(tuple(tally.texts), tally.tokens, tally.attempts, seconds, missing)

    def _collect(self, request: dict[str, Any], tally: _Tally) -> None:
        """Ask until all choices are there; ChatError where that is not to be had."""
        refusal: ChatError | None = None
        while (wanted := request["n"] - len(tally.texts) - tally.cut) > 0:
            if tally.attempts and self.stop.is_set():
                raise ChatError("stopped", "the client was closed")
            body = self.dialect.body(request, 1 if refusal else wanted)
            try:
                reply = self._once(body, request, tally)
            except ChatError as error:
                if self.dialect.learn(body, error):
                    continue
                if error.code in REFUSALS and refusal is not None:
                    raise refusal from None  # it was not the number of choices
                if error.code in REFUSALS and body.get("n", 1) > 1:
                    refusal = error
                    continue
                self._pause(error, tally)
                continue
            if refusal is not None:
                self.dialect.most, refusal = 1, None
            self.dialect.gave(body, reply.given)
            tally.problem = reply.problem or tally.problem
            tally.texts += reply.texts[:wanted]
            tally.cut = min(tally.cut + reply.cut, request["n"] - len(tally.texts))
            if reply.texts or reply.cut:
                tally.failures = 0
            else:
                self._pause(ChatError("malformed", reply.problem, True), tally)

    def _once(self, body: dict[str, Any], request: dict[str, Any], tally: _Tally) -> Reply:
        """One attempt, with what it cost booked, also where it failed."""
        settings, longest = self.settings, request["max_tokens"]
        question = estimate(*(message["content"] for message in request["messages"]))
        dearest = question + longest * body.get("n", 1)
        left = self._check_budgets(dearest, tally)
        tally.attempts += 1
        try:
            raw = post_json(
                f"{settings.url}/chat/completions",
                {"model": settings.model, **body},
                key=settings.key,
                timeout=min(settings.timeout, left),
                limit=settings.body_limit,
            )
        except ChatError as error:
            self._spend(dearest if error.worked else 0, tally)
            raise
        reply = read_reply(raw, question, longest)
        self._spend(reply.tokens, tally)
        return reply

    def _spend(self, tokens: int, tally: _Tally) -> None:
        tally.tokens += tokens
        with self._lock:
            self.spent += tokens

    def _check_budgets(self, wanted: int, tally: _Tally) -> float:
        """Seconds that are left; ChatError where tokens or time do not suffice."""
        tokens = self.settings.token_budget
        with self._lock:
            spent = self.spent
        if tokens is not None and spent + wanted > tokens:
            raise ChatError(
                "budget", f"{spent} of {tokens} tokens are spent and {wanted} more might be needed"
            )
        left = self._seconds_left(tally)
        if left <= 0:
            text = f"the {self.settings.time_budget:g} seconds for asking are spent"
            raise ChatError("budget", text)
        return left

    def _seconds_left(self, tally: _Tally) -> float:
        budget = self.settings.time_budget
        if budget is None:
            return float("inf")
        with self._lock:
            return budget - self.seconds - (time.monotonic() - tally.start)

    def _pause(self, error: ChatError, tally: _Tally) -> None:
        """Wait before the next attempt; raises `error` where none may follow."""
        tally.failures += 1
        if not error.temporary or tally.failures > self.settings.retries:
            raise error
        wait = min(self._wait(tally.failures, error.retry_after), self._seconds_left(tally))
        if self.stop.wait(max(wait, 0.0)):
            raise ChatError("stopped", "the client was closed while waiting") from None

    def _wait(self, attempt: int, asked: float | None) -> float:
        """Seconds before the next attempt."""
        limit = self.settings.longest_wait
        with self._lock:
            jitter = self._random.uniform(0.5, 1.0)
        own = min(self.settings.backoff * 2.0 ** (attempt - 1) * jitter, limit)
        return own if asked is None else min(max(asked, own), limit)

    def _write(self, request: dict, tally: _Tally, seconds: float, missing: str) -> None:
        if self._log is None:
            return
        answer = {"texts": tally.texts, "tokens": tally.tokens} if tally.texts else None
        entry = {
            "request": request,
            "model": self.settings.model,
            "answer": answer,
            "error": missing or None,
            "attempts": tally.attempts,
            "seconds": round(seconds, 4),
            "tokens": tally.tokens,
        }
        line = json.dumps(entry)
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
        if entry.get("answer") is None:
            kind, _, text = str(entry.get("error")).partition(": ")
            raise ChatError(kind, text)
        return _recorded(entry)


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
    if not 0 <= temperature < float("inf"):
        raise InputError(f"temperature must be finite and not negative, got {temperature}")
    return {
        "messages": [dict(message) for message in messages],
        "temperature": float(temperature),
        "max_tokens": int(max_tokens),
        "n": int(choices),
    }


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


__all__ = [
    "Chat",
    "ChatAnswer",
    "ChatClient",
    "ChatError",
    "ChatSettings",
    "ReplayChat",
]
