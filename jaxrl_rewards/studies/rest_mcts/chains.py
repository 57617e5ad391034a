"""Step values of modular chains from answers alone, in tables."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxrl_envs.language.chain_model import Traces
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.credit.step_values import hard_estimates, quality_values, weighted_reward
from jaxrl_rewards.rollout.search import StepModel


@record
class Counts:
    """How often a written step was seen to be right or wrong, by inference; `[o, y, y']`."""

    wrong: Float[Array, "o y v"]
    all: Float[Array, "o y v"]


def count_steps(traces: Traces, size: tuple[int, int]) -> Counts:
    """Steps from prefixes that some right solution shares: wrong where none shares the step too."""
    found = hard_estimates(traces.cells[..., 2], traces.correct)
    told = found[..., :-1].astype(jnp.float32)
    wrong = told * ~found[..., 1:]
    at = tuple(jnp.moveaxis(traces.cells, -1, 0))
    zero = jnp.zeros((*size, size[1]), jnp.float32)
    return Counts(wrong=zero.at[at].add(wrong), all=zero.at[at].add(told))


def wrong_chance(counts: Counts) -> Float[Array, "o y v"]:
    """Chance that a step is wrong, a step never seen counting as wrong in half of two cases."""
    return (counts.wrong + 1.0) / (counts.all + 2.0)


def trace_values(
    cells: Int[Array, "... K 3"], wrong: Float[Array, "o y v"], remember: Any = False
) -> Float[Array, "... K"]:
    """v_k of every step, with m_k = K − k and r_k the chance that the step is wrong; with
    `remember` that some step so far is, since nothing after a wrong step leads to the answer."""
    chance = wrong[tuple(jnp.moveaxis(cells, -1, 0))]
    chance = jnp.where(remember, 1.0 - jnp.cumprod(1.0 - chance, axis=-1), chance)
    steps = cells.shape[-2]
    distance = jnp.arange(steps - 1, -1, -1, dtype=jnp.float32)
    flat = jax.vmap(lambda r: quality_values(distance, r))(chance.reshape(-1, steps))
    return flat.reshape(chance.shape)


def step_model(
    logits: Array, wrong: Array, operations: Int[Array, "K"], remember: Any = False
) -> StepModel:
    """Policy and value of one question as the search takes them; see `root_of`."""
    steps = operations.shape[0]

    def sample(key: jax.Array, state: Any) -> tuple[Any, Any]:
        operation = operations[jnp.minimum(state["depth"], steps - 1)]
        nxt = jax.random.categorical(key, logits[operation, state["y"]]).astype(jnp.int32)
        right = 1.0 - wrong[operation, state["y"], nxt]
        sound = jnp.where(remember, state["sound"] * right, right)
        distance = (steps - 1 - state["depth"]).astype(jnp.float32)
        moved = state["v"] + weighted_reward(state["v"], distance, 1.0 - sound)
        return nxt, {
            "y": nxt,
            "depth": state["depth"] + 1,
            "v": jnp.maximum(moved, 0.0),
            "sound": sound,
        }

    return StepModel(sample, lambda state: state["v"], lambda state: state["depth"] >= steps)


def root_of(start: Int[Array, ""]) -> dict[str, Array]:
    """The empty solution."""
    zero = jnp.zeros((), jnp.float32)
    depth = jnp.zeros((), jnp.int32)
    return {"y": start.astype(jnp.int32), "depth": depth, "v": zero, "sound": zero + 1.0}


def imitate(
    logits: Float[Array, "o y v"], traces: Traces, chosen: Bool[Array, "Q n"]
) -> Float[Array, "o y v"]:
    """The table that is likeliest given the chosen traces, the old policy counting as one step in
    each cell."""
    weight = jnp.broadcast_to(chosen[..., None], traces.right.shape).astype(jnp.float32)
    counts = jax.nn.softmax(logits).at[tuple(jnp.moveaxis(traces.cells, -1, 0))].add(weight)
    return jnp.log(counts)
