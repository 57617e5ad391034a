"""Screens as pixels: depth-ordered compositing in one pass over the pixels."""

from __future__ import annotations

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

from jaxrl_envs.gui import glyphs
from jaxrl_envs.gui.layout import (
    ALL_PALETTES,
    BUTTON,
    CHECKBOX,
    COLOURS,
    ELEMENTS,
    FIELD,
    FORM,
    GRID,
    ICON,
    IMAGE,
    KINDS,
    LINK,
    LIST,
    SLIDER,
    TAB,
    TOOLBAR,
    TRAIN_PALETTES,
    WINDOW,
    Layout,
    ScreenConfig,
)

_HUES = (0.00, 0.09, 0.36, 0.60, 0.78, 0.60)
_PANEL_KINDS = (TOOLBAR, LIST, GRID, FORM)


def _rgb(hue: float, saturation: float, value: float) -> int:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red | green << 8 | blue << 16


def _palette(index: int) -> dict[str, np.ndarray]:
    """Colours as 0xBBGGRR, by what they are of; the held-out palettes are dark."""
    dark = index >= TRAIN_PALETTES
    hue = (0.58, 0.10, 0.33, 0.75, 0.62, 0.02)[index]
    bright = 0.55 if dark else 0.80
    named = [
        _rgb((h + 0.015 * (index % 3 - 1)) % 1.0, 0.0 if name == "grey" else 0.75, bright)
        for h, name in zip(_HUES, COLOURS, strict=True)
    ]
    surface = {
        WINDOW: _rgb(hue, 0.25, 0.18 if dark else 0.93),
        TOOLBAR: _rgb(hue, 0.20, 0.26 if dark else 0.86),
        LIST: _rgb(hue, 0.08, 0.22 if dark else 0.99),
        GRID: _rgb(hue, 0.12, 0.30 if dark else 0.95),
        FORM: _rgb(hue, 0.16, 0.24 if dark else 0.97),
    }
    return {
        "named": np.array(named, np.uint32),
        "surface": np.array([surface.get(k, 0) for k in range(5)], np.uint32),
        "ink": np.array([_rgb(0, 0, 0.95 if dark else 0.1)], np.uint32),
        "edge": np.array([_rgb(hue, 0.15, 0.45 if dark else 0.6)], np.uint32),
        "desktop": np.array([_rgb(hue, 0.5, 0.1 if dark else 0.55)], np.uint32),
    }


_PALETTES = [_palette(index) for index in range(ALL_PALETTES)]
_TABLE = {name: np.stack([p[name] for p in _PALETTES]) for name in _PALETTES[0]}
_STAMPS = {
    CHECKBOX: glyphs.pack_rows(glyphs.bitmap("00001 00011 10110 11100 01000")),
    IMAGE: glyphs.pack_rows(glyphs.bitmap("00011 00011 01000 11101 11111")),
    SLIDER: np.array([0, 24, 2**32 - 1, 24, 0], np.uint32),
}


def render(layout: Layout, config: ScreenConfig) -> UInt8[Array, "H W 3"]:
    """Paint a screen.

    Later slots cover earlier ones. A pixel belongs to a box when its left and upper border do, so
    a box [2, 3, 5, 6] covers columns 2-4 and rows 3-5.

    There are as many slots as an integer has bits, so one AND of a column's and a row's set of
    slots says who covers a pixel, and counting leading zeros says who is on top.
    """
    style = _style(layout, config)
    x = jnp.arange(config.width, dtype=jnp.int32)
    y = jnp.arange(config.height, dtype=jnp.int32)
    box = jnp.round(layout.box).astype(jnp.int32)
    covered = _slots(x, box[:, 0], box[:, 2], layout.valid)
    covered = covered[None] & _slots(y, box[:, 1], box[:, 3], layout.valid)[:, None]
    within = _slots(x, box[:, 0] + 1, box[:, 2] - 1, layout.valid)
    within = within[None] & _slots(y, box[:, 1] + 1, box[:, 3] - 1, layout.valid)[:, None]
    top = 31 - jax.lax.clz(covered).astype(jnp.int32)
    slot = jnp.maximum(top, 0)
    edge = (within >> slot.astype(jnp.uint32)) & 1 == 0

    # A stamp is a set of columns per row, so a pixel is inked when its row's set and its column's
    # bit meet: two look-ups, and a third for the colour. Look-ups are what a pixel costs.
    row = jnp.floor_divide(y[None] - style["top"][:, None], config.scale)
    words = jnp.take_along_axis(style["rows"], jnp.clip(row, 0, 4), axis=1)
    words = jnp.where((row >= 0) & (row < 5), words, jnp.uint32(0))
    column = jnp.floor_divide(x[None] - style["left"][:, None], config.scale)
    bits = jnp.uint32(1) << jnp.clip(column, 0, 31).astype(jnp.uint32)
    bits = jnp.where((column >= 0) & (column < 32), bits, jnp.uint32(0))
    word = _look_up(words, slot * config.height + y[:, None])
    bit = _look_up(bits, slot * config.width + x[None])
    choice = 2 * (word & bit != 0).astype(jnp.int32) + edge.astype(jnp.int32)
    inked_edge = jnp.where(style["bare"], style["ink"], style["border"])
    table = jnp.stack([style["fill"], style["border"], style["ink"], inked_edge], axis=-1)
    table = jnp.append(table, style["desktop"])
    colour = _look_up(table, jnp.where(top >= 0, 4 * slot + choice, table.size - 1))
    return jax.lax.bitcast_convert_type(colour, jnp.uint8)[..., :3]


def _look_up(table: Array, index: Array) -> Array:
    """Entries of the flattened table at indices that are known to lie within it."""
    return table.reshape(-1).at[index].get(mode="promise_in_bounds")


def _slots(at: Array, low: Array, high: Array, valid: Array) -> Array:
    """Per coordinate the set of slots that span it, as bits."""
    inside = (at[None] >= low[:, None]) & (at[None] < high[:, None]) & valid[:, None]
    bits = np.uint32(1) << np.arange(ELEMENTS, dtype=np.uint32)
    return jnp.sum(jnp.where(inside, bits[:, None], jnp.uint32(0)), axis=0, dtype=jnp.uint32)


def _style(layout: Layout, config: ScreenConfig) -> dict[str, Array]:
    """Colours and stamps per slot."""
    kind = layout.kind
    palette = {name: jnp.asarray(table)[layout.palette] for name, table in _TABLE.items()}
    named = palette["named"][layout.colour]
    surface = palette["surface"][jnp.minimum(kind, FORM)]
    parent_kind = kind[jnp.maximum(layout.parent, 0)]
    behind = palette["surface"][jnp.minimum(parent_kind, FORM)]
    ink, edge = palette["ink"][0], palette["edge"][0]
    paper = palette["surface"][LIST]
    filled = (kind == BUTTON) | (kind == IMAGE)
    bare = (kind == LINK) | (kind == ICON)
    panel = kind < BUTTON
    fill = jnp.where(panel, surface, jnp.where(filled, named, jnp.where(bare, behind, paper)))
    fill = jnp.where(kind == SLIDER, behind, fill)
    border = jnp.where(panel, edge, jnp.where(bare | (kind == SLIDER), fill, named))
    coloured_ink = bare | (kind == CHECKBOX) | (kind == SLIDER)
    drawn = jnp.where(coloured_ink, named, ink)

    label = jnp.maximum(layout.label, 0)
    rows = jnp.where(
        (layout.label >= 0)[:, None], jnp.asarray(glyphs.LABEL_ROWS)[label], jnp.uint32(0)
    )
    width = jnp.where(layout.label >= 0, jnp.asarray(glyphs.LABEL_WIDTH)[label], 5)
    for stamped, stamp in _STAMPS.items():
        rows = jnp.where((kind == stamped)[:, None], jnp.asarray(stamp)[None], rows)
    width = jnp.where(kind == SLIDER, 32, width)
    size = layout.box[:, 2:] - layout.box[:, :2]
    stamp = (config.scale * jnp.stack([width, jnp.full_like(width, 5)], axis=-1)).astype(
        jnp.float32
    )
    corner = layout.box[:, :2] + jnp.floor(0.5 * (size - stamp))
    left_aligned = (kind == FIELD) | (kind == TAB)
    left = jnp.where(left_aligned, layout.box[:, 0] + 2 * config.scale, corner[:, 0])
    left = jnp.minimum(left, jnp.maximum(layout.box[:, 2] - stamp[:, 0], layout.box[:, 0]))
    left = jnp.where(kind == SLIDER, layout.box[:, 0], left)
    return {
        "fill": fill,
        "border": border,
        "ink": drawn,
        "bare": bare | (kind == SLIDER),
        "rows": rows,
        "left": left.astype(jnp.int32),
        "top": corner[:, 1].astype(jnp.int32),
        "desktop": palette["desktop"][0],
    }


def kind_names(kind: Int[Array, "..."]) -> list[str]:
    """Names of kinds, for people."""
    return [KINDS[int(k)] for k in jax.device_get(kind).reshape(-1)]
