"""A world that breaks is contained by the auto-reset wrapper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs import registry

from jaxrl_rewards.rollout.autoreset import AutoReset, contain


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0"])
def test_a_nan_in_the_state_ends_the_episode_and_does_not_leave_the_world(name):
    env = AutoReset(registry.make(name))
    params = env.prepare(jax.random.key(0), env.env.default_params())
    state, _ = env.reset(jax.random.key(1), params)
    action = jnp.zeros_like(env.spec.action_space.sample(jax.random.key(2)))
    leaves, treedef = jax.tree.flatten(state)
    floats = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert floats
    step = jax.jit(env.step)
    for index in floats:
        broken = list(leaves)
        broken[index] = jnp.full_like(broken[index], jnp.nan)
        after, timestep = step(
            jax.random.key(3), jax.tree.unflatten(treedef, broken), action, params
        )
        for leaf in jax.tree.leaves((after, timestep)):
            assert np.all(np.isfinite(np.asarray(leaf, np.float64))), (name, index)
        assert bool(timestep.terminated)
        assert float(timestep.reward) == 0.0
        assert not any(bool(flag) for flag in timestep.applicable.values())


def test_one_broken_world_leaves_the_others_as_they_were():
    env = AutoReset(registry.make("Pendulum-v1"))
    params = env.prepare(jax.random.key(0), env.env.default_params())
    keys = jax.random.split(jax.random.key(1), 4)
    state, _ = jax.vmap(env.reset, in_axes=(0, None))(keys, params)
    action = jnp.zeros((4, *env.spec.action_space.shape))
    step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, 0, None)))
    healthy = step(keys, state, action, params)
    one_nan = jax.tree.map(
        lambda leaf: leaf.at[2].set(jnp.nan) if leaf.dtype == jnp.float32 else leaf, state
    )
    broken = step(keys, one_nan, action, params)
    for before, after in zip(jax.tree.leaves(healthy), jax.tree.leaves(broken), strict=True):
        rest = np.array([0, 1, 3])
        assert np.array_equal(np.asarray(before)[rest], np.asarray(after)[rest])
    assert bool(broken[1].terminated[2])
    assert not bool(jnp.any(broken[1].terminated[np.array([0, 1, 3])]))


def test_a_healthy_step_passes_unchanged():
    env = registry.make("Pendulum-v1")
    params = env.default_params()
    state, _ = env.reset(jax.random.key(0), params)
    _, timestep = env.step(jax.random.key(1), state, jnp.zeros((1,)), params)
    same = contain(timestep)
    for before, after in zip(jax.tree.leaves(timestep), jax.tree.leaves(same), strict=True):
        assert np.array_equal(before, after)
