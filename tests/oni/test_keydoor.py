"""The key-door rooms against a plain Python walker, and their messages and quantities."""

import functools

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np
import pytest
from jaxrl_envs.control.keydoor import QUANTITIES, SEARCH
from jaxrl_envs.control.keydoor_messages import FLAVOURS, MessageTable

from jaxrl_rewards.core import InputError
from jaxrl_rewards.networks.tabular import tabular_actor_critic


class Walker:
    """The rules once more, cell by cell, on coordinates."""

    def __init__(self, rooms, size, door_row, room, row, column):
        self.rooms, self.size, self.door_row = rooms, size, door_row
        self.at, self.keys, self.doors = (room, row, column), set(), set()

    def distance(self, at):
        """Along the row of the doors, then down the last room."""
        room, row, column = at
        n = self.size
        if room == self.rooms - 1:
            return (n - 1 - row) + (n - 1 - column)
        to_door = abs(row - self.door_row) + (n - 1 - column) + 1
        between = (self.rooms - 2 - room) * n
        return to_door + between + (n - 1 - self.door_row) + (n - 1)

    def step(self, action):
        """What happened: wall, locked, key, door, and the room concerned."""
        room, row, column = self.at
        n = self.size
        before, events = self.distance(self.at), dict.fromkeys(("wall", "locked", "key", "door"))
        if action < 4:
            down, right = [(-1, 0), (0, 1), (1, 0), (0, -1)][action]
            to = [room, row + down, column + right]
            if to[2] == n and row == self.door_row and room < self.rooms - 1:
                to, door = [room + 1, row, 0], room
            elif to[2] == -1 and row == self.door_row and room > 0:
                to, door = [room - 1, row, n - 1], room - 1
            else:
                door = None
            if not (0 <= to[1] < n and 0 <= to[2] < n):
                events["wall"] = True
            elif door is not None and door not in self.keys:
                events["locked"] = True
            else:
                self.at = tuple(to)
                if door is not None and door not in self.doors:
                    self.doors.add(door)
                    events["door"] = door
        room, row, column = self.at
        if (row, column) == (n - 1, 0) and room < self.rooms - 1 and room not in self.keys:
            self.keys.add(room)
            events["key"] = room
        events["progress"] = before - self.distance(self.at)
        return events


@functools.cache
def program(env):
    """Start, states and time steps along a list of actions; compiled once per world."""

    @jax.jit
    def run(key, actions):
        params = env.default_params()
        state, _ = env.reset(key, params)

        def body(state, inputs):
            nxt, timestep = env.step(inputs[1], state, inputs[0], params)
            return nxt, (nxt, timestep)

        keys = jax.random.split(jax.random.fold_in(key, 1), len(actions))
        _, (states, timesteps) = jax.lax.scan(body, state, (actions, keys))
        return state, states, timesteps

    return run


def run(env, actions, key):
    return jax.device_get(program(env)(key, jnp.asarray(actions, jnp.int32)))


def biased_actions(random, count):
    """Mostly towards keys and doors, so that all rooms are seen."""
    return random.choice(5, count, p=[0.22, 0.3, 0.22, 0.2, 0.06])


@pytest.mark.parametrize(("rooms", "door_row"), [(2, 0), (4, 1)])
def test_a_plain_walker_agrees(rooms, door_row):
    env = jaxrl_envs.make("keydoor_text", rooms=rooms, door_row=door_row, observation="state")
    table, seen = env.table, set()
    for seed in range(3):
        random = np.random.default_rng(seed)
        start, states, timesteps = run(env, biased_actions(random, 500), jax.random.key(seed))
        actions = biased_actions(np.random.default_rng(seed), 500)
        room, rest = divmod(int(start.cell), 16)
        walker = Walker(rooms, 4, door_row, room, *divmod(rest, 4))
        counts = np.zeros(table.size, int)
        for now, action in enumerate(actions):
            events = walker.step(int(action))
            said = {name: float(v[now]) for name, v in states.quantities.items()}
            room, row, column = walker.at
            assert int(states.cell[now]) == (room * 4 + row) * 4 + column
            assert int(states.keys[now]) == sum(1 << k for k in walker.keys)
            assert said["progress"] == events["progress"]
            assert said["bump"] == bool(events["wall"] or events["locked"])
            assert said["new_key"] == (events["key"] is not None)
            assert said["new_door"] == (events["door"] is not None)
            assert said["doors_open"] == len(walker.doors)
            assert said["d_stairs"] == walker.distance(walker.at)
            held = room in walker.keys or room == rooms - 1
            assert said["has_key"] == held
            assert said["d_key"] == (0 if held else (3 - row) + column)
            assert said["searching"] == (action == SEARCH) and said["gold"] <= said["searching"]
            stairs = walker.at == (rooms - 1, 3, 3)
            assert bool(timesteps.terminated[now]) == stairs == bool(timesteps.info["success"][now])
            assert timesteps.reward[now] == stairs
            message = int(timesteps.info["message"][now])
            seen.add(message)
            counts[message] += message > 0
            assert np.array_equal(states.counts[now], counts)
            text = table.texts[message]
            if stairs:
                assert text == "You climb the stairs."
            elif events["key"] is not None:
                assert text == f"You pick up the key of room {events['key']}."
            elif events["door"] is not None:
                assert text == f"You open the door out of room {events['door']}."
            elif events["locked"]:
                assert text == "The door is locked."
            elif events["wall"]:
                assert text == "You bump into a wall."
            elif said["gold"]:
                assert text == "You find a piece of gold."
            else:
                assert text == "" or text in FLAVOURS
    assert {0, table.wall, table.locked, table.gold, table.first_key, table.first_door} <= seen


def test_how_often_gold_and_idle_talk_come():
    env = jaxrl_envs.make("keydoor_text")
    _, states, timesteps = run(env, np.full(6000, SEARCH), jax.random.key(0))
    message = timesteps.info["message"]
    gold = np.mean(message == env.table.gold)
    idle = np.mean((message >= 5) & (message < env.table.first_key))
    assert abs(gold - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 6000)
    assert abs(idle - 0.7 * 0.15) < 4 * np.sqrt(0.105 * 0.895 / 6000)
    assert len(np.unique(message)) == 2 + 25


def test_the_tables_of_texts():
    for numbered, size in ((False, 5 + 25 + 6), (True, 5 + 25 + 600)):
        table = MessageTable(4, numbered)
        assert table.size == len(table.texts) == len(set(table.texts)) == size
        assert all(table.id_of(text) == i for i, text in enumerate(table.texts))
        helpful = [t for t, good in zip(table.texts, table.helpful, strict=True) if good]
        assert all(any(w in t for w in ("gold", "stairs", "key", "open")) for t in helpful)
        assert len(helpful) == 2 + 6 * table.per_event
        assert not any(any(c.isdigit() for c in text) for text in FLAVOURS)
    with pytest.raises(InputError, match="not one of"):
        table.id_of("Hello.")


def test_numbered_messages_use_their_range():
    env = jaxrl_envs.make("keydoor_text", numbered=True, rooms=2)
    params = env.default_params()
    state, _ = env.reset(jax.random.key(0), params)
    state = state.replace(cell=jnp.asarray(8, jnp.int32))  # above the key
    step = jax.jit(jax.vmap(lambda key: env.step(key, state, jnp.asarray(2), params)[0].message))
    ids = np.asarray(step(jax.random.split(jax.random.key(1), 2000)))
    assert ids.min() == env.table.first_key and ids.max() == env.table.first_key + 99
    assert len(np.unique(ids)) == 100


def test_observations_tell_states_apart():
    envs = {o: jaxrl_envs.make("keydoor", observation=o) for o in ("features", "one_hot", "state")}
    state, _ = envs["state"].reset(jax.random.key(0), envs["state"].default_params())
    seen = {}
    for cell in range(48):
        for keys in range(4):
            for doors in range(4):
                now = state.replace(
                    cell=jnp.asarray(cell), keys=jnp.asarray(keys), doors=jnp.asarray(doors)
                )
                number = int(envs["state"].observe(now))
                assert number == cell * 4 + keys
                seen[np.asarray(envs["features"].observe(now)).tobytes()] = (cell, keys, doors)
        one_hot = np.asarray(envs["one_hot"].observe(now))
        assert one_hot.sum() == 1 and one_hot[number] == 1
    assert len(seen) == 48 * 16


def test_quantities_are_documented_and_hold_no_success():
    env = jaxrl_envs.make("keydoor")
    state, first = env.reset(jax.random.key(0), env.default_params())
    assert set(state.quantities) == set(QUANTITIES) == set(first.info["quantities"])
    for name, quantity in env.quantities.items():
        assert quantity.shape == np.shape(state.quantities[name])
        assert quantity.scale > 0 and quantity.direction in (-1, 0, 1, None) and quantity.text
    assert "message" not in first.info and state.counts.shape == (0,)


def test_bad_options_are_refused():
    for options in (
        dict(rooms=1),
        dict(size=1),
        dict(door_row=4),
        dict(observation="x"),
        dict(numbered=True),
    ):
        with pytest.raises(InputError):
            jaxrl_envs.make("keydoor", **options)


@pytest.mark.slow
def test_a_table_is_the_linear_network_over_one_hot_states():
    network = tabular_actor_critic(6, 3)
    params = jax.tree.map(
        lambda leaf: jax.random.normal(jax.random.key(leaf.ndim), leaf.shape),
        network.init(jax.random.key(0)),
    )
    states = jnp.asarray([[0, 5, 2], [3, 3, 1]])
    one_hot = jax.nn.one_hot(states, 6)
    output, value, _ = network.apply(params, states, ())
    np.testing.assert_allclose(output, one_hot @ params["actor"], rtol=1e-6)
    np.testing.assert_allclose(value, one_hot @ params["critic"], rtol=1e-6)
    np.testing.assert_array_equal(network.actor(params, states)[0], output)
    np.testing.assert_array_equal(network.critic(params, states), value)
    grad = jax.grad(lambda p: jnp.sum(network.apply(p, states, ())[1] ** 2))(params)["critic"]
    dense = jax.grad(lambda w: jnp.sum((one_hot @ w) ** 2))(params["critic"])
    np.testing.assert_allclose(grad, dense, rtol=1e-5)
    assert network.critic(params, jnp.asarray(99)) == params["critic"][5]
    with pytest.raises(ValueError, match="at least one state"):
        tabular_actor_critic(0, 3)
