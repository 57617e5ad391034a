"""Vector arithmetic on pytrees of floating-point arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

PyTree = Any


def dot(first: PyTree, second: PyTree) -> Float[Array, ""]:
    """Sum of the products of all entries."""
    parts = jax.tree.map(lambda a, b: jnp.sum(a * b), first, second)
    return sum(jax.tree.leaves(parts), start=jnp.zeros(()))


def norm(tree: PyTree) -> Float[Array, ""]:
    """Euclidean norm of all entries; its gradient at 0 is 0."""
    square = dot(tree, tree)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def combine(first_factor: Any, first: PyTree, second_factor: Any, second: PyTree) -> PyTree:
    """`first_factor * first + second_factor * second`, in the dtypes of the leaves."""
    return jax.tree.map(
        lambda a, b: (first_factor * a + second_factor * b).astype(a.dtype), first, second
    )


def scale(factor: Any, tree: PyTree) -> PyTree:
    """`factor * tree`, in the dtypes of the leaves."""
    return jax.tree.map(lambda leaf: (factor * leaf).astype(leaf.dtype), tree)


def select(condition: Bool[Array, ""], if_true: PyTree, if_false: PyTree) -> PyTree:
    """Entry-wise `where` with one scalar condition."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every floating-point entry is finite."""
    finite = jnp.ones((), bool)
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            finite = finite & jnp.all(jnp.isfinite(leaf))
    return finite
