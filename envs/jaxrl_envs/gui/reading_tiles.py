"""Tiles of a large screen, and the lines read on them put together again.

Tiles overlap. Each has a core, the part that is nearer to its middle than to its neighbours';
cores cover the screen once. A character counts for the tile in whose core its middle lies, so
nothing is read twice, and what a tile's edge cuts is read whole by its neighbour.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np

from jaxrl_envs.gui.screen_text import TextLine

TILE = (960, 1440)
OVERLAP = 128
"""Pixels that neighbours share; text up to half as high is always whole on one of them."""


@dataclasses.dataclass(frozen=True)
class Tile:
    """A window of the screen, and its core (x1, y1, x2, y2), in pixels of the screen."""

    left: int
    top: int
    right: int
    bottom: int
    core: tuple[float, float, float, float]


def tiles_of(height: int, width: int) -> list[Tile]:
    """Tiles of at most `TILE` pixels that cover a screen."""
    rows, columns = _spans(height, TILE[0]), _spans(width, TILE[1])
    return [
        Tile(left, top, right, bottom, (core_x[0], core_y[0], core_x[1], core_y[1]))
        for (top, bottom, core_y), (left, right, core_x) in itertools.product(rows, columns)
    ]


def _spans(length: int, most: int) -> list[tuple[int, int, tuple[float, float]]]:
    """(start, stop, core) along one axis."""
    count = 1 if length <= most else math.ceil((length - OVERLAP) / (most - OVERLAP))
    size = length if count == 1 else math.ceil((length + (count - 1) * OVERLAP) / count)
    starts = [round(i * (length - size) / max(count - 1, 1)) for i in range(count)]
    cuts = [-math.inf]
    cuts += [(a + size + b) / 2 for a, b in itertools.pairwise(starts)]
    cuts.append(math.inf)
    return [(s, s + size, (cuts[i], cuts[i + 1])) for i, s in enumerate(starts)]


def keep_core(line: TextLine, tile: Tile) -> list[TextLine]:
    """The part of a line whose characters lie in the tile's core: one piece, or none."""
    middle = (line.box[1] + line.box[3]) / 2
    if not tile.core[1] <= middle < tile.core[3]:
        return []
    centres = line.edges.mean(axis=1)
    inside = np.flatnonzero((centres >= tile.core[0]) & (centres < tile.core[2]))
    if inside.size == 0:
        return []
    piece = line.part(int(inside[0]), int(inside[-1]) + 1)
    return [piece] if piece.text.strip() else []


def join_pieces(lines: list[TextLine]) -> list[TextLine]:
    """Join pieces of one line that meet where two cores do."""
    lines = sorted(lines, key=lambda line: line.box[0])
    joined: list[TextLine] = []
    for line in lines:
        for index, other in enumerate(joined):
            if _meet(other, line):
                joined[index] = _join(other, line)
                break
        else:
            joined.append(line)
    return joined


def _meet(left: TextLine, right: TextLine) -> bool:
    height = min(left.height, right.height)
    overlap = min(left.box[3], right.box[3]) - max(left.box[1], right.box[1])
    return overlap > 0.6 * height and -0.7 * height < right.box[0] - left.box[2] < 0.35 * height


def _join(left: TextLine, right: TextLine) -> TextLine:
    """One line of two pieces; a letter that stands in both, boxes overlapping, counts once."""
    both = min(left.edges[-1, 1], right.edges[0, 1]) - max(left.edges[-1, 0], right.edges[0, 0])
    narrow = min(np.ptp(left.edges[-1]), np.ptp(right.edges[0]))
    if left.text[-1] == right.text[0] and both > 0.4 * narrow and len(right.text) > 1:
        right = right.part(1, len(right.text))
    low, high = min(left.box[1], right.box[1]), max(left.box[3], right.box[3])
    return TextLine(
        left.text + right.text,
        (left.box[0], low, max(left.box[2], right.box[2]), high),
        min(left.confidence, right.confidence),
        np.concatenate([left.edges, right.edges]),
    )
