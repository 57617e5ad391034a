"""Choosing between two pytrees."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def select(condition: jax.Array, if_true: Any, if_false: Any) -> Any:
    """`where` over two pytrees; leaves may have more trailing axes than `condition`, keys too."""

    def one(a: jax.Array, b: jax.Array) -> jax.Array:
        a, b = jnp.asarray(a), jnp.asarray(b)
        return jnp.where(
            condition.reshape(condition.shape + (1,) * (b.ndim - condition.ndim)), a, b
        )

    return jax.tree.map(one, if_true, if_false)
