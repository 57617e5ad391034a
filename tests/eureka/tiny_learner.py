"""A learner that compiles in a moment: a table, nudged towards actions that were rewarded."""

import jax
import jax.numpy as jnp

from jaxrl_rewards.learners.api import Learner, LearnerState
from jaxrl_rewards.learners.ppo import PPOHParams
from jaxrl_rewards.rollout.autoreset import AutoReset

WORLDS, STEPS = 4, 12


def tiny_learner(env):
    worlds = AutoReset(env)

    def init(key, hparams):
        key_reset, key = jax.random.split(key)
        params = worlds.prepare(key, hparams.env_params)
        keys = jax.random.split(key_reset, WORLDS)
        return LearnerState(
            params=jnp.zeros((env.num_states, env.spec.action_space.n)),
            opt_state=(),
            env_state=jax.vmap(worlds.reset, in_axes=(0, None))(keys, params),
            normaliser=(),
            statistics=jnp.zeros(()),
            skipped=jnp.zeros((), jnp.int32),
            key=key,
            step=jnp.zeros((), jnp.int32),
        )

    def update(state, hparams):
        key = jax.random.fold_in(state.key, state.step)
        params = worlds.prepare(key, hparams.env_params)

        def step(carry, key):
            inner, timestep = carry
            obs = timestep.obs
            action = jax.random.categorical(key, state.params[obs])
            keys = jax.random.split(key, WORLDS)
            inner, nxt = jax.vmap(worlds.step, in_axes=(0, 0, 0, None))(keys, inner, action, params)
            return (inner, nxt), (obs, action, nxt.reward, nxt.done, nxt.terms)

        env_state, out = jax.lax.scan(step, state.env_state, jax.random.split(key, STEPS))
        obs, action, reward, done, terms = out
        finite = jnp.all(jnp.isfinite(reward))
        table = state.params.at[obs, action].add(jnp.where(finite, 0.5 * reward, 0.0))
        episodes = state.statistics + jnp.sum(done)
        metrics = {"episodes": episodes, "reward": jnp.mean(reward)}
        metrics |= {f"term/{name}": jnp.mean(value) for name, value in terms.items()}
        return state.replace(
            params=table,
            env_state=env_state,
            statistics=episodes,
            skipped=state.skipped + ~finite,
            step=state.step + 1,
        ), metrics

    def act(state, obs, carry, key, deterministic=True):
        return jax.random.categorical(key, state.params[obs]), carry

    return Learner(init, update, WORLDS * STEPS, PPOHParams(env_params=env.default_params()), act)
