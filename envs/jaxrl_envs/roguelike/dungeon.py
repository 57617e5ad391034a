"""Random dungeons of a fixed size: rooms, straight corridors, locked doors, keys, gold, stairs.

The floor is cut into blocks. Every block holds one room, a rectangle of random extent around the
block's centre; rooms are joined in a snake's order by corridors along the centres. The door out of
room i is locked; its key lies in room i, so that every dungeon can be finished.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt16

from jaxrl_rewards.core import record

WALL, FLOOR, DOOR, OPEN_DOOR, STAIRS = range(5)
NOTHING, KEY, GOLD = range(3)


@record
class Dungeon:
    """A generated floor."""

    tiles: Int[Array, "H W"]
    items: Int[Array, "H W"]
    start: Int[Array, "2"]
    monsters: Int[Array, "M 2"]
    """Where the monsters start: row and column."""


@dataclasses.dataclass(frozen=True)
class DungeonPlan:
    """Static sizes: `down` x `across` blocks of `block` cells a side (odd, at least 7)."""

    down: int = 2
    across: int = 3
    block: int = 7
    monsters: int = 4
    gold: int = 5

    @property
    def rooms(self) -> int:
        """Number of rooms."""
        return self.down * self.across

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the floor in cells."""
        return self.down * self.block, self.across * self.block

    @functools.cached_property
    def centres(self) -> np.ndarray:
        """Centre cell of each room in the order they are joined, int32 `[rooms, 2]`."""
        cells = []
        for row in range(self.down):
            columns = range(self.across) if row % 2 == 0 else range(self.across - 1, -1, -1)
            cells += [(row * self.block, column * self.block) for column in columns]
        return np.asarray(cells, np.int32) + self.block // 2

    @functools.cached_property
    def steps(self) -> np.ndarray:
        """Direction from each room to the next, int32 `[rooms - 1, 2]`."""
        return np.diff(self.centres, axis=0) // self.block

    @functools.cached_property
    def corridors(self) -> np.ndarray:
        """Cells on the straight lines between centres, bool `[H, W]`."""
        mask = np.zeros(self.shape, bool)
        for (r0, c0), (r1, c1) in zip(self.centres[:-1], self.centres[1:], strict=True):
            mask[min(r0, r1) : max(r0, r1) + 1, min(c0, c1) : max(c0, c1) + 1] = True
        return mask

    @functools.cached_property
    def corners(self) -> np.ndarray:
        """Upper left cell of each room's block, int32 `[rooms, 2]`."""
        return self.centres - self.block // 2

    @property
    def spots(self) -> int:
        """Cells per room that something may lie on."""
        gold = -(-self.gold // self.rooms)
        return 2 + gold + -(-self.monsters // (self.rooms - 1))


def generate(key: jax.Array, plan: DungeonPlan) -> Dungeon:
    """Draw a floor. The agent starts in the first room, the stairs lie in the last."""
    rooms, block, (height, width) = plan.rooms, plan.block, plan.shape
    key_extent, key_rank, key_flip = jax.random.split(key, 3)
    extent = jax.random.randint(key_extent, (rooms, 4), 1, block // 2, jnp.int32)
    line = np.arange(block, dtype=np.int32)[None] - block // 2
    inside_rows = (line >= -extent[:, :1]) & (line <= extent[:, 1:2])
    inside_columns = (line >= -extent[:, 2:3]) & (line <= extent[:, 3:])
    room = inside_rows[:, :, None] & inside_columns[:, None, :]

    order = np.zeros((plan.down, plan.across), np.int32)
    order[plan.corners[:, 0] // block, plan.corners[:, 1] // block] = np.arange(rooms)
    floor = room[order].transpose(0, 2, 1, 3).reshape(height, width)
    tiles = jnp.where(floor | plan.corridors, FLOOR, WALL).astype(jnp.int32)
    doors = _doors(plan, extent)
    tiles = tiles.at[doors[:, 0], doors[:, 1]].set(DOOR)

    spots = _spots(plan, room, jax.random.bits(key_rank, (rooms, block * block), jnp.uint16))
    start, keys, stairs = spots[0, 0], spots[:-1, 1], spots[-1, 1]
    tiles = tiles.at[stairs[0], stairs[1]].set(STAIRS)
    items = jnp.full((height, width), NOTHING, jnp.int32).at[keys[:, 0], keys[:, 1]].set(KEY)
    index = np.arange(plan.gold)
    gold = spots[index % rooms, 2 + index // rooms]
    items = items.at[gold[:, 0], gold[:, 1]].set(GOLD)
    index = np.arange(plan.monsters)
    monsters = spots[1 + index % (rooms - 1), plan.spots - 1 - index // (rooms - 1)]
    dungeon = Dungeon(tiles=tiles, items=items, start=start, monsters=monsters)
    return _flip(dungeon, jax.random.bernoulli(key_flip, 0.5, (2,)), plan.shape)


def _spots(
    plan: DungeonPlan, room: Bool[Array, "R B B"], rank: UInt16[Array, "R N"]
) -> Int[Array, "R K 2"]:
    """Distinct random cells of each room: those of the smallest ranks.

    A cell's number is part of its rank, so that a plain minimum finds it; that and comparisons
    instead of indexed writes are quicker than `argmin` on a CPU.
    """
    cells = plan.block**2
    number = np.arange(cells, dtype=np.uint32)
    taken_rank = np.uint32(2**32 - 1)
    rank = rank.astype(jnp.uint32) * np.uint32(cells) + number[None]
    rank = jnp.where(room.reshape(plan.rooms, -1), rank, taken_rank)

    # A loop, for unrolled XLA would compute the ranks anew for every minimum.
    def take(rank, _):
        least = jnp.min(rank, axis=1, keepdims=True)
        return jnp.where(rank == least, taken_rank, rank), least[:, 0]

    _, least = jax.lax.scan(take, rank, length=plan.spots)
    index = (least.T % cells).astype(jnp.int32)
    return jnp.stack([index // plan.block, index % plan.block], axis=-1) + plan.corners[:, None]


def _doors(plan: DungeonPlan, extent: Int[Array, "R 4"]) -> Int[Array, "D 2"]:
    """The cell just outside each room on its corridor to the next."""
    side = np.select(
        [plan.steps[:, 0] < 0, plan.steps[:, 0] > 0, plan.steps[:, 1] < 0], [0, 1, 2], 3
    )
    reach = extent[np.arange(plan.rooms - 1), side] + 1
    return jnp.asarray(plan.centres[:-1]) + reach[:, None] * plan.steps


def _flip(dungeon: Dungeon, flip: Bool[Array, "2"], shape: tuple[int, int]) -> Dungeon:
    """Mirror the floor top to bottom and left to right where `flip` says so."""

    def grid(values: Array) -> Array:
        for axis in (0, 1):
            values = jnp.where(flip[axis], jnp.flip(values, axis), values)
        return values

    def places(cells: Array) -> Array:
        mirrored = np.asarray(shape, np.int32) - 1
        mirrored, turned = (jnp.broadcast_to(value, cells.shape) for value in (mirrored, flip))
        return jnp.where(turned, mirrored - cells, cells)

    return Dungeon(
        tiles=grid(dungeon.tiles),
        items=grid(dungeon.items),
        start=places(dungeon.start),
        monsters=places(dungeon.monsters),
    )
