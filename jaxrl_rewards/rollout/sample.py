"""Samplers: how the answers to prompts come about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrl_rewards.core import Env, Trajectories
from jaxrl_rewards.core.mesh import shard_batch
from jaxrl_rewards.rollout.collect import Policy, Worlds, collect, repeat, turns_by_step
from jaxrl_rewards.rollout.standstill import Standstill

Sampler = Callable[[jax.Array, Policy, Any], Trajectories]
"""`(key, policy, env_params) -> Trajectories` with lead `(prompts, answers)`."""


def independent(
    env: Env,
    num_prompts: int,
    group_size: int,
    horizon: int | None = None,
    *,
    turns: Callable[[Trajectories], Array] = turns_by_step,
) -> Sampler:
    """Reset `num_prompts` worlds, and play each `group_size` times from the same initial state.

    Episodes are cut after `horizon` steps (the world's own limit when None). `turns` numbers the
    decision units.
    """
    world = Standstill(env)
    steps = env.spec.max_steps if horizon is None else horizon

    def sample(key: jax.Array, policy: Policy, env_params: Any) -> Trajectories:
        key_reset, key_play = jax.random.split(key)
        prompts = jax.vmap(world.reset, in_axes=(0, None))(
            jax.random.split(key_reset, num_prompts), env_params
        )
        state, timestep = shard_batch(
            jax.tree.map(lambda leaf: jnp.repeat(leaf, group_size, axis=0), prompts)
        )
        carry = repeat(policy.carry, num_prompts * group_size)
        worlds = Worlds(state=state, timestep=timestep, carry=carry)
        _, played = collect(key_play, world, env_params, policy, worlds, steps)
        played = played.replace(turn=turns(played), group=played.group // group_size)
        return jax.tree.map(
            lambda leaf: leaf.reshape(num_prompts, group_size, *leaf.shape[1:]), played
        )

    return sample
