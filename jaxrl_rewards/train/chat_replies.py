"""What stands in a chat server's reply: texts, what was cut, and what it cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeGuard

_MOST_TOKENS = 10**12
"""A count beyond this is no count."""


@dataclasses.dataclass(frozen=True)
class Reply:
    """One reply, read."""

    texts: tuple[str, ...]
    """The choices that hold text."""
    given: int
    """All choices, those without text included."""
    cut: int
    """Choices that ended before any text; asking again would cost the same and bring no more."""
    tokens: int
    """Tokens spent on question and choices; estimated where the server does not say."""
    problem: str
    """Why a choice has no text; empty where all have one."""


def read_reply(reply: Any, question: int, longest: int) -> Reply:
    """Read a reply to a question of about `question` tokens with at most `longest` per choice.

    Never raises: a reply without any choice has no texts and says in `problem` what is wrong.
    """
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    choices = choices if isinstance(choices, list) else []
    texts = [_text(choice) for choice in choices]
    ends = [_end(choice) for choice, text in zip(choices, texts, strict=True) if text is None]
    cut = sum(bool(end) for end in ends)
    counted = _counted(reply)
    if counted is None:
        counted = question + estimate(*map(_written, choices)) + longest * cut
    return Reply(
        texts=tuple(text for text in texts if text is not None),
        given=len(choices),
        cut=cut,
        tokens=counted,
        problem=_problem(reply, len(choices), ends),
    )


def estimate(*texts: str) -> int:
    """About one token per four characters."""
    return -(-sum(map(len, texts)) // 4)


def _message(choice: Any) -> Mapping[str, Any]:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    return message if isinstance(message, Mapping) else {}


def _text(choice: Any) -> str | None:
    """A choice's text, given whole or in parts; None without any."""
    content = _message(choice).get("content")
    if isinstance(content, list):
        content = "".join(filter(None, map(_part, content)))
    return content if isinstance(content, str) and content.strip() else None


def _part(part: Any) -> str:
    """A part's text; parts with thoughts, pictures or calls have none."""
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else None
    text = part.get("text") if kind in ("text", "output_text") else None
    return text if isinstance(text, str) else ""


def _thoughts(choice: Any) -> str:
    fields = (_message(choice).get(name) for name in ("reasoning_content", "reasoning", "refusal"))
    return "".join(field for field in fields if isinstance(field, str))


def _written(choice: Any) -> str:
    return (_text(choice) or "") + _thoughts(choice)


def _end(choice: Any) -> str:
    """Why a choice without text will not get one; empty where asking again may help."""
    reason = choice.get("finish_reason") if isinstance(choice, Mapping) else None
    if reason in ("length", "content_filter"):
        return reason
    if isinstance(_message(choice).get("refusal"), str):
        return "refusal"
    return "thoughts only" if _thoughts(choice).strip() else ""


def _problem(reply: Any, given: int, ends: list[str]) -> str:
    if not given:
        error = reply.get("error") if isinstance(reply, Mapping) else None
        said = error.get("message") if isinstance(error, Mapping) else error
        if isinstance(said, str):
            return f"the server answered with an error: {said[:200]}"
        return "the answer has no choices with a text"
    if not ends:
        return ""
    reasons = ", ".join(sorted({end for end in ends if end}))
    if not reasons:
        return f"{len(ends)} of {given} choices came without a text"
    advice = "" if reasons in ("content_filter", "refusal") else "; raise max_tokens"
    return f"{len(ends)} of {given} choices ended before any text ({reasons}){advice}"


def _counted(reply: Any) -> int | None:
    """The tokens that the server counted; None where it does not say."""
    usage = reply.get("usage") if isinstance(reply, Mapping) else None
    if not isinstance(usage, Mapping):
        return None
    total = usage.get("total_tokens")
    if _is_count(total):
        return total
    question, answer = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return question + answer if _is_count(question) and _is_count(answer) else None


def _is_count(value: Any) -> TypeGuard[int]:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return is_int and 0 <= value <= _MOST_TOKENS


__all__ = ["Reply", "estimate", "read_reply"]
