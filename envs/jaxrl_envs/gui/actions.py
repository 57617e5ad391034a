"""From a policy's answer to a box in pixels, and back."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def decode_box(
    tokens: Int[Array, "... 4"], width: float, height: float, bins: int
) -> Float[Array, "... 4"]:
    """Coordinate tokens x1, y1, x2, y2 in `0 ... bins - 1` as pixels.

    Token k means `k / (bins - 1)` of the width or height, so that both borders can be named.
    Tokens outside the range are clipped; reversed corners are kept as they are.
    """
    return _scale(width, height, bins) * jnp.clip(tokens, 0, bins - 1).astype(jnp.float32)


def encode_box(
    box: Float[Array, "... 4"], width: float, height: float, bins: int
) -> Int[Array, "... 4"]:
    """The nearest coordinate tokens of a box in pixels; borders clip it."""
    tokens = jnp.round(box / _scale(width, height, bins))
    return jnp.clip(tokens, 0, bins - 1).astype(jnp.int32)


def decode_point(
    cell: Int[Array, "... 2"], width: float, height: float, bins: int
) -> Float[Array, "... 2"]:
    """Centre in pixels of column `cell[0]` and row `cell[1]` of a grid of `bins` by `bins`."""
    size = np.asarray([width, height], np.float32) / np.float32(bins)
    return (jnp.clip(cell, 0, bins - 1).astype(jnp.float32) + 0.5) * size


def _scale(width: float, height: float, bins: int) -> np.ndarray:
    if bins < 2:
        raise ValueError(f"coordinate tokens need at least 2 bins, got {bins}")
    return np.asarray([width, height, width, height], np.float32) / np.float32(bins - 1)
