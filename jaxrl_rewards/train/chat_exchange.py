"""Questions to a language model and its answers, whoever gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from jaxrl_rewards.core import InputError

Message = Mapping[str, str]
"""`{"role": "system" | "user" | "assistant", "content": text}`."""


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


def make_request(
    messages: Sequence[Message], temperature: float, max_tokens: int, choices: int
) -> dict[str, Any]:
    """A question as values for JSON; InputError for what cannot be asked."""
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


__all__ = ["Chat", "ChatAnswer", "Message", "make_request"]
