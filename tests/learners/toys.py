"""Small worlds for the learners' tests, and how to compare pytrees."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import (
    Box,
    DictSpace,
    Discrete,
    EnvSpec,
    TimeStep,
    first_timestep,
    record,
)
from jaxrl_rewards.learners.acting import actor_critic_policy
from jaxrl_rewards.learners.normaliser import normalise_rewards, seen
from jaxrl_rewards.rewards.base import Reward, reward_term
from jaxrl_rewards.rollout import AutoReset, collect


@record
class WorldParams:
    reward: Reward
    limit: Int[Array, ""]


@record
class WorldState:
    x: Float[Array, ""]
    time: Int[Array, ""]


def position(prev, action, nxt):
    """How far right the step ended."""
    return nxt.x


def effort(prev, action, nxt):
    """1 for a step to the right."""
    return jnp.asarray(action, jnp.float32)


def one(prev, action, nxt):
    """1 per step."""
    return jnp.ones((), jnp.float32)


def finish(state, prev, action, obs, terminated, params) -> TimeStep:
    out = params.reward.evaluate(prev, action, state)
    return TimeStep(
        obs=obs,
        reward=out.total,
        terms=out.terms,
        applicable=out.applicable,
        terminated=terminated,
        truncated=state.time >= params.limit,
        final_obs=obs,
        info={},
    )


class Corridor:
    """Walk by 0.5 left (0) or right (1); |x| > 1 terminates, `limit` steps truncate.

    Observation `[x, time]`. `view` gives a dict observation instead: the actor sees x alone.
    """

    def __init__(self, limit: int = 4, view: bool = False):
        self.limit, self.view = limit, view
        space = Box(-jnp.inf, jnp.inf, (2,))
        if view:
            space = DictSpace.of(part=Box(-jnp.inf, jnp.inf, (1,)), whole=space)
        self.spec = EnvSpec(
            name="corridor",
            observation_space=space,
            action_space=Discrete(2),
            max_steps=limit,
            term_names=("position", "effort"),
        )

    def default_params(self) -> WorldParams:
        reward = 1.0 * reward_term(position) + -0.1 * reward_term(effort)
        return WorldParams(reward=reward, limit=jnp.int32(self.limit))

    def _obs(self, state: WorldState) -> Any:
        whole = jnp.stack([state.x, 0.25 * state.time.astype(jnp.float32)])
        return {"part": whole[:1], "whole": whole} if self.view else whole

    def reset(self, key, params):
        state = WorldState(
            x=jax.random.uniform(key, (), minval=-0.6, maxval=0.6), time=jnp.int32(0)
        )
        return state, first_timestep(self._obs(state), params.reward.names, {})

    def step(self, key, state, action, params):
        nxt = WorldState(x=state.x + 0.5 * (2 * action - 1), time=state.time + 1)
        over = jnp.abs(nxt.x) > 1.0
        return nxt, finish(nxt, state, action, self._obs(nxt), over, params)


class Memory:
    """The first observation is ±1, later ones are 0; after two steps the sign must be named."""

    spec = EnvSpec(
        name="memory",
        observation_space=Box(-1.0, 1.0, (1,)),
        action_space=Discrete(2),
        max_steps=3,
        term_names=("recall",),
    )

    def default_params(self) -> WorldParams:
        def recall(prev, action, nxt):
            right = (action == 1) == (prev.x > 0)
            return jnp.where(nxt.time == 3, right.astype(jnp.float32), 0.0)

        return WorldParams(reward=1.0 * reward_term(recall), limit=jnp.int32(100))

    def reset(self, key, params):
        x = jnp.where(jax.random.bernoulli(key), 1.0, -1.0)
        return WorldState(x=x, time=jnp.int32(0)), first_timestep(x[None], ("recall",), {})

    def step(self, key, state, action, params):
        nxt = state.replace(time=state.time + 1)
        obs = jnp.zeros((1,), jnp.float32)
        return nxt, finish(nxt, state, action, obs, nxt.time >= 3, params)


class Bandit:
    """One step: four arms, the best one depends on a two-dimensional context."""

    spec = EnvSpec(
        name="bandit",
        observation_space=Box(-jnp.inf, jnp.inf, (2,)),
        action_space=Discrete(4),
        max_steps=1,
        term_names=("payoff",),
    )

    def default_params(self) -> WorldParams:
        def payoff(prev, action, nxt):
            angle = jnp.arctan2(prev.x[1], prev.x[0])
            best = jnp.floor((angle + jnp.pi) / (jnp.pi / 2)).astype(jnp.int32)
            return (action == best).astype(jnp.float32)

        return WorldParams(reward=1.0 * reward_term(payoff), limit=jnp.int32(1))

    def reset(self, key, params):
        x = jax.random.normal(key, (2,))
        return WorldState(x=x, time=jnp.int32(0)), first_timestep(x, ("payoff",), {})

    def step(self, key, state, action, params):
        nxt = state.replace(time=state.time + 1)
        return nxt, finish(nxt, state, action, state.x, jnp.ones((), bool), params)


class Clock:
    """Nothing to do: reward 1 per step for ever, cut after `limit` steps. Observation: 1."""

    def __init__(self, limit: int = 10):
        self.limit = limit
        self.spec = EnvSpec(
            name="clock",
            observation_space=Box(0.0, 1.0, (1,)),
            action_space=Discrete(2),
            max_steps=limit,
            term_names=("one",),
        )

    def default_params(self) -> WorldParams:
        return WorldParams(reward=1.0 * reward_term(one), limit=jnp.int32(self.limit))

    def reset(self, key, params):
        obs = jnp.ones((1,), jnp.float32)
        return WorldState(x=obs[0], time=jnp.int32(0)), first_timestep(obs, ("one",), {})

    def step(self, key, state, action, params):
        nxt = state.replace(time=state.time + 1)
        obs = jnp.ones((1,), jnp.float32)
        return nxt, finish(nxt, state, action, obs, jnp.zeros((), bool), params)


def fixed(hparams):
    """The hyper-parameters as strongly typed arrays, so that one compile serves all values."""

    def leaf(value):
        return jnp.asarray(value, jnp.int32 if jnp.result_type(value) == jnp.int32 else jnp.float32)

    return jax.tree.map(lambda x: leaf(x) if hasattr(x, "dtype") else jnp.float32(x), hparams)


def with_weights(hparams, *weights):
    """The hyper-parameters with other weights of the reward's terms."""
    params = hparams.env_params
    leaves = tuple(w if hasattr(w, "is_schedule") else jnp.float32(w) for w in weights)
    reward = params.reward.replace(weights=leaves)
    return hparams.replace(env_params=params.replace(reward=reward))


def arrays(tree) -> list[np.ndarray]:
    """The leaves as NumPy arrays, keys as their data."""
    leaves = []
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        leaves.append(np.asarray(leaf))
    return leaves


def assert_close(actual, expected, rtol=1e-5, atol=1e-6):
    for one_leaf, other in zip(arrays(actual), arrays(expected), strict=True):
        np.testing.assert_allclose(one_leaf, other, rtol=rtol, atol=atol)


def assert_same(actual, expected):
    for one_leaf, other in zip(arrays(actual), arrays(expected), strict=True):
        np.testing.assert_array_equal(one_leaf, other)


def distance(first, second) -> float:
    """Largest difference between two parameter trees."""
    return max(
        float(np.max(np.abs(a - b))) for a, b in zip(arrays(first), arrays(second), strict=True)
    )


def rollout(env, config, network, head, state, hparams):
    """What PPO's next update learns from, and the worlds' own rewards; both time-major."""
    worlds = AutoReset(env, config.auto_reset, pool_size=config.num_envs)
    key = jax.random.split(jax.random.fold_in(state.key, state.step))[0]
    key_pool, key_steps = jax.random.split(key)
    policy = actor_critic_policy(
        state.params, network, head, env.spec, lambda obs: seen(state.normaliser, obs)
    )
    _, played = collect(
        key_steps, worlds, worlds.prepare(key_pool, hparams.env_params), policy, state.env_state,
        config.unroll_length, time_limits=config.time_limits,
    )  # fmt: skip
    _, rewards = normalise_rewards(
        state.normaliser, played, hparams.env_params, jnp.float32(hparams.discount)
    )
    learnt = played.replace(obs=seen(state.normaliser, played.obs), reward=rewards, group=())
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), (learnt, played.reward))
