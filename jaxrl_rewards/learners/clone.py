"""Warm start of a policy by imitation in the states that it visits itself.

DAgger (Ross, Gordon and Bagnell 2011, arXiv 1011.0686): the policy acts, an expert says what it
would have done in each state, and the policy is fitted to all that was said so far. The expert may
look at the world's state; the policy sees its observation alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import Env
from jaxrl_rewards.learners.action_head import ActionHead, action_head
from jaxrl_rewards.learners.api import LearnerState
from jaxrl_rewards.learners.optimise import adam, guarded_step
from jaxrl_rewards.networks.actor_critic import ActorCritic
from jaxrl_rewards.rollout.autoreset import AutoReset
from jaxrl_rewards.rollout.normalise import RunningMoments, normalise_observation, update_moments

Expert = Callable[[Any, Any], Any]
"""`expert(env_state, env_params) -> action`, unbatched."""


@dataclasses.dataclass(frozen=True)
class CloneConfig:
    """Sizes of the warm start."""

    rounds: int = 12
    """Rounds of acting and fitting. In the first the expert acts, from then on the policy."""
    num_envs: int = 512
    unroll_length: int = 16
    """Steps per world and round."""
    fits: int = 200
    """Optimiser steps per round."""
    batch: int = 1024
    """States per optimiser step, drawn from all rounds so far."""
    learning_rate: float = 1e-3
    """Of Adam, falling linearly to a tenth over the rounds."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(
                    f"clone {field.name} must be above 0, got {getattr(self, field.name)}"
                )


def clone_expert(
    key: jax.Array,
    state: LearnerState,
    env: Env,
    env_params: Any,
    network: ActorCritic,
    expert: Expert,
    config: CloneConfig | None = None,
    head: ActionHead | None = None,
) -> tuple[LearnerState, Float[Array, "rounds"]]:
    """`state` with its actor fitted to `expert`, and the mean squared error after each round.

    `state` is that of a learner whose params are `{"actor": ..., "critic": ...}` and whose
    normaliser holds the moments of observations or (); moments are updated with what was seen. Its
    worlds, critic and optimiser are left as they were. Actions are vectors (a Box). Jittable; a
    state that carries memory is not supported.
    """
    config = config or CloneConfig()
    head = head or action_head(env.spec.action_space)
    worlds = AutoReset(env, "pool", pool_size=config.num_envs)
    optimiser = adam()
    normalised = isinstance(state.normaliser.obs, RunningMoments)
    lots = config.num_envs * config.unroll_length
    step = jax.vmap(worlds.step, in_axes=(0, 0, 0, None))
    ask = jax.vmap(lambda inner, params: expert(inner, params), in_axes=(0, None))

    def see(moments: Any, obs: Any) -> Any:
        return normalise_observation(moments, obs) if normalised else obs

    def mean_action(actor: Any, moments: Any, obs: Any) -> Array:
        output, _ = network.actor({"actor": actor}, see(moments, obs), ())
        return head.mode(output)

    def one_round(carry, inputs):
        actor, opt_state, moments, memory = carry
        index, key = inputs
        key_pool, key_reset, key_steps, key_fit = jax.random.split(key, 4)
        params = worlds.prepare(key_pool, env_params)
        first = jax.vmap(worlds.reset, in_axes=(0, None))(
            jax.random.split(key_reset, config.num_envs), params
        )

        def act(world, keys):
            inner, timestep = world
            wanted = ask(inner.inner, env_params)
            chosen = jnp.where(index == 0, wanted, mean_action(actor, moments, timestep.obs))
            nxt = step(keys, inner, head.to_env(chosen), params)
            return nxt, (timestep.obs, wanted)

        keys = jax.random.split(key_steps, (config.unroll_length, config.num_envs))
        _, (obs, wanted) = jax.lax.scan(act, first, keys)
        if normalised:
            moments = update_moments(moments, obs)
        flat = jax.tree.map(lambda leaf: leaf.reshape(lots, *leaf.shape[2:]), (obs, wanted))
        memory = jax.tree.map(
            lambda kept, new: jax.lax.dynamic_update_slice_in_dim(kept, new, index * lots, 0),
            memory,
            flat,
        )
        rate = config.learning_rate * (1.0 - 0.9 * index / max(config.rounds - 1, 1))

        def fit(inner, key):
            actor, opt_state = inner
            rows = jax.random.randint(key, (config.batch,), 0, (index + 1) * lots)
            seen, target = jax.tree.map(lambda leaf: leaf[rows], memory)

            def loss_fn(actor):
                return jnp.mean(jnp.square(mean_action(actor, moments, seen) - target))

            loss, grads = jax.value_and_grad(loss_fn)(actor)
            actor, opt_state, _, _ = guarded_step(
                optimiser, actor, opt_state, grads, rate, jnp.float32(1.0)
            )
            return (actor, opt_state), loss

        (actor, opt_state), losses = jax.lax.scan(
            fit, (actor, opt_state), jax.random.split(key_fit, config.fits)
        )
        return (actor, opt_state, moments, memory), jnp.mean(losses[-(config.fits // 10 + 1) :])

    key_example, key_rounds = jax.random.split(key)
    example_state, example = jax.eval_shape(env.reset, key_example, env_params)
    wanted = jax.eval_shape(expert, example_state, env_params)
    memory = jax.tree.map(
        lambda leaf: jnp.zeros((config.rounds * lots, *leaf.shape), leaf.dtype),
        (example.obs, wanted),
    )
    actor = state.params["actor"]
    carry = (actor, optimiser.init(actor), state.normaliser.obs, memory)
    inputs = (jnp.arange(config.rounds), jax.random.split(key_rounds, config.rounds))
    (actor, _, moments, _), losses = jax.lax.scan(one_round, carry, inputs)
    return state.replace(
        params={**state.params, "actor": actor},
        normaliser=state.normaliser.replace(obs=moments),
    ), losses
