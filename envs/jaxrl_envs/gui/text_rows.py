"""Rows of letters of a screen's text in which an instruction is looked for.

A row is a line, or lines that may belong together: side by side with a gap (a reader splits there)
or one below the other (an element's text that is broken). Each letter knows its line and place.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl_envs.gui.screen_text import Box, ScreenText, TextLine
from jaxrl_envs.gui.text_match import codes_of, letters, pack

SINGLE, BESIDE, BELOW = 0, 1, 2
TAIL = 90
"""Letters of a line that are kept where it is joined with others."""
LONGEST = 400
REACH = 5.0
"""Heights between lines on one row that may be one element's text, a badge at its end, say."""


@dataclasses.dataclass(frozen=True)
class Row:
    """Letters and, for each, its line and its character there; `kind` of joining."""

    plain: str
    lines: tuple[int, ...]
    line_of: np.ndarray
    place: np.ndarray
    kind: int = SINGLE


@dataclasses.dataclass(frozen=True)
class TextRows:
    """All rows of a screen, and their letters as codes int64[rows, longest]."""

    text: ScreenText
    rows: tuple[Row, ...]
    codes: np.ndarray

    def boxes(self, row: int, start: int, stop: int) -> list[tuple[int, int, int, Box]]:
        """(line, first character, last + 1, box) of each line's share of a part of a row."""
        item = self.rows[row]
        found = []
        for line in item.lines:
            own = np.flatnonzero(item.line_of[start:stop] == line) + start
            if own.size:
                first, last = int(item.place[own[0]]), int(item.place[own[-1]]) + 1
                found.append((line, first, last, self.text.lines[line].part(first, last).box))
        return found

    def word_ends(self, parts: list[tuple[int, int, int, Box]]) -> tuple[bool, bool]:
        """Whether a word starts where the first of these parts does, and ends where the last does.

        Since readers drop spaces, a gap of 0.22 heights counts as one.
        """
        line, first, _, _ = parts[0]
        head = self.text.lines[line]
        starts = first == 0 or _apart(head, first - 1, first)
        line, _, last, _ = parts[-1]
        tail = self.text.lines[line]
        return starts, last == len(tail.text) or _apart(tail, last - 1, last)

    def cut_words(self, parts: list[tuple[int, int, int, Box]]) -> int:
        """0, 1 or 2: how many of the two ends lie within a word."""
        return 2 - sum(self.word_ends(parts))


def rows_of(text: ScreenText) -> TextRows:
    """Single lines, then lines side by side, then two and three lines below one another."""
    singles = [_single(index, line) for index, line in enumerate(text.lines)]
    rows = list(singles)
    boxes = np.array([line.box for line in text.lines], np.float64).reshape(-1, 4)
    for a, b in _beside(boxes):
        rows.append(_joined([singles[a], singles[b]], BESIDE))
    following: dict[int, list[int]] = {}
    for a, b in _below(boxes):
        following.setdefault(a, []).append(b)
        rows.append(_joined([singles[a], singles[b]], BELOW))
    for a, nexts in following.items():
        for b in nexts:
            if len(singles[b].plain) <= TAIL:
                rows += [
                    _joined([singles[a], singles[b], singles[c]], BELOW)
                    for c in following.get(b, ())
                ]
    kept = tuple(row for row in rows if row.plain)
    return TextRows(text, kept, pack([codes_of(row.plain[:LONGEST]) for row in kept]))


def _apart(line: TextLine, left: int, right: int) -> bool:
    """Whether two neighbouring characters of a line belong to different words."""
    if not (line.text[left].isalnum() and line.text[right].isalnum()):
        return True
    return float(line.edges[right, 0] - line.edges[left, 1]) > 0.22 * line.height


def _single(index: int, line: TextLine) -> Row:
    plain, places = letters(line.text)
    place = np.array(places, np.int64)
    return Row(plain, (index,), np.full(len(plain), index), place)


def _joined(parts: list[Row], kind: int) -> Row:
    first, *middle, last = parts
    cut = [slice(-TAIL, None), *([slice(None)] * len(middle)), slice(0, TAIL)]
    pairs = list(zip(parts, cut, strict=True))
    return Row(
        "".join(part.plain[c] for part, c in pairs),
        tuple(part.lines[0] for part in (first, *middle, last)),
        np.concatenate([part.line_of[c] for part, c in pairs]),
        np.concatenate([part.place[c] for part, c in pairs]),
        kind,
    )


def _beside(boxes: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (left, right) on one row, no farther apart than `REACH` heights, nothing between."""
    found = []
    for a, box in enumerate(boxes):
        height = box[3] - box[1]
        overlap = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
        lower = np.minimum(height, boxes[:, 3] - boxes[:, 1])
        gap = boxes[:, 0] - box[2]
        near = (overlap > 0.6 * lower) & (gap > -0.3 * height) & (gap < REACH * height)
        near[a] = False
        others = np.flatnonzero(near)
        found += [(a, int(others[np.argmin(gap[others])]))] if others.size else []
    return found


def _below(boxes: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (upper, lower) of lines of like height that may be one broken text."""
    found = []
    for a, box in enumerate(boxes):
        height = box[3] - box[1]
        other = boxes[:, 3] - boxes[:, 1]
        gap = boxes[:, 1] - box[3]
        like = (other > 0.6 * height) & (other < 1.6 * height)
        overlap = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
        near = like & (gap > -0.5 * height) & (gap < 1.1 * height) & (overlap > 0)
        near &= boxes[:, 1] > box[1] + 0.4 * height
        found += [(a, int(b)) for b in np.flatnonzero(near)]
    return found
