"""Control worlds against gymnasium's own, in float64, step by step from the same states."""

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium (extra `parity`) is not installed")

FIELDS = {
    "CartPole-v1": ("x", "x_dot", "theta", "theta_dot"),
    "Pendulum-v1": ("theta", "theta_dot"),
    "MountainCar-v0": ("position", "velocity"),
    "MountainCarContinuous-v0": ("position", "velocity"),
    "Acrobot-v1": ("theta_1", "theta_2", "theta_1_dot", "theta_2_dot"),
}
NAMES = tuple(FIELDS)


def random_state(name, generator):
    """A state anywhere in the world, failing and wall-bound ones included."""
    scale = {
        "CartPole-v1": (2.4, 3.0, 0.21, 3.0),
        "Pendulum-v1": (np.pi, 8.0),
        "MountainCar-v0": (0.9, 0.07),
        "MountainCarContinuous-v0": (0.9, 0.07),
        "Acrobot-v1": (np.pi, np.pi, 4 * np.pi, 9 * np.pi),
    }[name]
    values = generator.uniform(-1, 1, len(scale)) * scale
    if name.startswith("MountainCar"):
        values[0] -= 0.3
    return values.astype(np.float32)


def set_theirs(reference, name, values):
    values = np.asarray(values, np.float64)
    reference.state = tuple(values) if name == "MountainCar-v0" else values


def random_action(name, generator, space):
    if hasattr(space, "n"):
        return int(generator.integers(space.n))
    return generator.uniform(-1.0, 1.0, 1).astype(np.float32) * space.high


@pytest.mark.parametrize("name", NAMES)
def test_one_step_from_random_states(name):
    env = jaxrl_envs.make(name)
    params = env.default_params()
    reference = gymnasium.make(name).unwrapped
    generator = np.random.default_rng(7)
    values = np.stack([random_state(name, generator) for _ in range(400)])
    actions = [random_action(name, generator, reference.action_space) for _ in range(400)]

    def one(values, action):
        state, _ = env.reset(jax.random.key(0), params)
        state = state.replace(**dict(zip(FIELDS[name], values, strict=True)))
        return env.step(jax.random.key(1), state, action, params)[1]

    ours = jax.device_get(jax.jit(jax.vmap(one))(values, np.stack(actions)))
    ends = 0
    reference.reset(seed=0)
    for row in range(400):
        set_theirs(reference, name, values[row])
        obs, reward, terminated, _, _ = reference.step(actions[row])
        np.testing.assert_allclose(ours.obs[row], obs, rtol=2e-5, atol=5e-6)
        np.testing.assert_allclose(ours.reward[row], reward, rtol=1e-5, atol=1e-5)
        assert ours.terminated[row] == terminated
        ends += terminated
        reference.reset(seed=0)
    assert (ends > 0) == (name != "Pendulum-v1")


def our_run(name, seed, actions):
    """States before each step `[T, fields]` and time steps `[T]`, past any end."""
    env = jaxrl_envs.make(name)
    params = env.default_params()

    @jax.jit
    def run(key, actions):
        state, _ = env.reset(key, params)

        def body(state, action):
            nxt, timestep = env.step(jax.random.key(0), state, action, params)
            return nxt, (jnp.stack([getattr(state, field) for field in FIELDS[name]]), timestep)

        return jax.lax.scan(body, state, actions)[1]

    return jax.device_get(run(jax.random.key(seed), actions))


@pytest.mark.parametrize("name", NAMES)
def test_whole_episodes_step_by_step(name):
    """The reference starts each step from our state; ends and time limits agree too."""
    reference = gymnasium.make(name)
    generator = np.random.default_rng(3)
    limit = reference.spec.max_episode_steps
    for seed in range(2):
        actions = [random_action(name, generator, reference.action_space) for _ in range(limit)]
        states, ours = our_run(name, seed, np.stack(actions))
        reference.reset(seed=0)
        for now in range(limit):
            set_theirs(reference.unwrapped, name, states[now])
            obs, reward, terminated, truncated, _ = reference.step(actions[now])
            np.testing.assert_allclose(ours.obs[now], obs, rtol=2e-5, atol=2e-6)
            np.testing.assert_allclose(ours.reward[now], reward, rtol=1e-5, atol=1e-5)
            assert (ours.terminated[now], ours.truncated[now]) == (terminated, truncated)
            if terminated or truncated:
                break


@pytest.mark.parametrize("name", NAMES)
def test_drift_over_fifty_steps(name):
    """Without synchronisation float32 stays close to float64."""
    reference = gymnasium.make(name).unwrapped
    generator = np.random.default_rng(5)
    actions = [random_action(name, generator, reference.action_space) for _ in range(50)]
    states, ours = our_run(name, 9, np.stack(actions))
    reference.reset(seed=0)
    set_theirs(reference, name, states[0])
    for now in range(50):
        obs, _, terminated, _, _ = reference.step(actions[now])
        np.testing.assert_allclose(ours.obs[now], obs, rtol=1e-3, atol=1e-4)
        if terminated:
            break


@pytest.mark.parametrize("name", NAMES)
def test_resets_cover_gymnasiums_range(name):
    """Means and spreads of 4096 starts against the uniform ranges that gymnasium draws from."""
    env = jaxrl_envs.make(name)
    params = env.default_params()
    keys = jax.random.split(jax.random.key(2), 4096)
    state, _ = jax.jit(jax.vmap(env.reset, (0, None)))(keys, params)
    ranges = {
        "CartPole-v1": [(-0.05, 0.05)] * 4,
        "Pendulum-v1": [(-np.pi, np.pi), (-1, 1)],
        "MountainCar-v0": [(-0.6, -0.4), (0, 0)],
        "MountainCarContinuous-v0": [(-0.6, -0.4), (0, 0)],
        "Acrobot-v1": [(-0.1, 0.1)] * 4,
    }[name]
    for field, (low, high) in zip(FIELDS[name], ranges, strict=True):
        values = np.asarray(getattr(state, field), np.float64)
        deviation = (high - low) / np.sqrt(12)
        assert abs(values.mean() - (low + high) / 2) <= 4 * deviation / 64 + 1e-6
        assert values.min() >= low - 1e-6 and values.max() <= high + 1e-6
        np.testing.assert_allclose(values.std(), deviation, rtol=0.05, atol=1e-9)


def test_spaces_equal_gymnasiums():
    for name in NAMES:
        theirs, ours = gymnasium.make(name), jaxrl_envs.make(name).spec
        low, high = ours.observation_space.bounds()
        np.testing.assert_allclose(low, theirs.observation_space.low, rtol=1e-6)
        np.testing.assert_allclose(high, theirs.observation_space.high, rtol=1e-6)
        assert ours.max_steps == theirs.spec.max_episode_steps
        if hasattr(theirs.action_space, "n"):
            assert ours.action_space.n == theirs.action_space.n
        else:
            assert ours.action_space.bounds()[1] == theirs.action_space.high
