"""Finding the answer in a completion; every search is linear in the length of the text."""

from __future__ import annotations

import re
from collections.abc import Callable

from jaxrl_rewards.core.thinking import without_thinking

LONGEST_ANSWER = 2000
"""Characters of an answer that are read."""

NUMBER = re.compile(
    r"(?:(?<![0-9A-Za-z_)])-)?"
    r"(?:(?<![0-9])[0-9]++(?:,[0-9]{3}(?![0-9]))*+(?:\.[0-9]++)?|(?<![0-9.])\.[0-9]++)"
)
"""A number in running text: digits, thousands in threes, decimals, a minus that is no hyphen."""

_PHRASES = ("the answer is", "final answer is", "final answer:", "answer:", "answer is")
_BOXES = ("\\boxed", "\\fbox")
_SENTENCE = re.compile(r"\n|\.(?=\s|$)|,? (?:because|since|as|which|so|where) ")
_ABOVE = re.compile(r"(?:(?<![0-9A-Za-z_)])-)?(?<![0-9.,/])[0-9]{1,30} ?/ ?$")
_EDGES = " \t\r\n:*$`'\"“”"


def boxed(text: str) -> str | None:
    """What the last `\\boxed{...}` holds, braces within it balanced; None where it is cut off."""
    start = max(text.rfind(name) for name in _BOXES)
    if start < 0:
        return None
    at = start + len(_BOXES[0]) - (text.startswith(_BOXES[1], start))
    while at < len(text) and text[at] == " ":
        at += 1
    if at >= len(text) or text[at] != "{":
        word = text[at : at + LONGEST_ANSWER].split(maxsplit=1)
        return word[0].strip("$.,") if word else None
    depth = 0
    for end in range(at, min(len(text), at + LONGEST_ANSWER)):
        char = text[end]
        if char in "{}" and text[end - 1] != "\\":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return text[at + 1 : end].strip()
    return None


def after_hashes(text: str) -> str | None:
    """What follows the last `####` on its line."""
    _, found, rest = text.rpartition("####")
    return rest[:LONGEST_ANSWER].strip().split("\n")[0].strip() or None if found else None


def after_phrase(text: str) -> str | None:
    """What follows the last "the answer is", "answer:" or the like, to its end or reason."""
    low = text.lower() if text.isascii() else text.translate(_LOWER)
    start = max(
        (low.rfind(phrase) + len(phrase) for phrase in _PHRASES if phrase in low), default=-1
    )
    if start < 0:
        return None
    rest = text[start : start + LONGEST_ANSWER].lstrip(_EDGES)
    return _SENTENCE.split(rest, maxsplit=1)[0].strip(_EDGES) or None


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
"""Lower case for ASCII only, so that places in the text stay where they are."""


def last_number(text: str) -> str | None:
    """The last number of the text, or the fraction `a/b` that it ends."""
    found = last_number_match(text)
    if found is None:
        return None
    above = _ABOVE.search(text, max(found.start() - 40, 0), found.start())
    return (above.group() if above else "") + found.group()


def last_number_match(text: str) -> re.Match[str] | None:
    """The last match of NUMBER, looked for in the last run of digits, commas and points alone."""
    end = max(text.rfind(digit) for digit in "0123456789") + 1
    start = end
    while start and text[start - 1] in "0123456789,.":
        start -= 1
    found = None
    for found in NUMBER.finditer(text, max(start - 1, 0), end):  # noqa: B007
        pass
    return found


def tagged(text: str, tag: str = "answer") -> str | None:
    """What the last `<answer>...</answer>` holds."""
    end = text.rfind(f"</{tag}>")
    start = text.rfind(f"<{tag}>", 0, max(end, 0))
    return text[start + len(tag) + 2 : end].strip() if start >= 0 and end > start else None


METHODS: dict[str, Callable[[str], str | None]] = {
    "boxed": boxed,
    "tag": tagged,
    "hashes": after_hashes,
    "phrase": after_phrase,
    "number": last_number,
}
"""Ways to find an answer, in the order in which they are tried."""


def extract_answer(
    text: str, methods: tuple[str, ...] = tuple(METHODS), *, thoughts: bool = False
) -> str | None:
    """The answer that a completion gives, or None.

    The first of `methods` that finds something: "boxed" (the last `\\boxed{}`), "tag"
    (`<answer>`), "hashes" (`#### 5`), "phrase" ("the answer is 5"), "number" (the last one). An
    answer in a box or after a phrase within a tag is found there. Thoughts (`<think>...`) are cut
    away first, unless `thoughts` lets them count.
    """
    if not thoughts and ("think" in text or "<" in text or "◁" in text):
        text = without_thinking(text)
    for name in methods:
        found = METHODS[name](text)
        if found:
            inner = extract_inner(found) if name == "tag" else None
            return inner or found
    return None


def extract_inner(text: str) -> str | None:
    """The answer in a box or after hashes within another answer, or None."""
    return boxed(text) or after_hashes(text)
