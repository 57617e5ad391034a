"""Where a chat client asks, how patiently, and what it may spend."""

from __future__ import annotations

import dataclasses
import os
import urllib.parse
from collections.abc import Mapping
from typing import Any

from jaxrl_rewards.core import InputError


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


__all__ = ["ChatSettings"]
