"""Where a text stands in lines that were read with mistakes: weighted edit distance, all lines at
once.

Texts are compared letter by letter without spaces, since readers drop them, letters' case, accents
and typographic variants aside. Look-alikes (l, I, 1) and marks cost less than other changes.
"""

from __future__ import annotations

import dataclasses
import functools
import unicodedata

import numpy as np

ONE = 20
"""Integer cost of one changed character; all costs are multiples of a twentieth."""
LOOK_ALIKE, MARK = 7, 7
LOOK_ALIKES = (
    "il1|!j[]t", "o0qdcea", "s5$", "b8h6", "z2", "g9qy", "uvy", "ceo", "-_~", ".,", ":;.", "'\"`",
    "rn", "nmh", "ft", "wv", "kx",
)  # fmt: skip
_VARIANTS = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "...", "\u2013": "-",
    "\u2014": "-", "\u2212": "-", "\u00d7": "x", "\u2022": None, "\u00b7": None, "\u00b6": None,
})  # fmt: skip
_KINDS = 256
_PICTORIAL = ("So", "Co", "Cn")
"""Unicode categories of pictorial symbols and private characters (icon fonts)."""
_PAD = 0
_FAR = 1 << 40
_STEP = 1 << 12


@functools.lru_cache(maxsize=1)
def _costs() -> tuple[np.ndarray, np.ndarray]:
    """Costs int64[256, 256] of reading one character as another, and int64[256] of one too many."""
    change = np.full((_KINDS, _KINDS), ONE, np.int64)
    for group in LOOK_ALIKES:
        for a in group:
            for b in group:
                change[ord(a), ord(b)] = LOOK_ALIKE
    extra = np.full(_KINDS, ONE, np.int64)
    for code in range(33, 127):
        if not chr(code).isalnum():
            extra[code] = MARK
    np.fill_diagonal(change, 0)
    change[_PAD], change[:, _PAD], extra[_PAD] = _FAR // 4096, _FAR // 4096, _FAR // 4096
    return change, extra


def letters(text: str) -> tuple[str, list[int]]:
    """The compared letters of a text, and for each the index of its character in the text.

    What readers drop or guess is left out wherever anything else is left: pictorial symbols (arrow
    heads, bullets, stars), and letters of other scripts than Latin and those of East Asia.
    """
    found, places = _letters(text, True)
    if not found:
        found, places = _letters(text, False)
    return "".join(found), places


def _unread(char: str) -> bool:
    """Whether readers of Latin and East Asian script do not know a character."""
    return unicodedata.category(char) in _PICTORIAL or 0x370 <= ord(char) < 0x1E00


def _letters(text: str, readable: bool) -> tuple[list[str], list[int]]:
    found, places = [], []
    for index, char in enumerate(text):
        plain = unicodedata.normalize("NFKD", char.translate(_VARIANTS)).casefold()
        for part in plain:
            dropped = part.isspace() or unicodedata.combining(part)
            if not dropped and not (readable and _unread(part)):
                found.append(part)
                places.append(index)
    return found, places


def codes_of(plain: str) -> np.ndarray:
    """int64[n] codes below 256 of compared letters; others than ASCII share 128 codes."""
    return np.array([ord(c) if ord(c) < 128 else 128 + ord(c) % 128 for c in plain], np.int64)


@dataclasses.dataclass(frozen=True)
class Match:
    """A part of a line: row, first and last + 1 letter, cost in twentieths of a character."""

    row: int
    start: int
    stop: int
    cost: int


def pack(rows: list[np.ndarray]) -> np.ndarray:
    """int64[rows, longest], padded with 0."""
    width = max((len(row) for row in rows), default=0)
    packed = np.zeros((len(rows), width), np.int64)
    for index, row in enumerate(rows):
        packed[index, : len(row)] = row
    return packed


def align(pattern: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cheapest part of each row that ends at each letter (Sellers 1980).

    Args:
        pattern: int64[m] codes.
        rows: int64[L, N] codes, 0 behind the end; at most 4,095 letters.

    Returns:
        cost int64[L, N] in twentieths, and start int64[L, N]; costs beyond a row's end are large.
    """
    change, extra = _costs()
    count, width = rows.shape
    place = np.arange(width)
    # the start is kept in the low bits, later starts smaller: among equal costs the shortest part
    entry = np.broadcast_to(_STEP - 1 - place, (count, width))
    surplus = np.cumsum(np.minimum(extra[rows], _FAR // _STEP // 4096) * _STEP, axis=1)
    before = entry
    best = entry
    missing = 0
    for index, code in enumerate(pattern):
        lost = int(extra[code]) * _STEP
        shifted = np.empty_like(before)
        shifted[:, 1:] = before[:, :-1] if index else entry[:, 1:]
        shifted[:, 0] = entry[:, 0] + missing
        if index == 0:
            shifted = entry
        taken = shifted + change[code][rows] * _STEP
        best = np.minimum(taken, before + lost) if index else taken
        best = np.minimum.accumulate(best - surplus, axis=1) + surplus
        before = best
        missing += lost
    return best // _STEP, _STEP - 1 - best % _STEP


def find(pattern: np.ndarray, rows: np.ndarray, *, worst: float = 0.55, per_row: int = 3
         ) -> list[Match]:  # fmt: skip
    """All parts of rows that cost at most `worst` per letter; up to `per_row` of each, apart."""
    if not len(pattern) or rows.size == 0:
        return []
    cost, start = align(pattern, rows)
    limit = int(worst * ONE * len(pattern))
    found = []
    for row in np.flatnonzero(cost.min(axis=1) <= limit):
        left, taken = cost[row].copy(), 0
        least = int(left.min())
        while taken < per_row:
            stop = int(np.argmin(left))
            value = int(left[stop])
            if value > min(limit, least + ONE + limit // 4):
                break
            first = int(start[row, stop])
            found.append(Match(int(row), first, stop + 1, value))
            # what overlaps is the same place
            overlap = (start[row] <= stop) & (np.arange(len(left)) >= first)
            left[overlap] = _FAR
            taken += 1
    return found
