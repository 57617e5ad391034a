"""Grid worlds against a plain Python walker and against their own exact model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.control import LAYOUTS, GridWorld, parse_layout
from jaxrl_envs.control.gridworld import GridWorldState, cell_reward, goal

from jaxrl_rewards.core import InputError
from jaxrl_rewards.rewards.base import reward_term

NAMES = tuple(LAYOUTS)
MIXED = """
#######
#aS~.A#
#.P.#G#
#b.~.B#
#######
"""


def walk(layout, row, column, keys, direction):
    """An independent walker: `(row, column entered, keys, goal, pit)` for a realised direction."""
    down, right = [(-1, 0), (0, 1), (1, 0), (0, -1)][direction]
    r, c = row + down, column + right
    if not (0 <= r < layout.height and 0 <= c < layout.width):
        r, c = row, column
    symbol = layout.rows[r][c]
    if symbol == "#" or (symbol in "ABC" and symbol.lower() not in keys):
        r, c = row, column
        symbol = layout.rows[r][c]
    if symbol in "abc":
        keys = keys | {symbol}
    return r, c, keys, symbol == "G", symbol == "P"


def key_names(layout):
    return [letter for letter in "abc" if any(letter in row for row in layout.rows)]


@pytest.mark.parametrize("layout", [*NAMES, MIXED], ids=[*NAMES, "mixed"])
def test_walks_equal_the_plain_walker(layout):
    env = GridWorld(layout, slip_on_ice=0.0)
    params = env.default_params()
    step = jax.jit(env.step)
    generator = np.random.default_rng(0)
    names = key_names(env.layout)
    state, _ = env.reset(jax.random.key(0), params)
    keys = frozenset()
    for count in range(150):
        action = int(generator.integers(4))
        row, column = divmod(int(state.cell), env.layout.width)
        r, c, keys, at_goal, fell = walk(env.layout, row, column, keys, action)
        state, timestep = step(jax.random.key(count), state, jnp.asarray(action), params)
        assert int(state.entered) == r * env.layout.width + c
        assert int(state.keys) == sum(2 ** names.index(name) for name in keys)
        assert (bool(state.at_goal), bool(state.fell)) == (at_goal, fell)
        assert bool(timestep.terminated) == (at_goal or (fell and env.layout.pit_ends))
        weights = dict(env.layout.weights)
        expected = (
            weights.get("goal", 0) * at_goal + weights.get("pit", 0) * fell + weights.get("step", 0)
        )
        assert float(timestep.reward) == pytest.approx(expected)
        if timestep.terminated:
            state, _ = env.reset(jax.random.key(count), params)
            keys = frozenset()


@pytest.mark.parametrize("layout", [*NAMES, MIXED], ids=[*NAMES, "mixed"])
def test_the_model_is_a_distribution_and_terminal_states_stay(layout):
    env = GridWorld(layout, slip=0.2)
    params = env.default_params()
    model = jax.jit(lambda params: (env.transition_tensor(params), env.reward_matrix(params)))
    transition, reward = jax.device_get(model(params))
    assert transition.shape == (env.num_states, 4, env.num_states)
    assert reward.shape == (env.num_states, 4)
    np.testing.assert_allclose(transition.sum(-1), 1.0, rtol=1e-6)
    assert transition.min() >= 0
    terminal = np.asarray(env.terminal_states())
    states = np.flatnonzero(terminal)
    assert np.all(transition[states, :, states] == 1) and np.all(reward[states] == 0)
    np.testing.assert_allclose(np.asarray(env.initial_distribution()).sum(), 1.0, rtol=1e-6)


@pytest.mark.parametrize("layout", ["ice", "cliff", MIXED], ids=["ice", "cliff", "mixed"])
def test_sampled_steps_follow_the_model(layout):
    """Frequencies of 2000 sampled steps from every state and action, within 5.5 deviations."""
    env = GridWorld(layout, slip=0.3, random_start=True)
    params = env.default_params()
    model = jax.jit(lambda params: (env.transition_tensor(params), env.reward_matrix(params)))
    transition, reward = jax.device_get(model(params))
    sets = 2**env.layout.tables.num_keys
    cells = np.repeat(np.flatnonzero(~env.layout.tables.wall), sets)
    held = np.tile(np.arange(sets), len(cells) // sets)
    samples = 2000

    def sample(key, cell, keys, action):
        no = jnp.zeros((), bool)
        zero = jnp.zeros((), jnp.int32)
        state = GridWorldState(cell=cell, keys=keys, entered=cell, at_goal=no, fell=no, time=zero)
        nxt, timestep = env.step(key, state, action, params)
        return env.state_index(nxt), timestep.reward

    over_samples = jax.vmap(sample, (0, None, None, None))
    over_actions = jax.vmap(over_samples, (None, None, None, 0))
    over_states = jax.jit(jax.vmap(over_actions, (None, 0, 0, None)))
    index, rewards = over_states(
        jax.random.split(jax.random.key(1), samples),
        jnp.asarray(cells, jnp.int32),
        jnp.asarray(held, jnp.int32),
        jnp.arange(4, dtype=jnp.int32),
    )
    index, rewards = np.asarray(index), np.asarray(rewards, np.float64)
    for state in np.flatnonzero(~np.asarray(env.terminal_states())):
        for action in range(4):
            counts = np.bincount(index[state, action], minlength=env.num_states) / samples
            exact = transition[state, action]
            deviation = np.sqrt(exact * (1 - exact) / samples)
            assert np.all(np.abs(counts - exact) <= 5.5 * deviation + 1e-6)
            spread = rewards[state, action].std() / np.sqrt(samples)
            assert abs(rewards[state, action].mean() - reward[state, action]) <= 5.5 * spread + 1e-4


def test_planning_in_the_model_solves_the_cliff():
    """Value iteration finds the 13-step path of Sutton and Barto's example 6.6."""
    env = GridWorld("cliff")
    params = env.default_params()
    model = jax.jit(lambda params: (env.transition_tensor(params), env.reward_matrix(params)))
    transition, reward = jax.device_get(model(params))
    value = np.zeros(env.num_states)
    for _ in range(60):
        value = np.max(reward + transition @ value, axis=1)
    assert float(env.initial_distribution() @ value) == pytest.approx(-13.0)
    assert float(reward.min()) == pytest.approx(-100.0)


def test_gradients_flow_through_the_model():
    env = GridWorld("ice", slip=0.1)
    params = env.default_params()

    def soft_return(params):
        transition, reward = env.transition_tensor(params), env.reward_matrix(params)
        start = jnp.zeros((env.num_states,))

        def backup(value, _):
            return jax.nn.logsumexp(reward + 0.9 * transition @ value, axis=1), None

        value, _ = jax.lax.scan(backup, start, None, length=30)
        return env.initial_distribution() @ value

    gradient = jax.jit(jax.grad(soft_return, allow_int=True))(params)
    soft_return = jax.jit(soft_return)
    table = gradient.reward.rewards[4].params["table"]
    assert np.all(np.isfinite(table)) and float(jnp.sum(jnp.abs(table))) > 0
    assert np.isfinite(gradient.slip) and float(gradient.slip) != 0
    step = 1e-2
    numeric = (
        soft_return(params.replace(slip=params.slip + step))
        - soft_return(params.replace(slip=params.slip - step))
    ) / (2 * step)
    np.testing.assert_allclose(gradient.slip, numeric, rtol=2e-2)


def test_a_cell_table_pays_for_the_cell_entered():
    env = GridWorld("four-rooms")
    table = jnp.arange(env.layout.height * env.layout.width, dtype=jnp.float32)
    params = env.default_params().replace(reward=2.0 * cell_reward(table) + reward_term(goal))
    state, first = env.reset(jax.random.key(0), params)
    nxt, timestep = env.step(jax.random.key(1), state, jnp.asarray(1), params)
    assert float(timestep.reward) == 2.0 * float(nxt.entered)
    assert tuple(first.terms) == tuple(timestep.terms) == ("cell", "goal")


def test_observation_modes():
    index = GridWorld("door-key", observation="index")
    params = index.default_params()
    state, first = jax.jit(index.reset)(jax.random.key(0), params)
    assert first.obs.sum() == 1 and first.obs[index.state_index(state)] == 1
    near = GridWorld("door-key", observation="coordinates")
    np.testing.assert_allclose(near.observe(state), [2 / 5, 1 / 8, 0.0], rtol=1e-6)
    local = GridWorld("door-key", observation="local", radius=1)
    door = GridWorldState(**{**vars(state), "cell": jnp.asarray(3 * 9 + 2)})
    planes = np.asarray(jax.jit(local.observe)(door)[:-1]).reshape(3, 3, 4)
    assert planes[1, 2, 0] == 1  # the door is shut
    assert planes[2, 0, 3] == 1  # the key lies there
    open_door = door.replace(keys=jnp.asarray(1))
    planes = np.asarray(jax.jit(local.observe)(open_door)[:-1]).reshape(3, 3, 4)
    assert planes[1, 2, 0] == 0 and planes[2, 0, 3] == 0
    corner = state.replace(cell=jnp.asarray(9 + 1))
    wide = GridWorld("door-key", observation="local", radius=3)
    planes = np.asarray(jax.jit(wide.observe)(corner)[:-1]).reshape(7, 7, 4)
    assert np.all(planes[:3, :, 0] == 1) and np.all(planes[:, :3, 0] == 1)


def test_random_starts_fall_on_plain_cells_only():
    env = GridWorld(MIXED, random_start=True)
    keys = jax.random.split(jax.random.key(0), 300)
    state, _ = jax.jit(jax.vmap(env.reset, (0, None)))(keys, env.default_params())
    flat = "".join(env.layout.rows)
    symbols = {flat[cell] for cell in np.asarray(state.cell)}
    assert symbols == {".", "S", "~"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("S.\n.", "row 2"),
        ("S.\n.x", "row 2, column 2"),
        ("..\n.G", "no start"),
        ("SA\n.G", "door A"),
    ],
)
def test_bad_maps_are_named(text, words):
    with pytest.raises(InputError, match=words):
        parse_layout(text)


@pytest.mark.parametrize(
    "options",
    [{"layout": "nowhere"}, {"observation": "pixels"}, {"slip": 1.5}, {"radius": 0}],
)
def test_bad_options_are_named(options):
    with pytest.raises(InputError, match=str(list(options.values())[0])):
        GridWorld(**options)
