"""Bridges to gymnasium, gymnax and brax."""

import sys
import warnings

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np
import pytest
from jaxrl_envs.adapters import (
    from_brax,
    from_craftax,
    from_gymnax,
    to_brax,
    to_gymnasium,
    to_gymnasium_vector,
)
from jaxrl_envs.adapters.craftax import unlocked
from jaxrl_envs.control import CartPole

from jaxrl_rewards.core import Discrete, InputError
from jaxrl_rewards.rewards.base import reward_term


def need(library):
    return pytest.importorskip(library, reason=f"{library} (extra `parity`) is not installed")


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("gymnasium", lambda: to_gymnasium(CartPole())),
        ("gymnasium.vector", lambda: to_gymnasium_vector(CartPole(), 2)),
        ("gymnax", lambda: from_gymnax("CartPole-v1")),
        ("brax.envs", lambda: from_brax("fast")),
        ("brax.envs.base", lambda: to_brax(CartPole())),
    ],
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"jaxrl-rewards\[parity\]"):
        call()


# ---------------------------------------------------------------- gymnasium


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "gridworld-ice"])
def test_gymnasiums_own_checker_passes(name):
    checker = need("gymnasium.utils.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checker.check_env(to_gymnasium(jaxrl_envs.make(name)), skip_render_check=True)


def test_single_runs_an_episode_and_repeats_it_from_a_seed():
    need("gymnasium")
    env = to_gymnasium(CartPole(), seed=5)
    runs = []
    for _ in range(2):
        obs, _ = env.reset(seed=5)
        rows, done = [obs], False
        while not done:
            obs, reward, terminated, truncated, info = env.step(1)
            rows.append(obs)
            done = terminated or truncated
            assert reward == 1.0 and info == {"terms": {"alive": 1.0}}
        runs.append(np.stack(rows))
    assert terminated and not truncated
    np.testing.assert_array_equal(*runs)
    fresh, _ = to_gymnasium(CartPole(), seed=5).reset()
    np.testing.assert_array_equal(fresh, runs[0][0])


def test_time_limit_is_truncation_in_gymnasium():
    need("gymnasium")
    env = to_gymnasium(jaxrl_envs.make("Pendulum-v1", max_steps=3))
    env.reset(seed=0)
    flags = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(3)]
    assert flags == [(False, False), (False, False), (False, True)]


def test_vector_next_step_mode():
    """The step after an end ignores the action and starts anew with reward 0."""
    gymnasium = need("gymnasium")
    env = to_gymnasium_vector(jaxrl_envs.make("CartPole-v1", max_steps=4), 3, seed=1)
    assert env.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.NEXT_STEP
    obs, _ = env.reset()
    assert obs in env.observation_space
    first = obs
    for count in range(1, 10):
        obs, reward, terminated, truncated, info = env.step(np.zeros(3, np.int64))
        assert obs in env.observation_space and reward.shape == (3,)
        assert np.all(truncated == (count % 5 == 4)) and not terminated.any()
        assert np.all(reward == (0.0 if count % 5 == 0 else 1.0))
        assert np.all(info["terms"]["alive"] == reward)
        if count == 5:
            assert np.all(np.abs(obs) <= 0.05) and not np.array_equal(obs, first)


def test_vector_same_step_mode():
    gymnasium = need("gymnasium")
    make = lambda mode: to_gymnasium_vector(  # noqa: E731
        jaxrl_envs.make("Pendulum-v1", max_steps=2), 2, seed=1, autoreset_mode=mode
    )
    env = make("same_step")
    assert env.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.SAME_STEP
    env.reset()
    actions = np.ones((2, 1), np.float32)
    _, _, _, truncated, info = env.step(actions)
    assert not truncated.any() and "final_obs" not in info
    obs, reward, _, truncated, info = env.step(actions)
    assert truncated.all() and info["_final_obs"].all()
    assert not np.array_equal(obs, info["final_obs"]) and np.all(reward != 0)
    next_obs, *_ = env.step(actions)
    assert np.all(np.abs(next_obs[:, 2] - obs[:, 2]) < 1.2)
    with pytest.raises(InputError, match="autoreset_mode"):
        make("never")


def test_vector_reset_mask_resets_some():
    need("gymnasium")
    env = to_gymnasium_vector(CartPole(), 3, seed=1)
    env.reset()
    before, *_ = env.step(np.zeros(3, np.int64))
    mask = np.array([True, False, False])
    after, _ = env.reset(options={"reset_mask": mask})
    assert not np.array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1:], before[1:])
    with pytest.raises(InputError, match="reset_mask"):
        env.reset(options={"reset_mask": np.array([1, 0, 0])})


# ---------------------------------------------------------------- gymnax


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_gymnax_worlds_step_like_ours(name):
    need("gymnax")
    foreign, own = from_gymnax(name), jaxrl_envs.make(name)
    params, own_params = foreign.default_params(), own.default_params()
    state, first = jax.jit(foreign.reset)(jax.random.key(0), params)
    own_state, _ = own.reset(jax.random.key(1), own_params)
    fields = (
        ("x", "x_dot", "theta", "theta_dot") if name == "CartPole-v1" else ("theta", "theta_dot")
    )
    own_state = own_state.replace(**{field: getattr(state.inner, field) for field in fields})
    step, own_step = jax.jit(foreign.step), jax.jit(own.step)
    for count in range(8):
        key = jax.random.key(count)
        action = own.spec.action_space.sample(key)
        state, theirs = step(key, state, action, params)
        own_state, ours = own_step(key, own_state, action, own_params)
        np.testing.assert_allclose(theirs.obs, ours.obs, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(theirs.reward, ours.reward, rtol=1e-4, atol=1e-5)
        assert theirs.terminated == ours.terminated
    assert foreign.spec.max_steps == own.spec.max_steps


@pytest.mark.parametrize("name", ["CartPole-v1", "Catch-bsuite", "FourRooms-misc"])
def test_gymnax_keeps_types_and_truncates(name):
    need("gymnax")
    env = from_gymnax(name)
    params = env.default_params().replace(max_steps=jnp.asarray(3, jnp.int32))
    key = jax.random.key(0)
    reset = jax.eval_shape(env.reset, key, params)
    action = env.spec.action_space.sample(key)
    step = jax.eval_shape(env.step, key, reset[0], action, params)
    shapes = [
        [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(tree)]
        for tree in (reset, step)
    ]
    assert shapes[0] == shapes[1] and jax.tree.structure(reset) == jax.tree.structure(step)
    assert not any(weak for _, _, weak in shapes[1])
    state, first = env.reset(key, params)
    assert bool(jnp.all(env.spec.observation_space.contains(first.obs)))
    for count in range(3):
        state, timestep = jax.jit(env.step)(key, state, action, params)
        assert bool(timestep.truncated) == (count == 2)


def test_gymnax_worlds_take_our_rewards():
    need("gymnax")
    env = from_gymnax("Pendulum-v1")
    speed = reward_term(lambda prev, action, nxt: jnp.abs(nxt.inner.theta_dot), name="speed")
    params = env.default_params()
    params = params.replace(reward=params.reward + 2.0 * speed)
    state, _ = env.reset(jax.random.key(0), params)
    state, timestep = env.step(jax.random.key(1), state, jnp.ones((1,)), params)
    expected = timestep.terms["native"] + 2.0 * jnp.abs(state.inner.theta_dot)
    np.testing.assert_allclose(timestep.reward, expected, rtol=1e-6)
    with pytest.raises(InputError, match="gymnax has no world 'Nowhere'"):
        from_gymnax("Nowhere")


# ---------------------------------------------------------------- craftax


def test_craftax_is_named_when_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "craftax.craftax_env", None)
    with pytest.raises(InputError, match="install it with pip install craftax"):
        from_craftax()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0, 0, 0, 0], [0, 0, 0, 0], 0),
        ([0, 0, 0, 0], [1, 0, 0, 0], 1),
        ([1, 0, 0, 0], [1, 0, 0, 1], 4),
        ([1, 0, 0, 0], [1, 0, 1, 1], 3),
        ([1, 1, 0, 0], [1, 1, 0, 0], 0),
        ([1, 1, 0, 0], [0, 0, 0, 0], 0),
    ],
)
def test_an_achievement_is_said_once(before, after, expected):
    said = unlocked(jnp.asarray(before, bool), jnp.asarray(after, bool))
    assert said.dtype == jnp.int32 and int(said) == expected


@pytest.mark.slow
def test_craftax_speaks_of_what_it_pays_for():
    pytest.importorskip("craftax", reason="craftax is not installed")
    env = from_craftax()
    params = env.default_params().replace(max_steps=jnp.asarray(60, jnp.int32))
    state, first = jax.jit(jax.vmap(env.reset, (0, None)))(
        jax.random.split(jax.random.key(0), 32), params
    )
    assert first.obs.shape[1:] == env.spec.observation_space.shape
    assert not first.info["message"].any() and len(set(env.texts)) == len(env.texts) == 23

    def step(state, key):
        actions = jax.random.randint(key, (32,), 0, env.spec.action_space.n)
        keys = jax.random.split(key, 32)
        held = state.inner.achievements
        state, timestep = jax.vmap(env.step, (0, 0, 0, None))(keys, state, actions, params)
        count = state.inner.achievements.sum(-1) - held.sum(-1)
        return state, (timestep.info["message"], count, timestep.reward, timestep.truncated)

    keys = jax.random.split(jax.random.key(1), 60)
    _, (message, count, reward, truncated) = jax.jit(lambda s: jax.lax.scan(step, s, keys))(state)
    assert message.any() and np.array_equal(message > 0, count > 0)
    assert np.all(np.asarray(message)[np.asarray(reward) > 0.5] > 0)
    assert truncated[-1].all() and not truncated[:-1].any()
    with pytest.raises(InputError, match="craftax has no world 'Nowhere'"):
        from_craftax("Nowhere")


# ---------------------------------------------------------------- brax


def test_brax_fast_world_as_ours():
    need("brax")
    env = from_brax("fast", episode_length=4)
    params = env.default_params()
    keys = jax.random.split(jax.random.key(0), 3)

    def run(key):
        state, first = env.reset(key, params)

        def body(state, _):
            return env.step(key, state, jnp.ones((1,)), params)

        return first, jax.lax.scan(body, state, None, length=6)

    first, (state, timesteps) = jax.jit(jax.vmap(run))(keys)
    np.testing.assert_array_equal(timesteps.truncated[0], [0, 0, 0, 1, 1, 1])
    assert not timesteps.terminated.any()
    np.testing.assert_allclose(timesteps.reward[0], timesteps.obs[0, :, 0], rtol=1e-6)
    assert timesteps.reward[0, -1] > 0 and int(state.time[0]) == 6
    nan = env.step(
        jax.random.key(0), env.reset(keys[0], params)[0], jnp.full((1,), jnp.nan), params
    )
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(nan[1]))


def test_brax_episode_wrapper_truncates_and_batches_are_refused():
    need("brax")
    from brax import envs
    from brax.envs.wrappers import training

    limited = training.EpisodeWrapper(envs.get_environment("fast"), 2, 1)
    env = from_brax(limited)
    params = env.default_params()
    state, _ = env.reset(jax.random.key(0), params)
    flags = []
    for _ in range(2):
        state, timestep = jax.jit(env.step)(jax.random.key(0), state, jnp.ones((1,)), params)
        flags.append((bool(timestep.terminated), bool(timestep.truncated)))
    assert flags == [(False, False), (False, True)]
    with pytest.raises(InputError, match="AutoResetWrapper"):
        from_brax(training.AutoResetWrapper(limited))
    with pytest.raises(InputError, match="brax has no world 'nowhere'"):
        from_brax("nowhere")


@pytest.mark.slow
def test_a_physical_brax_world_as_ours():
    need("brax")
    env = from_brax("inverted_pendulum", backend="spring", episode_length=20)
    params = env.default_params()

    def run(key):
        state, first = env.reset(key, params)

        def body(state, step_key):
            action = env.spec.action_space.sample(step_key)
            return env.step(step_key, state, action, params)

        return first, jax.lax.scan(body, state, jax.random.split(key, 20))[1]

    first, timesteps = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 3))
    assert np.all(np.isfinite(timesteps.obs)) and timesteps.truncated[:, -1].all()
    assert not np.array_equal(first.obs[0], first.obs[1])


def test_our_worlds_under_braxs_training_wrappers():
    """Batched, with brax's episode limit and auto-reset, legacy keys, as its trainers do it."""
    need("brax")
    from brax.envs.wrappers import training

    for own in (CartPole(), jaxrl_envs.make("Pendulum-v1")):
        env = training.wrap(to_brax(own), episode_length=30, action_repeat=1)
        assert env.observation_size == own.spec.observation_space.shape[0]
        discrete = isinstance(own.spec.action_space, Discrete)
        assert env.action_size == (own.spec.action_space.n if discrete else 1)

        def run(key, env=env):
            state = env.reset(jax.random.split(key, 4))

            def body(state, key):
                action = jax.random.uniform(key, (4, env.action_size), minval=-1, maxval=1)
                state = env.step(state, action)
                return state, (state.obs, state.reward, state.done, state.info["truncation"])

            return jax.lax.scan(body, state, jax.random.split(key, 40))[1]

        obs, reward, done, truncation = jax.jit(run)(jax.random.PRNGKey(0))
        assert np.all(np.isfinite(obs)) and np.all(np.isfinite(reward))
        assert done.any()
        if own.spec.name == "Pendulum-v1":
            np.testing.assert_array_equal(np.asarray(done).all(1), np.arange(1, 41) == 30)
            np.testing.assert_array_equal(done, truncation)


def test_brax_actions_are_decoded():
    need("brax")
    own = CartPole()
    env, params = to_brax(own), own.default_params()
    state = env.reset(jax.random.key(0))
    right = env.step(state, jnp.asarray([-0.2, 0.4]))
    expected, _ = own.step(jax.random.key(0), state.pipeline_state, jnp.asarray(1), params)
    np.testing.assert_allclose(right.pipeline_state.x_dot, expected.x_dot, rtol=1e-6)
    pendulum = jaxrl_envs.make("Pendulum-v1")
    env = to_brax(pendulum)
    state = env.reset(jax.random.PRNGKey(0))
    half = env.step(state, jnp.asarray([0.5]))
    expected, _ = pendulum.step(
        jax.random.key(0), state.pipeline_state, jnp.asarray([1.0]), pendulum.default_params()
    )
    np.testing.assert_allclose(half.pipeline_state.theta_dot, expected.theta_dot, rtol=1e-6)


@pytest.mark.slow
def test_braxs_ppo_learns_our_cartpole(monkeypatch):
    """74k steps of brax's own trainer lift the mean return well above the random policy's 22."""
    need("brax")
    if not hasattr(jax, "device_put_replicated"):  # jax 0.10 removed what brax 0.14 still calls
        monkeypatch.setattr(jax, "device_put_replicated", _replicate, raising=False)
    from brax.training.agents.ppo import train as ppo

    returns = []
    ppo.train(
        environment=to_brax(CartPole()),
        num_timesteps=60_000,
        episode_length=500,
        num_envs=64,
        batch_size=64,
        num_minibatches=8,
        unroll_length=16,
        num_updates_per_batch=4,
        num_evals=2,
        learning_rate=1e-3,
        entropy_cost=1e-3,
        discounting=0.99,
        normalize_observations=True,
        num_eval_envs=32,
        progress_fn=lambda _, metrics: returns.append(float(metrics["eval/episode_reward"])),
    )
    assert returns[0] < 60 and returns[-1] > 150


def _replicate(tree, devices):
    count = len(devices)
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(jnp.asarray(leaf)[None], (count, *jnp.shape(leaf))), tree
    )
