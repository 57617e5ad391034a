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
    normalised = isinstance(state.normaliser.obs, RunningMoments)
    work = _Cloning(config, worlds, env_params, network, head, expert, normalised)
    key_example, key_rounds = jax.random.split(key)
    actor = state.params["actor"]
    carry = (actor, OPTIMISER.init(actor), state.normaliser.obs, work.memory(key_example, env))

    def one_round(carry, inputs):
        actor, opt_state, moments, memory = carry
        index, key = inputs
        key_pool, key_reset, key_steps, key_fit = jax.random.split(key, 4)
        params = worlds.prepare(key_pool, env_params)
        said = work.ask_along(key_reset, key_steps, index, actor, moments, params)
        moments = update_moments(moments, said[0]) if normalised else moments
        memory = work.remember(memory, said, index)
        (actor, opt_state), losses = work.fit(key_fit, index, actor, opt_state, moments, memory)
        return (actor, opt_state, moments, memory), jnp.mean(losses[-(config.fits // 10 + 1) :])

    inputs = (jnp.arange(config.rounds), jax.random.split(key_rounds, config.rounds))
    (actor, _, moments, _), losses = jax.lax.scan(one_round, carry, inputs)
    return state.replace(
        params={**state.params, "actor": actor},
        normaliser=state.normaliser.replace(obs=moments),
    ), losses


OPTIMISER = adam()


@dataclasses.dataclass(frozen=True)
class _Cloning:
    """The steps of a round."""

    config: CloneConfig
    worlds: AutoReset
    env_params: Any
    network: ActorCritic
    head: ActionHead
    expert: Expert
    normalised: bool

    @property
    def lots(self) -> int:
        """States per round."""
        return self.config.num_envs * self.config.unroll_length

    def memory(self, key: jax.Array, env: Env) -> tuple[Any, Any]:
        """Room for the observations of all rounds and what the expert says to them."""
        world, timestep = jax.eval_shape(env.reset, key, self.env_params)
        wanted = jax.eval_shape(self.expert, world, self.env_params)
        return jax.tree.map(
            lambda leaf: jnp.zeros((self.config.rounds * self.lots, *leaf.shape), leaf.dtype),
            (timestep.obs, wanted),
        )

    def mean_action(self, actor: Any, moments: Any, obs: Any) -> Array:
        """What the policy would do."""
        seen = normalise_observation(moments, obs) if self.normalised else obs
        output, _ = self.network.actor({"actor": actor}, seen, ())
        return self.head.mode(output)

    def ask_along(
        self, key_reset: Any, key_steps: Any, index: Any, actor: Any, moments: Any, params: Any
    ) -> tuple[Any, Any]:
        """Act from fresh starts: the observations met `[T, B, ...]`, and the expert's actions."""
        config, worlds = self.config, self.worlds
        step = jax.vmap(worlds.step, in_axes=(0, 0, 0, None))
        ask = jax.vmap(lambda inner, params: self.expert(inner, params), in_axes=(0, None))
        first = jax.vmap(worlds.reset, in_axes=(0, None))(
            jax.random.split(key_reset, config.num_envs), params
        )

        def act(world, keys):
            inner, timestep = world
            wanted = ask(inner.inner, self.env_params)
            chosen = jnp.where(index == 0, wanted, self.mean_action(actor, moments, timestep.obs))
            nxt = step(keys, inner, self.head.to_env(chosen), params)
            return nxt, (timestep.obs, wanted)

        keys = jax.random.split(key_steps, (config.unroll_length, config.num_envs))
        return jax.lax.scan(act, first, keys)[1]

    def remember(self, memory: Any, said: Any, index: Any) -> Any:
        """The memory with this round's part filled in."""
        flat = jax.tree.map(lambda leaf: leaf.reshape(self.lots, *leaf.shape[2:]), said)
        return jax.tree.map(
            lambda kept, new: jax.lax.dynamic_update_slice_in_dim(kept, new, index * self.lots, 0),
            memory,
            flat,
        )

    def fit(
        self, key: Any, index: Any, actor: Any, opt_state: Any, moments: Any, memory: Any
    ) -> tuple[tuple[Any, Any], Array]:
        """Optimiser steps on states drawn from all rounds so far, and their losses."""
        config = self.config
        rate = config.learning_rate * (1.0 - 0.9 * index / max(config.rounds - 1, 1))

        def step(carry, key):
            actor, opt_state = carry
            rows = jax.random.randint(key, (config.batch,), 0, (index + 1) * self.lots)
            seen, target = jax.tree.map(lambda leaf: leaf[rows], memory)

            def loss_fn(actor):
                return jnp.mean(jnp.square(self.mean_action(actor, moments, seen) - target))

            loss, grads = jax.value_and_grad(loss_fn)(actor)
            actor, opt_state, _, _ = guarded_step(
                OPTIMISER, actor, opt_state, grads, rate, jnp.float32(1.0)
            )
            return (actor, opt_state), loss

        return jax.lax.scan(step, (actor, opt_state), jax.random.split(key, config.fits))
