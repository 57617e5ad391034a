"""Modular chains as tables: policies `[operation, value, next value]`, samples, exact chances."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

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


def chance_of_answer(logits: Float[Array, "o y v"], asked: Questions) -> Float[Array, ""]:
    """Mean over questions of the chance that a sampled solution ends right, exactly."""
    policy, size = jax.nn.softmax(logits), logits.shape[-1]

    def one(start: Array, operations: Array, answer: Array) -> Array:
        def step(chance: Array, operation: Array) -> tuple[Array, None]:
            return chance @ policy[operation], None

        first = jax.nn.one_hot(start, size)
        return jax.lax.scan(step, first, operations)[0][answer]

    return jnp.mean(jax.vmap(one)(*asked))
