"""Bitmaps of our own: 3x5 letters and digits, 5x5 icons, and the words that screens show.

A label is a number: `0 ... WORDS - 1` name a word, `WORDS ... WORDS + ICONS - 1` an icon, -1
nothing. `LABEL_ROWS[label]` holds five rows of up to 32 pixels as bits, the leftmost pixel lowest.
"""

from __future__ import annotations

import numpy as np

_LETTERS = {
    "A": "010 101 111 101 101",
    "B": "110 101 110 101 110",
    "C": "011 100 100 100 011",
    "D": "110 101 101 101 110",
    "E": "111 100 110 100 111",
    "F": "111 100 110 100 100",
    "G": "011 100 101 101 011",
    "H": "101 101 111 101 101",
    "I": "111 010 010 010 111",
    "J": "001 001 001 101 010",
    "K": "101 110 100 110 101",
    "L": "100 100 100 100 111",
    "M": "101 111 111 101 101",
    "N": "110 101 101 101 101",
    "O": "010 101 101 101 010",
    "P": "110 101 110 100 100",
    "Q": "010 101 101 010 001",
    "R": "110 101 110 110 101",
    "S": "011 100 010 001 110",
    "T": "111 010 010 010 010",
    "U": "101 101 101 101 111",
    "V": "101 101 101 101 010",
    "W": "101 101 111 111 101",
    "X": "101 101 010 101 101",
    "Y": "101 101 010 010 010",
    "Z": "111 001 010 100 111",
}

_ICONS = {
    "cross": "10001 01010 00100 01010 10001",
    "menu": "11111 00000 11111 00000 11111",
    "minimise": "00000 00000 00000 00000 11111",
    "plus": "00100 00100 11111 00100 00100",
    "left": "00100 01000 11111 01000 00100",
    "right": "00100 00010 11111 00010 00100",
    "up": "00100 01110 10101 00100 00100",
    "down": "00100 00100 10101 01110 00100",
    "heart": "01010 11111 11111 01110 00100",
    "home": "00100 01110 11111 01010 01010",
    "search": "01100 10010 10010 01100 00011",
    "play": "10000 11100 11111 11100 10000",
    "stop": "11111 11111 11111 11111 11111",
    "star": "00100 11111 01110 01010 10001",
    "mail": "11111 11011 10101 10001 11111",
    "lock": "01110 01010 11111 11011 11111",
    "bell": "00100 01110 01110 11111 00100",
    "chart": "00001 00101 00101 10101 10101",
    "moon": "01110 11100 11000 11100 01110",
    "ring": "01110 10001 10001 10001 01110",
}

TRAIN_WORDS = (
    "OK", "NO", "YES", "ADD", "CUT", "RUN", "NEW", "ALL", "BUY", "PAY", "LOG", "MAP", "TAB", "TOP",
    "END", "FIT", "OPEN", "SAVE", "LOAD", "EDIT", "FIND", "COPY", "MOVE", "SEND", "HELP", "VIEW",
    "UNDO", "PLAY", "STOP", "BACK", "NEXT", "EXIT", "SHOW", "HIDE", "SORT", "LIST", "MENU", "HOME",
    "NAME", "USER", "DATE", "TIME", "SIZE", "FILE", "PAGE", "ITEM", "LINK", "NOTE",
)  # fmt: skip
UNSEEN_WORDS = (
    "GO", "ASK", "BID", "DROP", "FOLD", "JOIN", "KEEP", "LOCK", "MARK", "PIN", "QUIT", "READ",
    "SKIP", "TURN", "VOTE", "WIPE",
)  # fmt: skip
WORD_LIST = (*TRAIN_WORDS, *UNSEEN_WORDS)
ICON_NAMES = tuple(_ICONS)
WORDS, ICONS = len(WORD_LIST), len(ICON_NAMES)
LABELS = WORDS + ICONS
TITLE_ICONS = (0, 1, 2)
"""Icons that only a title bar shows: cross, menu, minimise."""


def icon_label(name: str) -> int:
    """The label of an icon by name."""
    return WORDS + ICON_NAMES.index(name)


def word_bitmap(word: str) -> np.ndarray:
    """bool `[5, 4 * len(word) - 1]`: capital letters in 3x5, one column between them."""
    blank = np.zeros((5, 1), bool)
    parts = [part for letter in word for part in (bitmap(_LETTERS[letter]), blank)]
    return np.concatenate(parts[:-1], axis=1)


def icon_bitmap(name: str) -> np.ndarray:
    """bool `[5, 5]`."""
    return bitmap(_ICONS[name])


def label_name(label: int) -> str:
    """The word, the icon's name, or "" for -1."""
    return "" if label < 0 else (*WORD_LIST, *ICON_NAMES)[label]


def bitmap(rows: str) -> np.ndarray:
    """A bitmap written as rows of 0 and 1, bool."""
    return np.array([[bit == "1" for bit in row] for row in rows.split()])


def pack_rows(bitmap: np.ndarray) -> np.ndarray:
    """Rows of a bitmap `[5, <= 32]` as uint32 `[5]`, the leftmost pixel in the lowest bit."""
    weights = np.uint32(1) << np.arange(bitmap.shape[1], dtype=np.uint32)
    return (bitmap * weights).sum(axis=1, dtype=np.uint32)


_BITMAPS = [word_bitmap(word) for word in WORD_LIST] + [icon_bitmap(n) for n in ICON_NAMES]
LABEL_ROWS = np.stack([pack_rows(bitmap) for bitmap in _BITMAPS])
"""uint32 `[LABELS, 5]`."""
LABEL_WIDTH = np.array([bitmap.shape[1] for bitmap in _BITMAPS], np.int32)
"""Pixels, int32 `[LABELS]`."""
