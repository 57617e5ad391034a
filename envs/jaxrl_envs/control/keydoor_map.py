"""The static map of the key-door rooms, as tables over cells."""

from __future__ import annotations

import dataclasses
import functools
from collections import deque

import numpy as np

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Row and column change of the actions up, right, down, left."""


@dataclasses.dataclass(frozen=True)
class RoomMap:
    """`rooms` square rooms of `size` cells a side in a row, numbered from the left.

    Cells count room by room, row by row. Every room but the last has its key in the lower left
    corner and a door in the right wall at row `door_row`; the stairs lie in the lower right corner
    of the last room. Walls and doors are thin: they stand between cells.
    """

    rooms: int
    size: int
    door_row: int = 0

    @property
    def num_cells(self) -> int:
        """Cells of all rooms."""
        return self.rooms * self.size**2

    def cell(self, room: int, row: int, column: int) -> int:
        """Number of a cell."""
        return (room * self.size + row) * self.size + column

    @functools.cached_property
    def stairs(self) -> int:
        """The cell with the stairs."""
        return self.cell(self.rooms - 1, self.size - 1, self.size - 1)

    @functools.cached_property
    def key_cells(self) -> np.ndarray:
        """Cell of each room's key, int32 `[rooms - 1]`."""
        cells = [self.cell(room, self.size - 1, 0) for room in range(self.rooms - 1)]
        return np.asarray(cells, np.int32)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Where episodes start: the first room without its key's cell, int32."""
        cells = np.arange(self.size**2, dtype=np.int32)
        return cells[cells != self.key_cells[0]]

    @functools.cached_property
    def target(self) -> np.ndarray:
        """Where a move leads with all doors open, int32 `[cells, 4]`; the cell itself at walls."""
        return self._edges[0]

    @functools.cached_property
    def door(self) -> np.ndarray:
        """Number of the door that a move passes, int32 `[cells, 4]`; -1 where there is none."""
        return self._edges[1]

    @functools.cached_property
    def key_bit(self) -> np.ndarray:
        """Bit of the key lying in a cell, int32 `[cells]`; 0 where there is none."""
        bits = np.zeros(self.num_cells, np.int32)
        bits[self.key_cells] = 1 << np.arange(self.rooms - 1)
        return bits

    @functools.cached_property
    def stairs_distance(self) -> np.ndarray:
        """Moves to the stairs with all doors open, float32 `[cells]`."""
        return self._distances(self.stairs)

    @functools.cached_property
    def key_distance(self) -> np.ndarray:
        """Moves to the key of the cell's own room, float32 `[cells]`; 0 in the last room."""
        area = self.size**2
        result = np.zeros(self.num_cells, np.float32)
        for room, key in enumerate(self.key_cells):
            own = slice(room * area, (room + 1) * area)
            result[own] = self._distances(int(key))[own]
        return result

    @functools.cached_property
    def _edges(self) -> tuple[np.ndarray, np.ndarray]:
        target = np.repeat(np.arange(self.num_cells, dtype=np.int32)[:, None], 4, axis=1)
        door = np.full((self.num_cells, 4), -1, np.int32)
        for room in range(self.rooms):
            for row in range(self.size):
                for column in range(self.size):
                    here = self.cell(room, row, column)
                    for action, (down, right) in enumerate(MOVES):
                        to_row, to_column = row + down, column + right
                        if 0 <= to_row < self.size and 0 <= to_column < self.size:
                            target[here, action] = self.cell(room, to_row, to_column)
        for room in range(self.rooms - 1):
            left = self.cell(room, self.door_row, self.size - 1)
            right = self.cell(room + 1, self.door_row, 0)
            target[left, 1], target[right, 3] = right, left
            door[left, 1] = door[right, 3] = room
        return target, door

    def _distances(self, goal: int) -> np.ndarray:
        """Breadth-first search from `goal`; moves can be taken back, so edges are symmetric."""
        distance = np.full(self.num_cells, -1.0, np.float32)
        distance[goal] = 0.0
        queue = deque([goal])
        while queue:
            here = queue.popleft()
            for there in self.target[here]:
                if distance[there] < 0:
                    distance[there] = distance[here] + 1.0
                    queue.append(int(there))
        return distance
