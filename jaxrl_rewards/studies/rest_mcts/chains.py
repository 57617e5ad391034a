"""Chains of operations modulo 11: a table as policy, and step values from answers alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.credit.step_values import quality_values, weighted_reward
from jaxrl_rewards.rollout.search import StepModel

EASY, HARD, HARD_CELLS, UNEVEN = 0.8, 0.35, 0.3, 0.5
"""Chance of a right step in easy and in hard cells, part of the latter, deviation of logits."""


class Questions(NamedTuple):
    """Chains with their right values."""

    start: Int[Array, "Q"]
    operations: Int[Array, "Q K"]
    answer: Int[Array, "Q"]


class Traces(NamedTuple):
    """Sampled solutions; `[Q, n, K]` and `[Q, n]`."""

    cells: Int[Array, "Q n K 3"]
    """Operation, value before, value written."""
    correct: Bool[Array, "Q n"]
    """The last value is right."""
    right: Bool[Array, "Q n K"]
    """The step is: the exact oracle, used for measurements only."""


@record
class Counts:
    """How often a written step was seen to be right or wrong, by inference; `[o, y, y']`."""

    wrong: Float[Array, "o y v"]
    all: Float[Array, "o y v"]


def start_policy(key: jax.Array, table: np.ndarray) -> Float[Array, "o y v"]:
    """Logits of a policy that is right in `EASY` or `HARD` of the cases and uneven otherwise."""
    keys = jax.random.split(key)
    hard = jax.random.bernoulli(keys[0], HARD_CELLS, table.shape)
    size = table.shape[1]
    chance = jnp.where(hard, HARD, EASY)
    other = UNEVEN * jax.random.normal(keys[1], (*table.shape, size), jnp.float32)
    right = jnp.asarray(np.arange(size) == table[..., None])
    rest = jax.nn.log_softmax(jnp.where(right, -jnp.inf, other), axis=-1)
    return jnp.where(right, jnp.log(chance)[..., None], rest + jnp.log1p(-chance)[..., None])


def draw(key: jax.Array, table: np.ndarray, count: int, steps: int) -> Questions:
    """Random chains."""
    keys = jax.random.split(key)
    start = jax.random.randint(keys[0], (count,), 0, table.shape[1])
    operations = jax.random.randint(keys[1], (count, steps), 0, table.shape[0])
    value = start
    for k in range(steps):
        value = jnp.asarray(table)[operations[:, k], value]
    return Questions(start, operations, value)


def solve(
    key: jax.Array, logits: Float[Array, "o y v"], asked: Questions, table: np.ndarray, count: int
) -> Traces:
    """`count` solutions of every question."""

    def step(value: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        key, operation = inputs
        operation = jnp.broadcast_to(operation[:, None], value.shape)
        nxt = jax.random.categorical(key, logits[operation, value], axis=-1)
        return nxt, jnp.stack([operation, value, nxt], axis=-1)

    start = jnp.broadcast_to(asked.start[:, None], (len(asked.start), count))
    keys = jax.random.split(key, asked.operations.shape[1])
    last, cells = jax.lax.scan(step, start, (keys, asked.operations.T))
    cells = jnp.moveaxis(cells, 0, 2)
    right = jnp.asarray(table)[cells[..., 0], cells[..., 1]] == cells[..., 2]
    return Traces(cells, last == asked.answer[:, None], right)


def hard_estimates(traces: Traces) -> Bool[Array, "Q n K+1"]:
    """Whether some sampled solution that shares the first k steps ends right, for k = 0 ... K."""
    written = traces.cells[..., 2]
    same = written[:, :, None] == written[:, None]  # [Q, n, n, K]
    shared = jnp.cumprod(same, axis=-1) > 0
    shared = jnp.concatenate([jnp.ones_like(shared[..., :1]), shared], axis=-1)
    return jnp.any(shared & traces.correct[:, None, :, None], axis=2)


def count_steps(traces: Traces, size: tuple[int, int]) -> Counts:
    """Steps from prefixes that some right solution shares: wrong where none shares the step too."""
    found = hard_estimates(traces)
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


def chance_of_answer(logits: Float[Array, "o y v"], asked: Questions) -> Float[Array, ""]:
    """Mean over questions of the chance that a sampled solution ends right, exactly."""
    policy, size = jax.nn.softmax(logits), logits.shape[-1]

    def one(start: Array, operations: Array, answer: Array) -> Array:
        def step(chance: Array, operation: Array) -> tuple[Array, None]:
            return chance @ policy[operation], None

        first = jax.nn.one_hot(start, size)
        return jax.lax.scan(step, first, operations)[0][answer]

    return jnp.mean(jax.vmap(one)(*asked))


def imitate(
    logits: Float[Array, "o y v"], traces: Traces, chosen: Bool[Array, "Q n"]
) -> Float[Array, "o y v"]:
    """The table that is likeliest given the chosen traces, the old policy counting as one step in
    each cell."""
    weight = jnp.broadcast_to(chosen[..., None], traces.right.shape).astype(jnp.float32)
    counts = jax.nn.softmax(logits).at[tuple(jnp.moveaxis(traces.cells, -1, 0))].add(weight)
    return jnp.log(counts)
