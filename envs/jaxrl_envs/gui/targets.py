"""Boxes to point at without a screen around them, and labels that miss them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_envs.gui.actions import decode_box, encode_box
from jaxrl_envs.gui.layout import ScreenConfig, layout_params, sample_layout


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


@dataclasses.dataclass(frozen=True)
class BoxTask:
    """Boxes on an empty square screen, named by coordinate tokens."""

    screen: int
    """Width and height, pixels."""
    bins: int
    """Values of a coordinate token."""
    widths: tuple[float, float]
    heights: tuple[float, float]
    margin: float
    """Room to every border, in sizes of the box."""

    def draw(self, key: jax.Array, count: int) -> Float[Array, "count 4"]:
        """Targets in pixels (`sample_targets`)."""
        return sample_targets(
            key,
            count,
            screen=float(self.screen),
            widths=self.widths,
            heights=self.heights,
            margin=self.margin,
        )

    def label(self, box: Float[Array, "... 4"], shift: Float[Array, "2"]) -> Int[Array, "... 4"]:
        """The nearest tokens of boxes in pixels, displaced by `shift` times their sizes."""
        return encode_box(displace(box, shift), float(self.screen), float(self.screen), self.bins)

    def decode(self, tokens: Int[Array, "... 4"]) -> Float[Array, "... 4"]:
        """Boxes in pixels of tokens."""
        return decode_box(tokens, float(self.screen), float(self.screen), self.bins)


def displace(box: Float[Array, "... 4"], shift: Float[Array, "2"]) -> Float[Array, "... 4"]:
    """Boxes moved by `shift` times their width and height."""
    offset = shift * (box[..., 2:] - box[..., :2])
    return box + jnp.concatenate([offset, offset], axis=-1)


def elements_in_range(
    key: jax.Array,
    screen: ScreenConfig,
    ranges: tuple[tuple[float, float], tuple[float, float]],
    margin: float,
    count: int,
) -> tuple[Any, np.ndarray]:
    """`count` generated layouts, and of each the box `[count, 4]` of one element.

    The first element whose width and height lie in `ranges`, with room of `margin` times its size
    to every border; screens without one come last, with their first element.
    """
    low, high = np.array(ranges, np.float32).T
    sample = jax.jit(jax.vmap(lambda key: sample_layout(key, screen, layout_params())))
    layouts = jax.device_get(sample(jax.random.split(key, 4 * count)))
    size = layouts.box[..., 2:] - layouts.box[..., :2]
    fits = np.all((size >= low) & (size <= high), axis=-1) & layouts.leaf
    edge = np.array([screen.width, screen.height], np.float32) - margin * size
    fits &= np.all((layouts.box[..., :2] >= margin * size) & (layouts.box[..., 2:] <= edge), -1)
    chosen = np.argsort(~fits.any(axis=1), kind="stable")[:count]
    picked = jax.tree.map(lambda leaf: leaf[chosen], layouts)
    return picked, picked.box[np.arange(count), fits[chosen].argmax(axis=1)]
