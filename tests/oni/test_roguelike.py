"""The roguelike: every dungeon can be finished, and the rules of keys, doors, fights and gold."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.roguelike import DungeonPlan, Roguelike, generate
from jaxrl_envs.roguelike import messages as say
from jaxrl_envs.roguelike.dungeon import DOOR, FLOOR, GOLD, KEY, OPEN_DOOR, STAIRS, WALL
from jaxrl_envs.roguelike.env import HIT_POINTS, WAIT

from jaxrl_rewards.core import InputError

UP, RIGHT, DOWN, LEFT = range(4)
AROUND = ((-1, 0), (0, 1), (1, 0), (0, -1))
PLAN = DungeonPlan()


@functools.cache
def dungeons():
    keys = jax.random.split(jax.random.key(0), 40)
    return jax.device_get(jax.jit(jax.vmap(lambda key: generate(key, PLAN)))(keys))


def reach(tiles, start):
    """Cells that can be walked to without opening a door."""
    seen, stack = {start}, [start]
    while stack:
        row, column = stack.pop()
        for down, right in AROUND:
            cell = (row + down, column + right)
            inside = 0 <= cell[0] < tiles.shape[0] and 0 <= cell[1] < tiles.shape[1]
            if inside and cell not in seen and tiles[cell] not in (WALL, DOOR):
                seen.add(cell)
                stack.append(cell)
    return seen


def test_every_dungeon_can_be_finished_door_by_door():
    batch = dungeons()
    for n in range(40):
        tiles, items = batch.tiles[n].copy(), batch.items[n]
        start = tuple(batch.start[n])
        assert (tiles == DOOR).sum() == PLAN.rooms - 1 == (items == KEY).sum()
        assert (tiles == STAIRS).sum() == 1 and (items == GOLD).sum() == PLAN.gold
        places = [start, *map(tuple, batch.monsters[n]), *map(tuple, np.argwhere(items > 0))]
        places.append(tuple(np.argwhere(tiles == STAIRS)[0]))
        assert len(set(places)) == len(places)
        assert all(tiles[place] in (FLOOR, STAIRS) for place in places)
        for opened in range(PLAN.rooms - 1):
            near = reach(tiles, start)
            assert not any(tiles[cell] == STAIRS for cell in near)
            assert sum(items[cell] == KEY for cell in near) == opened + 1
            doors = [
                door
                for door in map(tuple, np.argwhere(tiles == DOOR))
                if any(
                    (door[0] + d, door[1] + r) in near
                    for d, r in ((-1, 0), (0, 1), (1, 0), (0, -1))
                )
            ]
            assert len(doors) == 1
            tiles[doors[0]] = OPEN_DOOR
        assert any(tiles[cell] == STAIRS for cell in reach(tiles, start))


def test_dungeons_differ():
    batch = dungeons()
    assert len({tiles.tobytes() for tiles in batch.tiles}) == 40
    assert len({tuple(place) for place in batch.start}) > 10


ENV = Roguelike(monsters=1)
PARAMS = ENV.default_params()


@functools.cache
def step():
    return jax.jit(ENV.step)


def arena(**changes):
    """An open floor without anything; the monster stands far away, dead."""
    state, _ = jax.jit(ENV.reset)(jax.random.key(0), PARAMS)
    height, width = ENV.plan.shape
    tiles = np.full((height, width), FLOOR)
    tiles[[0, -1]] = tiles[:, [0, -1]] = WALL
    return state.replace(
        tiles=jnp.asarray(tiles, jnp.int32),
        items=jnp.zeros((height, width), jnp.int32),
        place=jnp.asarray([5, 5], jnp.int32),
        monsters=jnp.asarray([[10, 15]], jnp.int32),
        strength=jnp.asarray([0], jnp.int32),
    ).replace(**changes)


def act(state, *actions, params=PARAMS, key=0):
    for number, action in enumerate(actions):
        chosen = jnp.asarray(action, jnp.int32)
        state, timestep = step()(jax.random.key(key + number), state, chosen, params)
    return state, timestep


def text(state):
    return say.TEXTS[int(state.message)]


def test_walls_doors_keys_and_gold():
    state = arena(place=jnp.asarray([1, 1], jnp.int32))
    state, _ = act(state, UP)
    assert text(state) == "You bump into a wall." and state.place.tolist() == [1, 1]
    state = state.replace(
        tiles=state.tiles.at[1, 3].set(DOOR),
        items=state.items.at[2, 2].set(KEY).at[1, 4].set(GOLD),
    )
    state, _ = act(state, RIGHT, RIGHT)
    assert text(state) == "The door is locked." and state.place.tolist() == [1, 2]
    state, _ = act(state, DOWN)
    assert text(state) == "You pick up a key." and int(state.keys) == 1
    state, _ = act(state, UP, RIGHT)
    assert text(state) == "You unlock the door." and int(state.keys) == 0
    assert state.place.tolist() == [1, 2] and state.tiles[1, 3] == OPEN_DOOR
    state, timestep = act(state, RIGHT, RIGHT)
    assert text(state) == "You pick up a piece of gold." and timestep.terms["gold"] == 1
    assert not np.any(state.items) and int(state.counts.sum()) == 5
    state, timestep = act(state, WAIT)
    assert text(state) == "You listen and hear nothing." and timestep.terms["gold"] == 0


def test_stairs_end_the_episode_with_success():
    state = arena()
    state, timestep = act(state.replace(tiles=state.tiles.at[5, 6].set(STAIRS)), RIGHT)
    assert timestep.terminated and timestep.info["success"] and timestep.reward == 1
    assert text(state) == "You walk down the stairs."


def test_a_fight():
    params = PARAMS.replace(hit_probability=jnp.asarray(1.0), bite_probability=jnp.asarray(0.0))
    beside = dict(monsters=jnp.asarray([[5, 6]], jnp.int32), strength=jnp.asarray([2], jnp.int32))
    state, timestep = act(arena(**beside), RIGHT, params=params)
    assert text(state) == "You hit the newt." and state.strength.tolist() == [1]
    state, timestep = act(state, RIGHT, params=params)
    assert text(state) == "You kill the newt!" and timestep.terms["kill"] == 1
    state, _ = act(state, RIGHT, params=params)
    assert state.place.tolist() == [5, 6] and text(state) == ""
    clumsy = params.replace(hit_probability=jnp.asarray(0.0))
    state, _ = act(arena(**beside), RIGHT, params=clumsy)
    assert text(state) == "You miss the newt." and state.strength.tolist() == [2]
    fierce = clumsy.replace(bite_probability=jnp.asarray(1.0))
    state, timestep = act(arena(**beside), WAIT, params=fierce)
    assert text(state) == "The newt bites!" and timestep.terms["hurt"] == 1
    state, timestep = act(state, *[WAIT] * (HIT_POINTS - 1), params=fierce)
    assert text(state) == "You die." and timestep.terminated and not timestep.info["success"]


def test_monsters_come_nearer_and_never_onto_the_agent():
    state = arena(monsters=jnp.asarray([[5, 9]], jnp.int32), strength=jnp.asarray([1], jnp.int32))
    params = PARAMS.replace(chase_probability=jnp.asarray(1.0), bite_probability=jnp.asarray(0.0))
    columns = []
    for number in range(6):
        state, _ = act(state, WAIT, params=params, key=number)
        columns.append(state.monsters[0].tolist())
    assert columns == [[5, 8], [5, 7], [5, 6], [5, 6], [5, 6], [5, 6]]


@pytest.mark.slow
def test_the_view_shows_what_is_around():
    state = arena()
    state = state.replace(
        tiles=state.tiles.at[4, 5].set(DOOR).at[6, 5].set(STAIRS),
        items=state.items.at[5, 4].set(KEY).at[5, 7].set(GOLD),
        monsters=jnp.asarray([[3, 5]], jnp.int32),
        strength=jnp.asarray([1], jnp.int32),
    )
    view = np.asarray(ENV.observe(state, PARAMS)["view"])
    planes = {"door": (1, [2, 3]), "stairs": (3, [4, 3]), "key": (4, [3, 2])}
    planes |= {"gold": (5, [3, 5]), "monster": (6, [1, 3])}
    for plane, place in planes.values():
        assert np.argwhere(view[..., plane]).tolist() == [place]
    assert not view[..., 0].any() and not view[..., 7].any()
    corner = state.replace(place=jnp.asarray([1, 1], jnp.int32))
    view = np.asarray(ENV.observe(corner, PARAMS)["view"])
    assert view[:2, :, 7].all() and view[:, :2, 7].all() and not view[2:, 2:, 7].any()
    assert view[:3, :, 0].all() and view[:, :3, 0].all() and not view[3:, 3:, 0].any()


def test_bad_options_are_refused():
    for options in (dict(down=1, across=1), dict(monsters=99), dict(gold=-1), dict(radius=0)):
        with pytest.raises(InputError):
            Roguelike(**options)
