"""Auto-reset in its three modes, over a world that shows where it started and how far it went."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import Box, Discrete, EnvSpec, TimeStep, first_timestep, record
from jaxrl_rewards.rollout.autoreset import AutoReset, select

LIMIT, STEPS, WORLDS = 3, 14, 4


@record
class State:
    start: jax.Array
    time: jax.Array
    key: jax.Array


class Walk:
    """Starts at a random number; terminates by action 1, is truncated after `LIMIT` steps."""

    spec = EnvSpec(
        name="walk",
        observation_space=Box(low=0.0, high=10.0, shape=(2,)),
        action_space=Discrete(n=2),
        max_steps=LIMIT,
        term_names=("step",),
    )

    def default_params(self):
        return jnp.zeros(())

    def obs(self, state):
        return jnp.stack([state.start, state.time.astype(jnp.float32)])

    def reset(self, key, params):
        key, start_key = jax.random.split(key)
        start = jax.random.uniform(start_key) + params
        state = State(start=start, time=jnp.int32(0), key=key)
        return state, first_timestep(self.obs(state), ("step",), {})

    def step(self, key, state, action, params):
        state = state.replace(time=state.time + 1)
        obs, one = self.obs(state), jnp.float32(1.0)
        terminated = action == 1
        return state, TimeStep(
            obs=obs,
            reward=one,
            terms={"step": one},
            applicable={"step": jnp.ones((), bool)},
            terminated=terminated,
            truncated=(state.time >= LIMIT) & ~terminated,
            final_obs=obs,
            info={},
        )


@functools.cache
def compiled(mode, pool_size):
    env = AutoReset(Walk(), mode, pool_size)
    params = env.prepare(jax.random.key(99), jnp.zeros(()))

    def one(key, actions):
        reset_key, key = jax.random.split(key)
        state, first = env.reset(reset_key, params)

        def step(state, inputs):
            return env.step(inputs[0], state, inputs[1], params)

        keys = jax.random.split(key, STEPS)
        return first, jax.lax.scan(step, state, (keys, actions))[1]

    return params, jax.jit(jax.vmap(one))


def rollout(mode, seed=0, pool_size=3):
    params, run = compiled(mode, pool_size)
    actions = jnp.zeros((WORLDS, STEPS), jnp.int32).at[:, 4].set(1)
    keys = jax.random.split(jax.random.key(seed), WORLDS)
    return params, *run(keys, actions)


@pytest.mark.parametrize("mode", ["fresh", "pool", "cached"])
def test_ends_continue_from_a_new_start_and_keep_the_true_successor(mode):
    params, first, steps = rollout(mode)
    obs, final = np.asarray(steps.obs), np.asarray(steps.final_obs)
    done = np.asarray(steps.done)
    assert done[:, 2].all() and np.asarray(steps.truncated)[:, 2].all()
    assert np.asarray(steps.terminated)[:, 4].all() and not np.asarray(steps.truncated)[:, 4].any()
    np.testing.assert_array_equal(obs[~done], final[~done])
    assert (obs[done][:, 1] == 0).all() and (final[done][:, 1] > 0).all()
    # Within an episode the start stays; the final observation still shows the episode's own.
    before = np.concatenate([np.asarray(first.obs)[:, None], obs[:, :-1]], axis=1)
    np.testing.assert_array_equal(final[..., 0], before[..., 0])
    np.testing.assert_array_equal(final[..., 1], before[..., 1] + 1)
    assert (np.asarray(steps.reward) == 1).all()

    starts = obs[done][:, 0].reshape(WORLDS, -1)
    if mode == "fresh":
        assert len(np.unique(starts)) == starts.size
    elif mode == "pool":
        pool = np.asarray(params.pool[0].start)
        assert np.isin(starts, pool).all() and len(np.unique(starts)) > 1
    else:
        assert (starts == np.asarray(first.obs)[:, :1]).all()
        assert len(np.unique(starts)) == WORLDS


def test_other_keys_other_starts_and_the_same_key_the_same():
    for mode in ("fresh", "pool"):
        one, again, other = (rollout(mode, seed)[2] for seed in (0, 0, 1))
        np.testing.assert_array_equal(one.obs, again.obs)
        assert not np.array_equal(one.obs, other.obs)


def test_the_pool_is_drawn_from_evenly():
    _, _, steps = rollout("pool", pool_size=2)
    done = np.asarray(steps.done)
    counts = np.unique(np.asarray(steps.obs)[done][:, 0], return_counts=True)[1]
    assert len(counts) == 2 and counts.min() >= 3


def test_select_takes_typed_keys_and_bad_options_are_named():
    keys = jax.random.key(0), jax.random.key(1)
    chosen = jax.jit(select)(jnp.asarray(False), *keys)
    assert jax.random.key_data(chosen).tolist() == jax.random.key_data(keys[1]).tolist()
    with pytest.raises(ValueError, match="'lazy'.*fresh.*pool.*cached"):
        AutoReset(Walk(), "lazy")
    with pytest.raises(ValueError, match="pool_size must be at least 1, got 0"):
        AutoReset(Walk(), "pool", 0)
