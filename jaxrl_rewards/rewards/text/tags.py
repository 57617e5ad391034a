"""A reward for the form of a completion: tags that each stand once, in order, with no text outside.

Its twin inside compiled programs is `rewards.text.jitted.tags_reward`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxrl_rewards.rewards.text.scores import Scores, TextReward

BLANKS = " \t\n\r\f\v"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TagsReward(TextReward):
    """1 where the completion is `<think>...</think>` then `<answer>...</answer>`, else 0.

    Every tag stands exactly once and in order, nothing but blanks stands outside. With `partial` an
    incomplete form earns half the share of marks (`<think>`, `</think>`, ...) that stand exactly
    once. `opened` says that the prompt's template has written the first mark already. Terms:
    "marks", that share.
    """

    tags: tuple[str, ...] = ("think", "answer")
    partial: bool = False
    opened: bool = False
    name: str = "format"

    @property
    def terms(self) -> tuple[str, ...]:
        """See `TextReward`."""
        return ("marks",)

    @property
    def marks(self) -> tuple[str, ...]:
        """The marks in their order."""
        return tuple(mark for tag in self.tags for mark in (f"<{tag}>", f"</{tag}>"))

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """See `TextReward`."""
        if self.opened:
            text = self.marks[0] + text
        once = [text.count(mark) == 1 for mark in self.marks]
        share = sum(once) / len(once)
        whole = all(once) and _in_order(text, self.marks)
        if not whole and self.partial:
            return Scores(0.5 * share, {"marks": share})
        return Scores(float(whole), {"marks": share})


def tags_reward(text: str, tags: tuple[str, ...] = ("think", "answer")) -> float:
    """1.0 where the tags stand once each, in order, with nothing but blanks outside, else 0.0."""
    return TagsReward(tags=tags)(text).total


def _in_order(text: str, marks: tuple[str, ...]) -> bool:
    """Whether marks that stand once each follow each other, with blanks between the tags."""
    at = 0
    for index, mark in enumerate(marks):
        start = text.find(mark, at)
        if start < 0:
            return False
        if index % 2 == 0 and text[at:start].strip(BLANKS):
            return False
        at = start + len(mark)
    return not text[at:].strip(BLANKS)
