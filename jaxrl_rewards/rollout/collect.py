"""The one way in which steps are collected: a policy acts in many worlds, for a number of steps.

Every learner collects here, whether its worlds restart when an episode ends (`AutoReset`) or stand
still (`Standstill`); both contain worlds that break.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import TimeStep, Trajectories, record
from jaxrl_rewards.rollout.autoreset import AutoReset
from jaxrl_rewards.rollout.standstill import Standstill

TIME_LIMITS = ("bootstrap", "termination")


class Decision(NamedTuple):
    """What a policy does in every world; leaves `[B, ...]`."""

    action: Any
    log_prob: Float[Array, "B ..."]
    value: Any
    """V of the observation; () without a critic."""
    carry: Any


class Policy(NamedTuple):
    """A network bound to its parameters, over observations `[B, ...]` as worlds show them."""

    act: Callable[[jax.Array, Any, Any], Decision]
    """`(key, obs, carry) -> Decision`."""
    to_env: Callable[[Any], Any]
    """What the world receives for an action."""
    carry: Any
    """Memory at the start of an episode, unbatched; () without."""
    restart: Callable[[Any, Any], Any]
    """`(carry, done [B]) -> carry`: memory of an episode's start where `done`."""
    value: Callable[[Any, Any], Float[Array, "B"]] | None = None
    """`(obs, carry) -> V [B]`; None without a critic."""


@record
class Worlds:
    """Worlds in which a policy acts; leaves `[B, ...]`."""

    state: Any
    timestep: TimeStep
    carry: Any


def start_worlds(
    keys: jax.Array, env: AutoReset | Standstill, env_params: Any, carry: Any
) -> Worlds:
    """Reset one world per key; `carry` is a policy's memory at the start, unbatched."""
    state, timestep = jax.vmap(env.reset, in_axes=(0, None))(keys, env_params)
    return Worlds(state=state, timestep=timestep, carry=repeat(carry, keys.shape[0]))


def repeat(tree: Any, count: int) -> Any:
    """Every leaf `count` times along a new leading axis."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *jnp.shape(leaf))), tree)


def collect(
    key: jax.Array,
    env: AutoReset | Standstill,
    env_params: Any,
    policy: Policy,
    worlds: Worlds,
    steps: int,
    *,
    time_limits: str = "bootstrap",
    keep_info: bool = True,
) -> tuple[Worlds, Trajectories]:
    """`steps` steps in every world: the worlds afterwards, and `Trajectories` `[B, T, ...]`.

    With a critic, `value` and `next_value` are filled in; V of `final_obs` is computed only at
    steps that a time limit cut. `time_limits="termination"` takes such a cut for a termination.
    `keep_info=False` drops the worlds' info. Jittable; `env_params` are those of `env` (prepared,
    for an `AutoReset`).
    """
    env_step = jax.vmap(env.step, in_axes=(0, 0, 0, None))

    def step(worlds: Worlds, keys: tuple[jax.Array, jax.Array]) -> tuple[Worlds, Trajectories]:
        key_action, env_keys = keys
        obs = worlds.timestep.obs
        decision = policy.act(key_action, obs, worlds.carry)
        state, nxt = env_step(env_keys, worlds.state, policy.to_env(decision.action), env_params)
        if time_limits == "termination":
            nxt = nxt.replace(terminated=nxt.done)
        carry = policy.restart(decision.carry, nxt.done)
        position = _position(
            obs, decision, nxt, env.alive(worlds.timestep), _value_at_cut(policy, nxt, decision)
        )
        if not keep_info:
            position = position.replace(info=())
        return Worlds(state=state, timestep=nxt, carry=carry), position

    # All keys at once: a small split inside the loop costs more than the world's step.
    key_actions, key_envs = jax.random.split(key)
    count = worlds.timestep.reward.shape[0]
    keys = (jax.random.split(key_actions, steps), jax.random.split(key_envs, (steps, count)))
    worlds, played = jax.lax.scan(step, worlds, keys)
    if policy.value is not None:
        last = policy.value(worlds.timestep.obs, worlds.carry)
        follows = jnp.concatenate([played.value[1:], last[None]])
        played = played.replace(next_value=jnp.where(played.truncated, played.next_value, follows))
    played = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), played)
    return worlds, played.replace(
        turn=turns_by_step(played), group=jnp.arange(count, dtype=jnp.int32)
    )


def turns_by_step(played: Trajectories) -> Array:
    """Every step of a running episode is a decision unit of its own, numbered from 0."""
    steps = jnp.arange(played.alive.shape[-1], dtype=jnp.int32)
    return jnp.where(played.alive, steps, -1)


def turns_by_forcing(played: Trajectories) -> Array:
    """A unit is a run of positions that the policy chose, between those that the world forced."""
    before = jnp.concatenate([jnp.zeros_like(played.own[..., :1]), played.own[..., :-1]], axis=-1)
    count = jnp.cumsum(played.own & ~before, axis=-1, dtype=jnp.int32)
    return jnp.where(played.own, count - 1, -1)


def _position(
    obs: Any, decision: Decision, nxt: TimeStep, alive: Array, value_at_cut: Any
) -> Trajectories:
    """One step of every world as a record."""
    return Trajectories(
        obs=obs,
        action=decision.action,
        log_prob=decision.log_prob,
        reward=nxt.reward,
        terms=nxt.terms,
        applicable=nxt.applicable,
        terminated=nxt.terminated,
        truncated=nxt.truncated,
        alive=alive,
        own=alive & nxt.chosen & ~nxt.broken,
        broken=nxt.broken,
        turn=(),
        group=(),
        info=nxt.info,
        value=decision.value,
        next_value=value_at_cut,
    )


def _value_at_cut(policy: Policy, nxt: TimeStep, decision: Decision) -> Any:
    """V of `final_obs` where a time limit cut the episode, which most steps do not need; else 0."""
    if policy.value is None:
        return ()
    cut = nxt.truncated & ~nxt.terminated
    value = jax.lax.cond(
        jnp.any(cut),
        lambda: policy.value(nxt.final_obs, decision.carry),
        lambda: jnp.zeros_like(decision.value),
    )
    return jnp.where(cut, value, 0.0)
