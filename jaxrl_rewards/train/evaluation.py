"""Running a policy on whole episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_rewards.learners.api import seed_axes
from jaxrl_rewards.rewards.base import resolve_schedules


def evaluate_policy(
    learner: Any,
    state: Any,
    env: Any,
    env_params: Any,
    key: jax.Array,
    episodes: int,
    max_steps: int | None = None,
    deterministic: bool = True,
) -> dict[str, Any]:
    """Play `episodes` episodes side by side and sum up each of them to its end.

    Args:
      learner: its `act(state, obs, carry, key, deterministic)` is the policy. A recurrent carry
        starts as zeros of the structure that `act` returns for a carry of None.
      state: one `LearnerState` (no seed axis).
      env: a world, without auto-reset.
      env_params: the world's params; their reward is the one that is summed, its schedules as
        they stand at `state.step`.
      key: a typed key; the same key gives the same episodes.
      episodes: how many, >= 1 (static).
      max_steps: cut after this many steps (static); `env.spec.max_steps` when None.
      deterministic: whether the policy takes its mode.

    Returns:
      `return` (mean, undiscounted), `returns` float32 `[episodes]`, `length` (mean), `lengths`
      int32 `[episodes]`, `finished` (share of the episodes that ended by themselves), `terms`
      (mean summed raw reward term per episode, by name), and, where the world's `info` has a
      scalar "success", its mean at the last step as `success` and its values as `successes`.
      Jitted; stops when all episodes have ended. Steps after an episode's end count for nothing.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    limit = env.spec.max_steps if max_steps is None else max_steps
    if limit < 1:
        raise ValueError(f"max_steps must be at least 1, got {limit}")
    play = _compiled(learner.act, env, episodes, limit, deterministic)
    return play(state, resolve_schedules(env_params, state.step), key)


def make_evaluator(
    learner: Any,
    env: Any,
    env_params: Any,
    episodes: int,
    max_steps: int | None = None,
    *,
    deterministic: bool = True,
    num_seeds: int | None = None,
) -> Callable[[Any, jax.Array], dict[str, jax.Array]]:
    """An `evaluate(state, key)` for `runner.run`: scalars, or `[seeds]` with `num_seeds`.

    The result has `return`, `length`, `finished` and, where there is one, `success`. Seeds are
    evaluated on the same episodes' keys.
    """

    def evaluate(state: Any, key: jax.Array) -> dict[str, jax.Array]:
        def one(single: Any) -> dict[str, Any]:
            return evaluate_policy(
                learner, single, env, env_params, key, episodes, max_steps, deterministic
            )

        result = one(state) if num_seeds is None else jax.vmap(one, in_axes=(seed_axes(),))(state)
        return {name: result[name] for name in _SCALARS if name in result}

    return jax.jit(evaluate)


_SCALARS = ("return", "length", "finished", "success")
_CACHE: dict[tuple, Callable[..., Any]] = {}
_CACHE_SIZE = 32


def _compiled(
    act: Callable, env: Any, episodes: int, limit: int, deterministic: bool
) -> Callable[..., Any]:
    key = (id(act), id(env), episodes, limit, deterministic)
    if key not in _CACHE:
        while len(_CACHE) >= _CACHE_SIZE:
            _CACHE.pop(next(iter(_CACHE)))
        # The closure keeps `act` and `env` alive, so their ids stay theirs while it is cached.
        _CACHE[key] = jax.jit(_player(act, env, episodes, limit, deterministic))
    return _CACHE[key]


def _player(act: Callable, env: Any, episodes: int, limit: int, deterministic: bool) -> Callable:
    def play(state: Any, env_params: Any, key: jax.Array) -> dict[str, Any]:
        key_reset, key_act, key_env = jax.random.split(key, 3)
        indices = jnp.arange(episodes)

        def keys_at(base: jax.Array, time: jax.Array) -> jax.Array:
            return jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(base, i), time))(
                indices
            )

        reset_keys = jax.vmap(lambda i: jax.random.fold_in(key_reset, i))(indices)
        env_state, first = jax.vmap(env.reset, in_axes=(0, None))(reset_keys, env_params)

        def policy(obs: Any, carry: Any, key: jax.Array) -> tuple[Any, Any]:
            return act(state, obs, carry, key, deterministic)

        carry = _initial_carry(policy, first.obs, key_act)
        success = _success(first.info, episodes)
        zero = jnp.zeros((episodes,), jnp.float32)
        totals = {"returns": zero, "terms": {name: zero for name in first.terms}}
        lengths = jnp.zeros((episodes,), jnp.int32)
        ended = jnp.zeros((episodes,), bool)

        def going(loop: tuple) -> jax.Array:
            return (loop[0] < limit) & ~jnp.all(loop[1])

        def step(loop: tuple) -> tuple:
            time, ended, env_state, obs, carry, totals, lengths, success = loop
            action, new_carry = jax.vmap(policy)(obs, carry, keys_at(key_act, time))
            new_state, seen = jax.vmap(env.step, in_axes=(0, 0, 0, None))(
                keys_at(key_env, time), env_state, action, env_params
            )
            gained = {
                "returns": seen.reward.astype(jnp.float32),
                "terms": {name: seen.terms[name].astype(jnp.float32) for name in seen.terms},
            }
            totals = jax.tree.map(
                lambda total, gain: total + jnp.where(ended, 0.0, gain), totals, gained
            )
            lengths = lengths + (~ended).astype(jnp.int32)
            if success is not None:
                success = jnp.where(ended, success, _success(seen.info, episodes))
            env_state, obs, carry = _select(
                ended, (env_state, obs, carry), (new_state, seen.obs, new_carry)
            )
            return time + 1, ended | seen.done, env_state, obs, carry, totals, lengths, success

        loop = (jnp.int32(0), ended, env_state, first.obs, carry, totals, lengths, success)
        _, ended, _, _, _, totals, lengths, success = jax.lax.while_loop(going, step, loop)
        result = {
            "return": totals["returns"].mean(),
            "returns": totals["returns"],
            "length": lengths.astype(jnp.float32).mean(),
            "lengths": lengths,
            "finished": ended.astype(jnp.float32).mean(),
            "terms": {name: total.mean() for name, total in totals["terms"].items()},
        }
        if success is not None:
            result |= {"success": success.mean(), "successes": success}
        return result

    return play


def _select(keep: jax.Array, old: Any, new: Any) -> Any:
    """Leaf by leaf the old value where `keep` `[episodes]` is true, else the new one."""

    def leaf(before: jax.Array, after: jax.Array) -> jax.Array:
        return jnp.where(keep.reshape(keep.shape + (1,) * (after.ndim - 1)), before, after)

    return jax.tree.map(leaf, old, new)


def _initial_carry(policy: Callable, obs: Any, key: jax.Array) -> Any:
    """Zeros of the carry that the policy returns for None, per episode."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(
        jnp.arange(jax.tree.leaves(obs)[0].shape[0])
    )
    shapes = jax.eval_shape(jax.vmap(lambda o, k: policy(o, None, k)[1]), obs, keys)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _success(info: Any, episodes: int) -> jax.Array | None:
    value = info.get("success") if isinstance(info, dict) else None
    if value is None or value.shape != (episodes,):
        return None
    return value.astype(jnp.float32)
