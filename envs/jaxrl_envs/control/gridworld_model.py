"""The exact tabular model of a grid world, for planning and for gradients through it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_envs.control.gridworld_records import GridWorldParams, GridWorldState

GridWorld = Any
"""A `gridworld.GridWorld`, which stands on this module."""


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """For each state `s` and realised direction `d`, what happens; NumPy arrays."""

    cell: np.ndarray
    """int32 `[S]`."""
    keys: np.ndarray
    terminal: np.ndarray
    entered: np.ndarray
    """int32 `[S, 4]`: cell that direction `d` leads to."""
    next_keys: np.ndarray
    distribution: np.ndarray
    """float32 `[S, 4, S]`: where the agent is next."""


@functools.lru_cache(maxsize=32)
def outcomes(env: GridWorld) -> Outcomes:
    """Enumerate every state and direction of the map."""
    layout, tables = env.layout, env.layout.tables
    sets = 2**tables.num_keys
    cell = np.repeat(np.flatnonzero(~tables.wall), sets)
    keys = np.tile(np.arange(sets), env.num_states // sets)
    ends = tables.goal | (tables.pit if layout.pit_ends else np.zeros_like(tables.pit))
    terminal = ends[cell]
    target = tables.move[cell]
    locked = (tables.door_bit[target] & ~keys[:, None]) != 0
    entered = np.where(locked, cell[:, None], target)
    next_keys = keys[:, None] | tables.key_bit[entered]
    states = np.arange(env.num_states)
    distribution = np.zeros((env.num_states, 4, env.num_states), np.float32)
    for direction in range(4):
        place = entered[:, direction]
        index = tables.free_index[place] * sets + next_keys[:, direction]
        distribution[states, direction, index] = 1.0
        if not layout.pit_ends:
            for state in np.flatnonzero(tables.pit[place]):
                held = int(next_keys[state, direction])
                distribution[state, direction] = start_distribution(env, held)
    distribution[terminal] = 0.0
    distribution[terminal, :, np.flatnonzero(terminal)] = 1.0
    as_int = lambda array: array.astype(np.int32)  # noqa: E731
    return Outcomes(
        cell=as_int(cell),
        keys=as_int(keys),
        terminal=terminal,
        entered=as_int(entered),
        next_keys=as_int(next_keys),
        distribution=distribution,
    )


def start_distribution(env: GridWorld, keys: int) -> np.ndarray:
    """float32 `[S]`: uniform over the starts, with `keys` held."""
    sets = 2**env.layout.tables.num_keys
    result = np.zeros((env.num_states,), np.float32)
    result[env.layout.tables.free_index[env.starts] * sets + keys] = 1.0 / len(env.starts)
    return result


def direction_probabilities(env: GridWorld, params: GridWorldParams) -> Float[Array, "S A 4"]:
    """Probability of each realised direction given state and action; slips clamped to [0, 1]."""
    icy = env.layout.tables.slippery[outcomes(env).cell]
    slip = jnp.clip(jnp.where(icy, params.slip_on_ice, params.slip), 0.0, 1.0)[:, None, None]
    turn = (np.arange(4)[None, :] - np.arange(4)[:, None]) % 4
    straight, sideways = (turn == 0), np.isin(turn, (1, 3))
    return (1.0 - slip) * straight + 0.5 * slip * sideways


def transition_tensor(env: GridWorld, params: GridWorldParams) -> Float[Array, "S A S"]:
    """`P[s, a, s'] = Σ_d p(d | s, a) P(s' | s, d)`."""
    return jnp.einsum(
        "sad,sdz->saz", direction_probabilities(env, params), outcomes(env).distribution
    )


def reward_matrix(env: GridWorld, params: GridWorldParams) -> Float[Array, "S A"]:
    """`R[s, a] = Σ_d p(d | s, a) r(s, a, d)`, 0 in terminal states.

    Where a pit sends the agent back, the reward sees the first start as the place reached.
    """
    model = outcomes(env)

    def score(cell: Any, keys: Any, action: Any, entered: Any, next_keys: Any) -> Array:
        prev, nxt = _states(env, cell, keys, entered, next_keys)
        return params.reward.evaluate(prev, action, nxt).total

    over_directions = jax.vmap(score, in_axes=(None, None, None, 0, 0))
    over_actions = jax.vmap(over_directions, in_axes=(None, None, 0, None, None))
    over_states = jax.vmap(over_actions, in_axes=(0, 0, None, 0, 0))
    actions = jnp.arange(4, dtype=jnp.int32)
    reward = over_states(
        jnp.asarray(model.cell),
        jnp.asarray(model.keys),
        actions,
        jnp.asarray(model.entered),
        jnp.asarray(model.next_keys),
    )
    expected = jnp.sum(direction_probabilities(env, params) * reward, axis=-1)
    return jnp.where(model.terminal[:, None], 0.0, expected)


def _states(env: GridWorld, cell: Any, keys: Any, entered: Any, next_keys: Any) -> tuple[Any, Any]:
    tables = env.layout.tables
    no, zero = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
    fell = jnp.asarray(tables.pit)[entered]
    place = entered if env.layout.pit_ends else jnp.where(fell, int(env.starts[0]), entered)
    prev = GridWorldState(cell=cell, keys=keys, entered=cell, at_goal=no, fell=no, time=zero)
    nxt = GridWorldState(
        cell=place,
        keys=next_keys,
        entered=entered,
        at_goal=jnp.asarray(tables.goal)[entered],
        fell=fell,
        time=zero + 1,
    )
    return prev, nxt
