"""Shuffled minibatches from a time-major rollout."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrl_rewards.learners.shuffle import ROUNDS, keyed_permutation


def by_shard(batch: Any, shards: int) -> Any:
    """Leaves `[T, B, ...]` to `[S, T*B/S, ...]`; world `b` belongs to shard `b // (B / S)`."""

    def split(leaf: Array) -> Array:
        steps, worlds, *tail = leaf.shape
        leaf = leaf.reshape(steps, shards, worlds // shards, *tail)
        return jnp.moveaxis(leaf, 1, 0).reshape(shards, steps * (worlds // shards), *tail)

    return jax.tree.map(split, batch)


def shuffled_minibatches(key: jax.Array, batch: Any, count: int) -> Any:
    """`count` minibatches of one epoch from leaves `[S, N, ...]`: leaves `[count, S*N/count, ...]`.

    Each shard is shuffled by itself, so that on several devices no step leaves its device.
    """
    shards, size = jax.tree.leaves(batch)[0].shape[:2]
    keys = jax.random.bits(key, (shards, ROUNDS), jnp.uint32)
    order = jax.vmap(lambda words: keyed_permutation(words, size))(keys)

    def split(leaf: Array) -> Array:
        tail = leaf.shape[2:]
        shuffled = jax.vmap(_rows)(leaf, order)
        shuffled = shuffled.reshape(shards, count, size // count, *tail)
        return jnp.moveaxis(shuffled, 1, 0).reshape(count, shards * (size // count), *tail)

    return jax.tree.map(split, batch)


def _rows(rows: Array, order: Array) -> Array:
    return rows.at[order].get(mode="promise_in_bounds", unique_indices=True)
