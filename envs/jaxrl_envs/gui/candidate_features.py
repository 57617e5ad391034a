"""What a pointing policy sees of a candidate: how well its text fits, whether it stands alone, how
it looks, where it is, how many others are like it, and what was asked for.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np

from jaxrl_envs.gui.phrases import ROLES
from jaxrl_envs.gui.screen_look import ScreenLook, saturation
from jaxrl_envs.gui.screen_text import Box
from jaxrl_envs.gui.text_match import letters
from jaxrl_envs.gui.text_rows import BELOW, BESIDE, TextRows

NAMES = (
    "misfit", "cost", "exact", "case", "spaces", "share of reading", "letters", "words",
    "share of row", "letters before", "letters after", "starts a word", "ends a word",
    "gap before", "gap after", "free before", "free after", "beside", "below", "confidence",
    "height", "relative height", "row width", "aligned rows",
    "ink saturation", "ink differs", "ink differs from row", "ink contrast", "ground differs",
    "density", "underlined", "frame sides", "framed", "frame slack x", "frame slack y",
    "frame above", "x", "y", "left edge", "cheapest", "equals", "rank", "first of equals",
    "whole equals", "coloured equals", "alone whole", "alone coloured",
    "question mark", *(f"asks {role}" for role in ROLES),
)  # fmt: skip
FEATURES = len(NAMES)
_SHARE_OF_ROW, _EXACT = NAMES.index("share of row"), NAMES.index("exact")


@dataclasses.dataclass(frozen=True)
class Place:
    """Letters `start` to `stop` of a row; `parts` (line, first, last + 1, box) of its lines; `cut`,
    how many of its two ends lie within a word."""

    row: int
    start: int
    stop: int
    cost: float
    parts: list[tuple[int, int, int, Box]]
    share: float = 1.0
    cut: int = 0

    @cached_property
    def box(self) -> Box:
        """Of all lines together."""
        boxes = np.array([part[3] for part in self.parts])
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @cached_property
    def longest(self) -> tuple[int, int, int, Box]:
        """The widest part."""
        return max(self.parts, key=lambda part: part[3][2] - part[3][0])

    @property
    def point(self) -> tuple[float, float]:
        """The middle of the widest part."""
        x1, y1, x2, y2 = self.longest[3]
        return (x1 + x2) / 2, (y1 + y2) / 2

    @property
    def rank(self) -> float:
        """Smaller is likelier: cost, then cut words, parts and missing text."""
        loss = 0.04 * (len(self.parts) - 1) + 0.05 * self.cut + 0.3 * (1 - self.share)
        return self.cost + loss


def features_of(
    places: list[Place], reading: str, role: str, rows: TextRows, look: ScreenLook
) -> np.ndarray:
    """float32[n, FEATURES] of the places of one reading; about -1 to 3 each."""
    if not places:
        return np.zeros((0, FEATURES), np.float32)
    page = _Page(rows, look)
    values = [
        [*_fit(place, reading, rows), *_apart(place, page), *_seen(place, page)] for place in places
    ]
    values = np.concatenate([np.array(values, np.float32), _others(values)], axis=1)
    asked = [float(reading.rstrip().endswith("?")), *(float(role == name) for name in ROLES)]
    values = np.concatenate([values, np.tile(np.float32(asked), (len(places), 1))], axis=1)
    return np.nan_to_num(np.clip(values, -4, 4), posinf=4, neginf=-4)


class _Page:
    """What all candidates of a screen are compared with; kept with the rows."""

    def __init__(self, rows: TextRows, look: ScreenLook):
        self.rows, self.look = rows, look
        lines = rows.text.lines
        self.boxes = np.array([line.box for line in lines], np.float64).reshape(-1, 4)
        heights = self.boxes[:, 3] - self.boxes[:, 1]
        weights = [len(line.text) for line in lines]
        order = np.argsort(heights)
        half = np.searchsorted(np.cumsum(np.array(weights)[order]), sum(weights) / 2)
        self.height = float(heights[order][min(half, len(order) - 1)])
        self.ink = self._usual_ink(weights)

    def _usual_ink(self, weights: list[int]) -> np.ndarray:
        """The ink of most of the letters: the median over long lines."""
        if not hasattr(self.look, "usual_ink"):
            longest = np.argsort(weights)[::-1][:24]
            inks = np.array([self.look.look(tuple(self.boxes[i])).ink for i in longest])
            self.look.usual_ink = np.median(inks, axis=0)
        return self.look.usual_ink


def _fit(place: Place, reading: str, rows: TextRows) -> list[float]:
    """How well the text fits."""
    row = rows.rows[place.row]
    plain = row.plain[place.start : place.stop]
    asked = letters(reading)[0]
    shown = "".join(rows.text.lines[line].text[a:b] for line, a, b, _ in place.parts)
    kept = [c for c in shown if not c.isspace()]
    wanted = [c for c in reading if not c.isspace()]
    same = sum(a == b for a, b in zip(kept, wanted, strict=False)) / max(len(wanted), 1)
    spaces = abs(shown.strip().count(" ") - reading.strip().count(" ")) / 4
    return [
        10 * place.rank, 4 * place.cost, float(plain == asked), same, spaces, place.share,
        np.log1p(len(asked)) / 3, np.log1p(len(reading.split())) / 2,
    ]  # fmt: skip


def _apart(place: Place, page: _Page) -> list[float]:
    """Whether it stands alone: letters and gaps beside it."""
    lines = page.rows.text.lines
    first, last = place.parts[0], place.parts[-1]
    head, tail = lines[first[0]], lines[last[0]]
    before, after = head.text[: first[1]].rstrip(), tail.text[last[2] :].lstrip()
    total = sum(len(lines[part[0]].text) for part in place.parts)
    own = sum(part[2] - part[1] for part in place.parts)
    height = max(head.height, 1.0)
    gap_before = first[3][0] - head.edges[len(before) - 1, 1] if before else 4 * height
    index = last[2] + len(tail.text[last[2] :]) - len(after)
    gap_after = tail.edges[index, 0] - last[3][2] if after else 4 * height
    starts, ends = page.rows.word_ends(place.parts)
    kind = page.rows.rows[place.row].kind
    return [
        own / max(total, 1), np.log1p(len(before)) / 3, np.log1p(len(after)) / 3,
        float(starts), float(ends), min(gap_before / height, 4) / 2, min(gap_after / height, 4) / 2,
        *_free(place, page), float(kind == BESIDE), float(kind == BELOW),
        min(lines[part[0]].confidence for part in place.parts),
    ]  # fmt: skip


def _free(place: Place, page: _Page) -> tuple[float, float]:
    """Free space left and right of the place's lines up to other lines, in heights, at most 4."""
    x1, y1, x2, y2 = place.longest[3]
    line = page.rows.text.lines[place.longest[0]]
    height = max(y2 - y1, 1.0)
    other = page.boxes
    level = np.minimum(y2, other[:, 3]) - np.maximum(y1, other[:, 1]) > 0.4 * height
    left = line.box[0] - other[level & (other[:, 2] <= line.box[0] + 2), 2]
    right = other[level & (other[:, 0] >= line.box[2] - 2), 0] - line.box[2]
    edge_left, edge_right = line.box[0], page.rows.text.width - line.box[2]
    free_left = min(left.min(initial=edge_left), edge_left)
    free_right = min(right.min(initial=edge_right), edge_right)
    return min(free_left / height, 4) / 2, min(free_right / height, 4) / 2


def _seen(place: Place, page: _Page) -> list[float]:
    """How it looks and where it is."""
    index, _, _, box = place.longest
    line = page.rows.text.lines[index]
    look = page.look.look(box)
    whole = page.look.look(line.box)
    height, width = page.rows.text.height, page.rows.text.width
    own = box[3] - box[1]
    left, top, right, bottom = look.frame
    sides = np.isfinite(look.frame)
    slack_x = ((box[0] - left) + (right - box[2])) / own if sides[0] and sides[2] else 12.0
    slack_y = ((box[1] - top) + (bottom - box[3])) / own if sides[1] and sides[3] else 4.0
    aligned = np.abs(page.boxes[:, 0] - line.box[0]) <= 3
    x, y = place.point
    return [
        own / 24, own / page.height - 1, (line.box[2] - line.box[0]) / width * 2,
        np.log1p(int(aligned.sum()) - 1) / 2,
        2 * saturation(look.ink), _far(look.ink, page.ink), _far(look.ink, whole.ink),
        _far(look.ink, look.ground), _far(look.ground, page.look.ground), 3 * look.density,
        float(look.underlined), sides.mean(), float(sides.all()), slack_x / 6, slack_y / 2,
        float(sides[1]), x / width, y / height, box[0] / width,
    ]  # fmt: skip


def _far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max()) / 128


def _others(values: list[list[float]]) -> np.ndarray:
    """How a candidate compares with the others: equally good ones, whole and coloured ones."""
    table = np.array(values)
    cost = table[:, NAMES.index("cost")]
    equal = np.abs(cost[:, None] - cost[None]) < 0.05
    whole = table[:, _SHARE_OF_ROW] > 0.9
    coloured = table[:, NAMES.index("ink differs")] > 0.25
    count = len(table)
    rank = np.arange(count)
    first = np.array([not equal[i, :i].any() for i in range(count)])
    wholes, tinted = (equal & whole).sum(axis=1), (equal & coloured).sum(axis=1)
    return np.stack(
        [
            cost - cost.min(), np.log1p(equal.sum(axis=1) - 1), np.log1p(rank) / 2, first,
            np.log1p(wholes), np.log1p(tinted), whole & (wholes == 1), coloured & (tinted == 1),
        ],
        axis=1,
    ).astype(np.float32)  # fmt: skip
