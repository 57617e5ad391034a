"""A client for chat servers with the OpenAI interface, on the standard library alone.

Works with vLLM, llama.cpp, FastChat and hosted servers. Address, model and key come from the
environment. What a server says is data: it is size-limited, logged as JSON and never executed.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import WriteError
from jaxrl_rewards.core.jsonl import JsonlWriter
from jaxrl_rewards.train.chat_dialect import Dialect
from jaxrl_rewards.train.chat_exchange import Chat, ChatAnswer, Message, make_request
from jaxrl_rewards.train.chat_replay import ContinuedChat, ReplayChat
from jaxrl_rewards.train.chat_replies import Reply, estimate, read_reply
from jaxrl_rewards.train.chat_settings import ChatSettings
from jaxrl_rewards.train.chat_transport import ChatError, post_json


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
        self._log = None if log is None else JsonlWriter(log)
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
        request = make_request(messages, temperature, max_tokens, choices)
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
                if self.dialect.refuses(error) and body.get("n", 1) > 1:
                    refusal = error  # of the number of choices, if one alone is given
                    continue
                if self.dialect.refuses(error) and refusal is not None and not error.temporary:
                    raise refusal from None
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
                kind = "empty" if reply.given else "malformed"
                self._pause(ChatError(kind, reply.problem, True), tally)

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
        try:
            self._log.append([entry], sync=True)
        except WriteError as error:  # what was paid for is handed over; the log keeps the line
            warnings.warn(f"{error}; the answers wait in memory", RuntimeWarning, stacklevel=3)


__all__ = [
    "Chat",
    "ChatAnswer",
    "ChatClient",
    "ChatError",
    "ChatSettings",
    "ContinuedChat",
    "Message",
    "ReplayChat",
]
