"""The registry and the generic wrappers."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np
import pytest
from jaxrl_envs import registry
from jaxrl_envs.control import CartPole
from jaxrl_envs.wrappers import ActionRepeat, FlattenObservation, ScaleAction, TimeLimit

from jaxrl_rewards import envs
from jaxrl_rewards.core import Box, DictSpace, Discrete, InputError
from jaxrl_rewards.rewards.base import reward_term


@pytest.fixture(autouse=True)
def keep_registry():
    before = dict(registry._ENTRIES)
    yield
    registry._ENTRIES.clear()
    registry._ENTRIES.update(before)


def test_unknown_names_get_close_matches():
    with pytest.raises(InputError, match="did you mean 'CartPole-v1'"):
        jaxrl_envs.make("cartpole")
    with pytest.raises(InputError, match="known worlds: CartPole-v1"):
        jaxrl_envs.make("zzz")


def test_unknown_options_are_an_input_error():
    with pytest.raises(InputError, match="'CartPole-v1' cannot be made with .'colour'"):
        jaxrl_envs.make("CartPole-v1", colour="red")


def test_register_factories_and_paths():
    envs.register("mine", CartPole, summary="short", max_steps=11)
    assert envs.make("mine").spec.max_steps == 11
    assert envs.make("mine", max_steps=12).spec.max_steps == 12
    assert "mine" in envs.names() and envs.describe()["mine"] == "short"
    with pytest.raises(InputError, match="already registered"):
        envs.register("mine", CartPole)
    envs.register("mine", "jaxrl_envs.control:Pendulum", replace=True)
    assert envs.make("mine").spec.name == "Pendulum-v1"
    with pytest.raises(InputError, match="module:attribute"):
        envs.register("other", "nothing")


def test_describe_one():
    facts = jaxrl_envs.describe("CartPole-v1")
    assert facts["max_steps"] == 500 and facts["reward_terms"] == ["alive"]


def test_importing_the_registry_imports_no_world():
    code = (
        "import sys, jaxrl_envs; jaxrl_envs.names(); "
        "assert 'jaxrl_envs.control' not in sys.modules; "
        "assert not {'gymnasium', 'brax', 'gymnax', 'mujoco'} & set(sys.modules)"
    )
    import os

    path = os.pathsep.join(entry for entry in sys.path if entry)
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


def test_time_limit_truncates_and_keeps_params():
    env = TimeLimit(jaxrl_envs.make("Pendulum-v1"), 3)
    params = env.default_params()
    params = params.replace(reward=0.5 * params.reward)
    state, _ = env.reset(jax.random.key(0), params)
    flags = []
    for count in range(3):
        state, timestep = env.step(jax.random.key(count), state, jnp.zeros((1,)), params)
        flags.append(bool(timestep.truncated))
    assert flags == [False, False, True] and env.spec.max_steps == 3
    with pytest.raises(ValueError, match="max_steps"):
        TimeLimit(env, 0)


def test_scale_action_maps_to_the_bounds():
    inner = jaxrl_envs.make("Pendulum-v1")
    env = ScaleAction(inner)
    params = env.default_params()
    state, _ = env.reset(jax.random.key(0), params)
    one, _ = env.step(jax.random.key(1), state, jnp.full((1,), 0.5), params)
    other, _ = inner.step(jax.random.key(1), state, jnp.full((1,), 1.0), params)
    assert one.theta_dot == other.theta_dot
    assert env.spec.action_space == Box(-1.0, 1.0, (1,))
    with pytest.raises(ValueError, match="finite bounds"):
        ScaleAction(jaxrl_envs.make("CartPole-v1"))


def test_action_repeat_adds_rewards_and_stops_at_the_end():
    inner = jaxrl_envs.make("CartPole-v1")
    env = ActionRepeat(inner, 4)
    params = env.default_params()
    state, first = env.reset(jax.random.key(0), params)
    assert env.spec.max_steps == 125
    step = jax.jit(env.step)
    total = 0.0
    timestep = first
    while not timestep.done:
        state, timestep = step(jax.random.key(0), state, jnp.asarray(1), params)
        total += float(timestep.reward)
    assert total == int(state.time) and total % 4 != 0
    assert float(timestep.terms["alive"]) == float(timestep.reward)


class DictWorld:
    """CartPole with its observation in parts."""

    def __init__(self):
        self.inner = CartPole()
        space = DictSpace.of(b=Box(-1.0, 2.0, (2, 2)), a=Discrete(3))
        self.spec = self.inner.spec.__class__(
            **{**vars(self.inner.spec), "observation_space": space}
        )

    def default_params(self):
        return self.inner.default_params()

    def _parts(self, timestep):
        obs = {"b": timestep.obs.reshape(2, 2), "a": jnp.asarray(2)}
        return timestep.replace(obs=obs, final_obs=obs)

    def reset(self, key, params):
        state, timestep = self.inner.reset(key, params)
        return state, self._parts(timestep)

    def step(self, key, state, action, params):
        state, timestep = self.inner.step(key, state, action, params)
        return state, self._parts(timestep)


def test_flatten_observation_joins_parts_in_order_of_names():
    env = FlattenObservation(DictWorld())
    params = env.default_params()
    state, first = env.reset(jax.random.key(0), params)
    _, second = env.step(jax.random.key(0), state, jnp.asarray(0), params)
    plain, _ = CartPole().reset(jax.random.key(0), params)
    values = [plain.x, plain.x_dot, plain.theta, plain.theta_dot]
    np.testing.assert_array_equal(first.obs, [0, 0, 1, *values])
    assert first.obs.dtype == second.final_obs.dtype == jnp.float32
    assert env.spec.observation_space.low == (0, 0, 0, -1, -1, -1, -1)
    assert env.spec.observation_space.high == (1, 1, 1, 2, 2, 2, 2)


def test_many_rewards_in_one_program():
    """A batch of candidate rewards runs under one vmap and one trace."""
    env = jaxrl_envs.make("Pendulum-v1")
    params = env.default_params()
    traces = []

    def total(scale, key):
        traces.append(1)
        mine = params.replace(reward=scale * reward_term(lambda p, a, n: n.theta_dot, name="spin"))
        state, _ = env.reset(key, mine)

        def body(state, now):
            state, timestep = env.step(key, state, jnp.ones((1,)), mine)
            return state, timestep.reward

        return jax.lax.scan(body, state, jnp.arange(5))[1].sum()

    scales = jnp.linspace(-1.0, 1.0, 16)
    out = jax.jit(jax.vmap(total, (0, None)))(scales, jax.random.key(0))
    np.testing.assert_allclose(out, scales * out[-1], rtol=1e-5, atol=1e-6)
    assert len(traces) == 1
