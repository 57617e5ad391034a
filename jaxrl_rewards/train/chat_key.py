"""The key of a chat server is taken out of whatever comes back from there."""

from __future__ import annotations

import json
from typing import Any

MARK = "[key]"
SHORTEST_SECRET = 8
"""Keys with fewer characters (`x`, `none`, `EMPTY`) are placeholders: they are not looked for, as
they are words of any text."""
SHORTEST_CUT = 16
"""Keys with fewer characters are looked for as a whole only."""
_ANCHOR, _BEGINNING, _CUT_OFF, _PART = 6, 8, 6, 12
_HIDERS = "*.\u2026[<"


def redact(text: str, key: str) -> str:
    """`text` with `[key]` in place of the key and of larger pieces of it.

    A piece is 12 characters in a row, 8 from the key's beginning, or 6 from there where the text
    ends or goes on with stars or dots: what a server shows when it shortens a key.
    """
    key = key.strip()
    if len(key) < SHORTEST_SECRET:
        return text
    for form in (key, json.dumps(key)[1:-1]):
        text = text.replace(form, MARK)
    return _without_pieces(text, key) if len(key) >= SHORTEST_CUT else text


def redact_value(value: Any, key: str) -> Any:
    """A decoded JSON value with `redact` applied to every text in it, names included."""
    if isinstance(value, str):
        return redact(value, key)
    if isinstance(value, list):
        return [redact_value(one, key) for one in value]
    if isinstance(value, dict):
        return {redact(name, key): redact_value(one, key) for name, one in value.items()}
    return value


def _without_pieces(text: str, key: str) -> str:
    """Every piece holds one of the anchors, the key's characters 0 to 5, 6 to 11 and so on."""
    spans: list[tuple[int, int]] = []
    for offset in range(0, len(key) - _ANCHOR + 1, _ANCHOR):
        anchor = key[offset : offset + _ANCHOR]
        place = text.find(anchor)
        while place >= 0:
            start, end, first = _extend(text, place, key, offset)
            hidden = end == len(text) or text[end] in _HIDERS
            least = _PART if first else _CUT_OFF if hidden else _BEGINNING
            if end - start >= least:
                spans.append((start, end))
            place = text.find(anchor, max(end, place + 1))
    parts, done = [], 0
    for start, end in sorted(spans):
        if start >= done:
            parts += [text[done:start], MARK]
        done = max(done, end)
    return "".join([*parts, text[done:]])


def _extend(text: str, place: int, key: str, offset: int) -> tuple[int, int, int]:
    """Where the piece around an anchor starts and ends in the text, and starts in the key."""
    start, first, end, last = place, offset, place + _ANCHOR, offset + _ANCHOR
    while start and first and text[start - 1] == key[first - 1]:
        start, first = start - 1, first - 1
    while end < len(text) and last < len(key) and text[end] == key[last]:
        end, last = end + 1, last + 1
    return start, end, first


__all__ = ["MARK", "SHORTEST_SECRET", "redact", "redact_value"]
