"""Boxes to point at without a screen around them, and labels that miss them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def sample_targets(
    key: jax.Array,
    count: int,
    *,
    screen: float,
    widths: tuple[float, float],
    heights: tuple[float, float],
    margin: float,
) -> Float[Array, "count 4"]:
    """Boxes uniform in size and place, at least `margin` times their size from every border.

    The margin leaves room for labels displaced by as much, so that no label is cut off.
    """
    key_size, key_place = jax.random.split(key)
    low = jnp.asarray([widths[0], heights[0]], jnp.float32)
    high = jnp.asarray([widths[1], heights[1]], jnp.float32)
    size = low + (high - low) * jax.random.uniform(key_size, (count, 2), dtype=jnp.float32)
    corner = margin * size
    corner = corner + (screen - 2 * corner - size) * jax.random.uniform(
        key_place, (count, 2), dtype=jnp.float32
    )
    return jnp.concatenate([corner, corner + size], axis=-1)


def displace(box: Float[Array, "... 4"], shift: Float[Array, "2"]) -> Float[Array, "... 4"]:
    """Boxes moved by `shift` times their width and height."""
    offset = shift * (box[..., 2:] - box[..., :2])
    return box + jnp.concatenate([offset, offset], axis=-1)
