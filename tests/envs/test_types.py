"""Worlds keep their dtypes under every setting of JAX, promote nothing silently, and pickle."""

import json
import os
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np
import pytest
from jaxrl_envs.wrappers import ActionRepeat, FlattenObservation, TimeLimit

from jaxrl_rewards.core import Box, DictSpace, Discrete, EnvSpec, MultiDiscrete
from tests.learners.toys import Corridor

# Prints, per world, the dtypes of `reset` and of `step`, by path; traces only.
SCRIPT = """
import importlib.util, json, jax, jaxrl_envs
from jaxrl_envs.adapters import from_brax, from_gymnax
makers = {name: (lambda name=name: jaxrl_envs.make(name)) for name in jaxrl_envs.names()}
if importlib.util.find_spec("gymnax"):
    for name in ("CartPole-v1", "Acrobot-v1", "Catch-bsuite"):
        makers[f"gymnax/{name}"] = lambda name=name: from_gymnax(name)
if importlib.util.find_spec("brax"):
    makers["brax"] = lambda: from_brax("inverted_pendulum", backend="spring")

def types(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [f"{jax.tree_util.keystr(path)}: {leaf.dtype}{leaf.shape}" for path, leaf in leaves]

def all_types(make):
    env, key = make(), jax.random.key(0)
    params = jax.eval_shape(env.default_params)
    reset = jax.eval_shape(env.reset, key, params)
    action = jax.eval_shape(env.spec.action_space.sample, key)
    step = jax.eval_shape(env.step, key, reset[0], action, params)
    return [types(reset), types(step), types(params)]

found = {}
for wide in (True, False):
    with jax.enable_x64(wide):
        found[str(wide)] = {name: all_types(make) for name, make in makers.items()}
print(json.dumps(found))
"""


def _types(repository):
    path = os.pathsep.join([str(repository), str(repository / "envs")])
    settings = {"PYTHONPATH": path, "JAX_ENABLE_X64": "1"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


def test_64_bits_change_no_type_of_any_world(repository):
    found = _types(repository)
    wide, usual = found["True"], found["False"]
    assert set(wide) >= set(jaxrl_envs.names())
    for name, found in wide.items():
        assert found[0] == found[1], name
        if not name.startswith(("gymnax", "brax")):  # theirs follow the setting
            assert found == usual[name], name
            assert "64" not in "".join(
                line.split(": ")[-1].split("(")[0] for line in sum(found, [])
            )


@pytest.mark.parametrize("name", jaxrl_envs.names())
def test_worlds_promote_no_dtype_silently(name):
    with jax.numpy_dtype_promotion("strict"):
        _trace(jaxrl_envs.make(name))


@pytest.mark.parametrize("name", jaxrl_envs.names())
def test_worlds_promote_no_rank_silently(name):
    with jax.numpy_rank_promotion("raise"):
        _trace(jaxrl_envs.make(name))


def _trace(env):
    key, params = jax.random.key(0), jax.eval_shape(env.default_params)
    state, _ = jax.eval_shape(env.reset, key, params)
    action = jax.eval_shape(env.spec.action_space.sample, key)
    jax.eval_shape(env.step, key, state, action, params)


@pytest.mark.parametrize("name", jaxrl_envs.names())
def test_worlds_pickle(name):
    env = jaxrl_envs.make(name)
    copied = pickle.loads(pickle.dumps(env))
    assert copied.spec == env.spec and hash(copied.spec) == hash(env.spec)
    params = jax.eval_shape(env.default_params)
    if "retarget" not in name:  # their clips are large, and plain arrays
        params = env.default_params()
        again = pickle.loads(pickle.dumps(params))
        assert jax.tree.structure(again) == jax.tree.structure(params)
        for old, new in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True):
            np.testing.assert_array_equal(old, new)
    old = jax.tree.leaves(jax.eval_shape(env.reset, jax.random.key(0), params))
    new = jax.tree.leaves(jax.eval_shape(copied.reset, jax.random.key(0), params))
    assert [(leaf.shape, leaf.dtype) for leaf in old] == [(leaf.shape, leaf.dtype) for leaf in new]


def test_copied_physics_gives_the_same_bits():
    env = jaxrl_envs.make("planar-retarget", clips=1)
    copied = pickle.loads(pickle.dumps(env.physics))
    control = np.zeros(env.physics.model.nu, np.float32)
    for one, other in zip(
        *(
            jax.tree.leaves(jax.jit(lambda p=p: p.step(p.reset(), control))())
            for p in (env.physics, copied)
        ),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


BOUNDS = [
    (0, 255, jnp.uint8),
    (0, 254, jnp.uint8),
    (1, 255, jnp.uint8),
    (-128, 127, jnp.int8),
    (-3, 2, jnp.int16),
    (0, 65535, jnp.uint16),
    (-(2**31), 2**31 - 1, jnp.int32),
    (2**31 - 3, 2**31 - 1, jnp.int32),
    (-(2**31), -(2**31) + 1, jnp.int32),
    (2**32 - 2, 2**32 - 1, jnp.uint32),
    (5, 5, jnp.int32),
]


@pytest.mark.parametrize("low, high, dtype", BOUNDS)
def test_integer_boxes_give_both_bounds_and_nothing_beyond(low, high, dtype):
    space = Box(low, high, (1 << 14,), dtype)
    values = np.asarray(space.sample(jax.random.key(0)))
    assert values.dtype == dtype
    values = values.astype(np.int64)
    assert values.min() >= low and values.max() <= high
    span = high - low
    if span < 1000:
        assert set(values) == set(range(low, high + 1))
    else:
        assert values.min() < low + span / 100 and values.max() > high - span / 100
    assert bool(space.contains(np.asarray(values, dtype)))


def test_an_integer_just_outside_is_not_contained():
    space = Box(0, 2**31 - 2, (), jnp.int32)
    with jax.numpy_dtype_promotion("strict"):
        assert not space.contains(jnp.asarray(2**31 - 1, jnp.int32))
        assert space.contains(jnp.asarray(2**31 - 2, jnp.int32))


@pytest.mark.parametrize(
    "space",
    [
        Box(-1.0, 1.0, (3,)),
        Box(-np.inf, np.inf, (3,)),
        Box(0, 255, (2, 2), jnp.uint8),
        Discrete(4),
        MultiDiscrete((2, 3)),
    ],
)
def test_samples_keep_the_dtype_of_their_space_under_64_bits(space):
    with jax.enable_x64(True):
        sample = jax.eval_shape(space.sample, jax.random.key(0))
    assert sample.dtype == space.dtype and sample.shape == space.shape


# ---------------------------------------------------------------- valid actions


class Masked(Corridor):
    """A corridor that shows in its observation which of the two ways is shut."""

    def __init__(self):
        super().__init__()
        self.inner_spec = self.spec
        self.spec = EnvSpec(
            name="masked",
            observation_space=DictSpace.of(
                at=self.spec.observation_space, open=Discrete(3), wall=Box(0.0, 1.0, (2, 1))
            ),
            action_space=Discrete(2),
            max_steps=self.spec.max_steps,
            term_names=self.spec.term_names,
            valid_actions=open_ways,
        )

    def reset(self, key, params):
        state, timestep = super().reset(key, params)
        return state, self._shown(state, timestep)

    def step(self, key, state, action, params):
        state, timestep = super().step(key, state, action, params)
        return state, self._shown(state, timestep)

    def _shown(self, state, timestep):
        way = jnp.asarray(state.time % 3, jnp.int32)
        obs = {"at": timestep.obs, "open": way, "wall": jnp.ones((2, 1), jnp.float32)}
        return timestep.replace(obs=obs, final_obs=obs)


def open_ways(obs):
    return jnp.stack([obs["open"] != 1, obs["open"] != 2])


def test_wrappers_carry_valid_actions_and_who_chose():
    env = Masked()
    params = env.default_params()
    inwards = jnp.int32(env.reset(jax.random.key(0), params)[0].x < 0)
    for wrapped in (TimeLimit(env, 3), ActionRepeat(env, 2), FlattenObservation(env)):
        assert pickle.loads(pickle.dumps(wrapped.spec)) == wrapped.spec
        state, first = wrapped.reset(jax.random.key(0), params)
        assert wrapped.spec.valid_actions(first.obs).tolist() == [True, True]
        _, after = wrapped.step(jax.random.key(1), state, inwards, params)
        inner_steps = 2 if isinstance(wrapped, ActionRepeat) else 1
        expected = [inner_steps != 1, inner_steps != 2]
        assert wrapped.spec.valid_actions(after.obs).tolist() == expected
        assert bool(after.chosen)
    assert hash(FlattenObservation(env).spec) == hash(FlattenObservation(Masked()).spec)


def test_repeated_actions_are_chosen_where_any_was():
    class Forced(Corridor):
        def step(self, key, state, action, params):
            state, timestep = super().step(key, state, action, params)
            return state, timestep.replace(chosen=state.time <= 1)

    env = ActionRepeat(Forced(), 2)
    state, _ = env.reset(jax.random.key(0), env.default_params())
    state, timestep = env.step(jax.random.key(1), state, jnp.int32(1), env.default_params())
    assert bool(timestep.chosen)
    _, timestep = env.step(jax.random.key(2), state, jnp.int32(1), env.default_params())
    assert not bool(timestep.chosen)


def test_adapters_show_valid_actions_to_other_libraries():
    pytest.importorskip("gymnasium")
    from jaxrl_envs.adapters import to_gymnasium, to_gymnasium_vector

    single = to_gymnasium(Masked(), seed=0)
    _, info = single.reset()
    assert info["action_mask"].tolist() == [1, 1] and info["action_mask"].dtype == np.int8
    assert single.step(1)[-1]["action_mask"].tolist() == [0, 1]
    several = to_gymnasium_vector(Masked(), 2, seed=0)
    assert several.reset()[1]["action_mask"].tolist() == [[1, 1]] * 2
    assert several.step(np.ones(2, np.int32))[-1]["action_mask"].tolist() == [[0, 1]] * 2


def test_brax_takes_only_valid_actions():
    pytest.importorskip("brax")
    from jaxrl_envs.adapters import to_brax

    taken = []

    class Recorded(Masked):
        def step(self, key, state, action, params):
            taken.append(int(action))
            return super().step(key, state, action, params)

        def _shown(self, state, timestep):
            return timestep.replace(obs=timestep.obs, final_obs=timestep.obs)

        def __init__(self):
            super().__init__()
            import dataclasses

            self.spec = dataclasses.replace(self.inner_spec, valid_actions=only_right)

    env = to_brax(Recorded())
    env.step(env.reset(jax.random.key(0)), jnp.asarray([1.0, -1.0]))
    assert taken == [1]


def only_right(obs):
    return jnp.asarray([False, True])
