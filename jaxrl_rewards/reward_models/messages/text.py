"""The text side of rewards from annotated messages: labels in answers, groups, batches.

Source: Zheng et al., "Online Intrinsic Rewards for Decision Making Agents from Large Language
Model Feedback" (ONI), 2024, arXiv 2410.23022. Host functions; nothing here runs on the device.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.thinking import without_thinking

HELPFUL, UNHELPFUL = "FOO", "BAR"
"""The two labels that a judge is asked to choose from."""
FIRST, SECOND, TIE = 0, 1, 2
"""Labels of a pair: the first is better, the second is better, neither."""

# Bounded repeats: an answer is a stranger's text and must not take quadratic time.
_BEST = re.compile(r"(?i:best_{0,16}\s{0,16}description)\W{0,64}(?:\w{1,64}\s{0,16})?(1|2|[Nn]one)")
_LONGEST_ANSWER = 1 << 16


def find_classification_label(response: str) -> int | None:
    """The label that an answer gives: 1 helpful, 0 unhelpful, None where it gives neither.

    `FOO` anywhere wins over `BAR`, capitals only, inside longer words too. Thoughts are left out
    (`without_thinking`); of the rest only the first 65,536 characters are read. InputError where
    `response` is no text.
    """
    text = _answer(response)
    if HELPFUL in text:
        return 1
    return 0 if UNHELPFUL in text else None


def parse_classification_label(response: str) -> int:
    """1 for an answer with `FOO`, else 0, also where the answer cannot be read."""
    return find_classification_label(response) or 0


def find_ranking_label(response: str) -> int | None:
    """Which of two an answer prefers: 0 the first, 1 the second, 2 neither, None unreadable.

    Reads the first `best_description: 1 | 2 | None`, the words before the colon in any case.
    """
    match = _BEST.search(_answer(response))
    if match is None:
        return None
    return {"1": FIRST, "2": SECOND}.get(match.group(1), TIE)


def parse_ranking_label(response: str) -> int:
    """`find_ranking_label`, with a tie where the answer cannot be read."""
    label = find_ranking_label(response)
    return TIE if label is None else label


def labels_disagree(response: str) -> bool:
    """Whether both labels stand in an answer, so that `FOO` won by rule; worth a log line."""
    text = _answer(response)
    return HELPFUL in text and UNHELPFUL in text


def group_messages(messages: Sequence[str]) -> dict[str, list]:
    """Run-length groups of equal consecutive messages, without the empty ones.

    Returns `groups` (`"text"` or `"text (x3)"`) and `indices`, the first position of each group;
    `indices` is `[0]` where nothing is left. InputError for an entry that is no text.
    """
    groups: list[str] = []
    indices: list[int] = []
    start = 0
    texts = [_text(message, f"message {i}") for i, message in enumerate(messages)]
    for position in range(1, len(texts) + 1):
        if position < len(texts) and texts[position] == texts[start]:
            continue
        if texts[start]:
            length = position - start
            groups.append(texts[start] if length == 1 else f"{texts[start]} (x{length})")
            indices.append(start)
        start = position
    return {"groups": groups, "indices": indices or [0]}


def next_annotation_batch(queue: Sequence[Any], batch_size: int) -> dict[str, list]:
    """The newest `batch_size` entries in their order, and what remains of the queue."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size must be a positive integer, got {batch_size!r}")
    entries = list(queue)
    cut = max(len(entries) - batch_size, 0)
    return {"batch": entries[cut:], "remaining": entries[:cut]}


def _answer(response: Any) -> str:
    """What of a response is read."""
    return without_thinking(_text(response, "response"))[:_LONGEST_ANSWER]


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{what} must be text, got {type(value).__name__}")
    return value
