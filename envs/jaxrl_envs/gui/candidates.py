"""Candidates for an instruction on a read screen: places where its text may stand.

rows, look = rows_of(read_screen(image)), ScreenLook(image)
found = candidates("Sign in", rows, look)
found.points, found.features      # where one would click, and what a policy sees
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl_envs.gui.candidate_features import FEATURES, Place, features_of
from jaxrl_envs.gui.phrases import Query, parse_instruction
from jaxrl_envs.gui.screen_look import ScreenLook
from jaxrl_envs.gui.text_match import ONE, codes_of, find, letters
from jaxrl_envs.gui.text_rows import SINGLE, TextRows

MOST = 24
"""Candidates that are kept, the likeliest first."""
GOOD = 0.08
"""Cost per letter up to which a reading of the instruction counts as standing on the screen."""
SHORT = 4
"""Letters of a text that may stand many times in one line."""
HEAD = 28
"""Letters of a longer text that are looked for by themselves, too."""


@dataclasses.dataclass(frozen=True)
class Candidates:
    """At most `MOST` places for one instruction, n of them.

    Attributes:
        reading: the text that was looked for.
        role: one of `phrases.ROLES`, or "".
        boxes: float32[n, 4], of the text, over all its lines.
        points: float32[n, 2], the middle of the text's longest line.
        features: float32[n, FEATURES].
        cost: float32[n], per letter.
    """

    reading: str
    role: str
    boxes: np.ndarray
    points: np.ndarray
    features: np.ndarray
    cost: np.ndarray

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.boxes)


def candidates(instruction: str | Query, rows: TextRows, look: ScreenLook) -> Candidates:
    """Find the places where an instruction's text may stand.

    Of the instruction's readings the first that stands on the screen well enough counts, and the
    most stripped where none does. `InputError` for an instruction without characters.
    """
    query = parse_instruction(instruction) if isinstance(instruction, str) else instruction
    for reading in query.texts:
        places = _places(reading, rows)
        if places and places[0].cost <= GOOD:
            break
    values = features_of(places, reading, query.role, rows, look)
    boxes = np.array([place.box for place in places], np.float32).reshape(-1, 4)
    points = np.array([place.point for place in places], np.float32).reshape(-1, 2)
    cost = np.array([place.cost for place in places], np.float32)
    return Candidates(reading, query.role, boxes, points, values, cost)


def _places(text: str, rows: TextRows) -> list[Place]:
    """All places of a text, best first."""
    plain = letters(text)[0] or text.strip().casefold()
    found = _matches(plain, rows, 1.0)
    if len(plain) > HEAD + 6 and not (found and min(p.cost for p in found) <= 2 * GOOD):
        found += _matches(plain[:HEAD], rows, HEAD / len(plain))
    found += _shortened(plain, rows)
    found.sort(key=lambda place: place.rank)
    kept: list[Place] = []
    for place in found:
        if not any(_same(place, other) for other in kept):
            kept.append(place)
        if len(kept) >= MOST:
            break
    return kept


def _shortened(plain: str, rows: TextRows) -> list[Place]:
    """Lines that end in an ellipsis and begin as a longer text does."""
    found = []
    for index, row in enumerate(rows.rows):
        length = len(row.plain.rstrip(".,"))
        if row.kind != SINGLE or not row.plain.endswith("...") or not 6 <= length < len(plain):
            continue
        for match in find(codes_of(plain[:length]), rows.codes[index : index + 1], worst=0.2):
            if match.start <= 1:
                parts = rows.boxes(index, match.start, len(row.plain))
                cost = match.cost / ONE / length
                share = length / len(plain)
                found.append(Place(index, match.start, len(row.plain), cost, parts, share))
    return found


def _matches(plain: str, rows: TextRows, share: float) -> list[Place]:
    worst = 0.5 if len(plain) > 3 else 0.4
    found = []
    most = 6 if len(plain) <= SHORT else 3
    for match in find(codes_of(plain), rows.codes, worst=worst, per_row=most):
        row = rows.rows[match.row]
        parts = rows.boxes(match.row, match.start, match.stop)
        if row.kind != SINGLE and len(parts) < len(row.lines):
            continue  # it is found in fewer lines, too
        cost = match.cost / ONE / len(plain)
        cut = rows.cut_words(parts)
        found.append(Place(match.row, match.start, match.stop, cost, parts, share, cut))
    return found


def _same(a: Place, b: Place) -> bool:
    """Whether two places overlap by more than half of the smaller."""
    x1, y1 = max(a.box[0], b.box[0]), max(a.box[1], b.box[1])
    x2, y2 = min(a.box[2], b.box[2]), min(a.box[3], b.box[3])
    smaller = min(_area(a.box), _area(b.box))
    return x2 > x1 and y2 > y1 and (x2 - x1) * (y2 - y1) > 0.5 * smaller


def _area(box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


__all__ = ["FEATURES", "MOST", "Candidates", "candidates"]
