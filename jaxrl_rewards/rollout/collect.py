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

from jaxrl_rewards.core import Record, TimeStep, Trajectories, record
from jaxrl_rewards.rollout.autoreset import AutoReset
from jaxrl_rewards.rollout.standstill import Standstill

TIME_LIMITS = ("bootstrap", "termination")
AT_ONCE = 2**22
"""Bytes of chance that are drawn before the loop, per seed."""


class Decision(NamedTuple):
    """What a policy does in every world; leaves `[B, ...]`."""

    action: Any
    log_prob: Float[Array, "B ..."]
    value: Any
    """V of the observation; () without a critic."""
    carry: Any


class Policy(NamedTuple):
    """A network bound to its parameters, over observations `[B, ...]` as worlds show them."""

    noise: Callable[[jax.Array, tuple[int, ...]], Any]
    """`(key, lead) -> noise [*lead, ...]`: what chance gives actions, whatever is observed."""
    act: Callable[[Any, Any, Any], Decision]
    """`(noise, obs, carry) -> Decision`."""
    to_env: Callable[[Any], Any]
    """What the world receives for an action."""
    carry: Any
    """Memory at the start of an episode, unbatched; () without."""
    restart: Callable[[Any, Any], Any]
    """`(carry, done [B]) -> carry`: memory of an episode's start where `done`."""
    value: Callable[[Any, Any], Float[Array, "B"]] | None = None
    """`(obs, carry) -> V [B]`; None without a critic."""
    read: Callable[[Any, Any], Any] | None = None
    """`(obs [B, T, ...], valid [B, T]) -> carry [B, ...]`: memory after the first `valid`
    observations of an episode, in one pass; None where there is no such pass."""


@record
class Worlds(Record):
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
    count = worlds.timestep.reward.shape[0]
    advance = jax.vmap(env.advance, in_axes=(0, 0, 0, None))

    def chance(key: jax.Array) -> tuple[Any, Any]:
        """What chance gives one step of all worlds."""
        key_actions, key_envs = jax.random.split(key)
        draws = jax.vmap(env.draw, in_axes=(0, None))
        keys = jax.random.split(key_envs, (count, 2))
        return policy.noise(key_actions, (count,)), draws(keys, env_params)

    def step(worlds: Worlds, drawn: tuple[Any, Any]) -> tuple[Worlds, Trajectories]:
        noise, env_draws = drawn
        obs = worlds.timestep.obs
        decision = policy.act(noise, obs, worlds.carry)
        state, nxt = advance(env_draws, worlds.state, policy.to_env(decision.action), env_params)
        if time_limits == "termination":
            nxt = nxt.replace(terminated=nxt.done)
        carry = policy.restart(decision.carry, nxt.done)
        position = position_of(
            obs, decision, nxt, env.alive(worlds.timestep), _value_at_cut(policy, nxt, decision)
        )
        if not keep_info:
            position = position.replace(info=())
        return Worlds(state=state, timestep=nxt, carry=carry), position

    worlds, played = _scan_by_chance(step, worlds, jax.random.split(key, steps), chance)
    if policy.value is not None:
        last = policy.value(worlds.timestep.obs, worlds.carry)
        follows = jnp.concatenate([played.value[1:], last[None]])
        played = played.replace(next_value=jnp.where(played.truncated, played.next_value, follows))
    played = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), played)
    return worlds, played.replace(
        turn=turns_by_step(played), group=jnp.arange(count, dtype=jnp.int32)
    )


def _scan_by_chance(step: Any, worlds: Worlds, keys: jax.Array, chance: Any) -> Any:
    """`scan(step)` over `chance(key)` of every key.

    All of it is drawn at once where it is small, since a draw inside the loop costs more than many
    a world's step; else step by step. The values are the same.
    """
    shapes = jax.eval_shape(chance, keys[0])
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    if size * keys.shape[0] <= AT_ONCE:
        return jax.lax.scan(step, worlds, jax.vmap(chance)(keys))
    return jax.lax.scan(lambda carry, key: step(carry, chance(key)), worlds, keys)


def turns_by_step(played: Trajectories) -> Array:
    """Every step of a running episode is a decision unit of its own, numbered from 0."""
    steps = jnp.arange(played.alive.shape[-1], dtype=jnp.int32)
    return jnp.where(played.alive, steps, -1)


def turns_by_forcing(played: Trajectories) -> Array:
    """A unit is a run of positions that the policy chose, between those that the world forced."""
    spoken = played.own | (played.alive & played.broken)
    before = jnp.concatenate([jnp.zeros_like(spoken[..., :1]), spoken[..., :-1]], axis=-1)
    count = jnp.cumsum(spoken & ~before, axis=-1, dtype=jnp.int32)
    return jnp.where(spoken, count - 1, -1)


def position_of(
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


@jax.custom_batching.custom_vmap
def _anywhere(flags: Array) -> Array:
    """Whether any flag is set, in any of the seeds that a `vmap` runs side by side.

    One answer for all of them: under `vmap` a `cond` on it stays a branch.
    """
    return jnp.any(flags)


@_anywhere.def_vmap
def _(size: int, in_batched: list[bool], flags: Array) -> tuple[Array, bool]:
    del size, in_batched
    return _anywhere(flags), False


def _value_at_cut(policy: Policy, nxt: TimeStep, decision: Decision) -> Any:
    """V of `final_obs` where a time limit cut the episode, which most steps do not need; else 0."""
    if policy.value is None:
        return ()
    cut = nxt.truncated & ~nxt.terminated
    value = jax.lax.cond(
        _anywhere(cut),
        lambda: policy.value(nxt.final_obs, decision.carry),
        lambda: jnp.zeros_like(decision.value),
    )
    return jnp.where(cut, value, 0.0)
