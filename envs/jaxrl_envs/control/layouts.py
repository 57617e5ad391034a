"""Maps of grid worlds: parsing, checks, and ready ones."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jaxrl_rewards.core import InputError

KEYS, DOORS = "abc", "ABC"
SYMBOLS = {
    "#": "wall",
    ".": "free cell",
    "S": "start",
    "G": "goal",
    "P": "pit",
    "~": "slippery cell",
    **dict.fromkeys(KEYS, "key"),
    **dict.fromkeys(DOORS, "door"),
}
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Row and column change of the actions up, right, down, left."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """A static map and what its pits do; hashable. Build with `parse_layout`."""

    rows: tuple[str, ...]
    pit_ends: bool = True
    """Whether a pit ends the episode; otherwise it sends the agent back to a start."""
    weights: tuple[tuple[str, float], ...] = (("goal", 1.0), ("pit", -1.0))
    """Default weights of reward terms; terms not named have weight 0."""
    max_steps: int = 200

    @property
    def height(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.rows[0])

    @functools.cached_property
    def tables(self) -> Tables:
        """Lookup tables over cells, as NumPy arrays."""
        return Tables.of(self)


@dataclasses.dataclass(frozen=True)
class Tables:
    """Facts per cell; cells are numbered row by row, `N = height * width`."""

    wall: np.ndarray
    goal: np.ndarray
    pit: np.ndarray
    slippery: np.ndarray
    key_bit: np.ndarray
    """int32 `[N]`: the bit of the key that lies here, else 0."""
    door_bit: np.ndarray
    """int32 `[N]`: the bit of the key that the door here needs, else 0."""
    starts: np.ndarray
    """int32: cells marked S."""
    plain: np.ndarray
    """int32: cells without wall, goal, pit, key or door; where random starts may fall."""
    move: np.ndarray
    """int32 `[N, 4]`: the cell each move leads to when doors are open; blocked moves stay."""
    free_index: np.ndarray
    """int32 `[N]`: number of the cell among those that are no walls, -1 for walls."""
    num_keys: int

    @classmethod
    def of(cls, layout: Layout) -> Tables:
        """Work the tables out."""
        grid = np.array([list(row) for row in layout.rows])
        flat = grid.reshape(-1)
        letters = [letter for letter in KEYS if letter in flat]
        key_bit = sum((flat == k) * 2**i for i, k in enumerate(letters)) + np.zeros(flat.size)
        door_bit = sum((flat == k.upper()) * 2**i for i, k in enumerate(letters)) + np.zeros(
            flat.size
        )
        wall = flat == "#"
        cells = np.arange(flat.size).reshape(grid.shape)
        move = np.zeros((flat.size, 4), np.int32)
        for (row, column), cell in np.ndenumerate(cells):
            for action, (down, right) in enumerate(MOVES):
                r, c = row + down, column + right
                inside = 0 <= r < layout.height and 0 <= c < layout.width
                move[cell, action] = cells[r, c] if inside and grid[r, c] != "#" else cell
        return cls(
            wall=wall,
            goal=flat == "G",
            pit=flat == "P",
            slippery=flat == "~",
            key_bit=key_bit.astype(np.int32),
            door_bit=door_bit.astype(np.int32),
            starts=np.flatnonzero(flat == "S").astype(np.int32),
            plain=np.flatnonzero(np.isin(flat, list(".S~"))).astype(np.int32),
            move=move,
            free_index=np.where(wall, -1, np.cumsum(~wall) - 1).astype(np.int32),
            num_keys=len(letters),
        )


def parse_layout(text: str, **options: object) -> Layout:
    """Read a map, one row of symbols per line; `options` are the other fields of `Layout`.

    Symbols: `#` wall, `.` free, `S` start, `G` goal, `P` pit, `~` slippery, `a` `b` `c` keys and
    `A` `B` `C` the doors they open. Moves off the map stay. Raises InputError naming the row and
    column for unknown symbols, rows of unequal length, no start, or a door without its key.
    """
    rows = tuple(line.strip() for line in text.strip().splitlines())
    if not rows or not rows[0]:
        raise InputError("the grid map is empty; give one row of symbols per line")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise InputError(
                f"row {number} of the grid map has {len(row)} cells where row 1 has "
                f"{len(rows[0])}; make all rows equally long"
            )
        for column, symbol in enumerate(row, 1):
            if symbol not in SYMBOLS:
                raise InputError(
                    f"symbol {symbol!r} at row {number}, column {column} of the grid map is "
                    f"unknown; use one of {''.join(SYMBOLS)}"
                )
    everything = "".join(rows)
    if "S" not in everything:
        raise InputError("the grid map has no start; mark at least one cell with S")
    for door in DOORS:
        if door in everything and door.lower() not in everything:
            raise InputError(
                f"door {door} of the grid map has no key; mark a cell with {door.lower()}"
            )
    return Layout(rows=rows, **options)


FOUR_ROOMS = """
#############
#S....#.....#
#.....#.....#
#...........#
#.....#.....#
#.....#.....#
##.####.....#
#.....###.###
#.....#.....#
#.....#.....#
#...........#
#.....#....G#
#############
"""

CLIFF = """
............
............
............
SPPPPPPPPPPG
"""

LINE_KEY = """
a...S...AG
"""

DOOR_KEY = """
#########
#..#....#
#S.#....#
#..A....#
#a.#...G#
#########
"""

ICE = """
S~~~
~P~P
~~~P
P~~G
"""

LAYOUTS: dict[str, Layout] = {
    # Sutton, Precup and Singh 1999, "Between MDPs and semi-MDPs".
    "four-rooms": parse_layout(FOUR_ROOMS),
    # Sutton and Barto 2018, example 6.6: -1 per step, -100 in all for the step into the cliff.
    "cliff": parse_layout(
        CLIFF, pit_ends=False, weights=(("step", -1.0), ("pit", -99.0)), max_steps=200
    ),
    "line-key": parse_layout(LINE_KEY, max_steps=100),
    "door-key": parse_layout(DOOR_KEY),
    "ice": parse_layout(ICE, max_steps=100),
}
"""Ready maps by name."""
