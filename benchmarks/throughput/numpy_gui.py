"""Screens and rewards in NumPy, as a peer for the jitted ones: once as loops, once vectorised.

The loops are what one would write first: paint element after element into slices of a canvas, and
score answer after answer. The vectorised functions do a whole batch per call. All give exactly the
pixels of `jaxrl_envs.gui.render`, and the rewards up to rounding; tests hold them to that.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jaxrl_envs.gui import glyphs
from jaxrl_envs.gui.layout import (
    BUTTON,
    CHECKBOX,
    FIELD,
    FORM,
    ICON,
    IMAGE,
    LINK,
    LIST,
    SLIDER,
    TAB,
)
from jaxrl_envs.gui.render import _STAMPS as STAMPS
from jaxrl_envs.gui.render import _TABLE as COLOURS

_BITS = np.arange(32, dtype=np.uint32)


def to_numpy(layouts: Any) -> Any:
    """A batch of layouts with NumPy leaves."""
    return jax.tree.map(np.asarray, layouts)


def _bitmap(rows: np.ndarray, scale: int) -> np.ndarray:
    bits = (rows[:, None] >> _BITS) & 1 == 1
    return np.kron(bits, np.ones((scale, scale), bool)).astype(bool)


class LoopPainter:
    """Paints one screen at a time, element by element; bitmaps are unpacked once."""

    def __init__(self, config: Any):
        self.config = config
        self._labels = [_bitmap(rows, config.scale) for rows in glyphs.LABEL_ROWS]
        self._stamps = {kind: _bitmap(rows, config.scale) for kind, rows in STAMPS.items()}

    def paint(self, box, kind, label, colour, parent, valid, palette) -> np.ndarray:
        """uint8 `[H, W, 3]` of one screen; arguments are the leaves of a `Layout`."""
        config = self.config
        table = {name: values[palette] for name, values in COLOURS.items()}
        canvas = np.full((config.height, config.width), table["desktop"][0], np.uint32)
        ink, surface = table["ink"][0], table["surface"]
        for slot in np.flatnonzero(valid):
            x1, y1, x2, y2 = (int(v) for v in np.round(box[slot]))
            what, named = int(kind[slot]), table["named"][colour[slot]]
            behind = surface[min(int(kind[max(parent[slot], 0)]), FORM)]
            bare = what in (LINK, ICON)
            if what < BUTTON:
                fill, border = surface[min(what, FORM)], table["edge"][0]
            elif what in (BUTTON, IMAGE):
                fill = border = named
            elif bare or what == SLIDER:
                fill = border = behind
            else:
                fill, border = surface[LIST], named
            canvas[y1:y2, x1:x2] = border
            canvas[y1 + 1 : max(y2 - 1, y1 + 1), x1 + 1 : max(x2 - 1, x1 + 1)] = fill
            if what in self._stamps:
                stamp, width = self._stamps[what], 32 if what == SLIDER else 5
            elif label[slot] >= 0:
                stamp, width = self._labels[label[slot]], int(glyphs.LABEL_WIDTH[label[slot]])
            else:
                continue
            drawn = named if bare or what in (CHECKBOX, SLIDER) else ink
            self._stamp(canvas, (x1, y1, x2, y2), what, stamp, width, drawn, bare)
        return canvas.view(np.uint8).reshape(config.height, config.width, 4)[..., :3]

    def _stamp(self, canvas, box, what, stamp, width, drawn, bare) -> None:
        scale = self.config.scale
        x1, y1, x2, y2 = box
        left = x1 + (x2 - x1 - scale * width) // 2
        if what in (FIELD, TAB):
            left = x1 + 2 * scale
        left = min(left, max(x2 - scale * width, x1))
        if what == SLIDER:
            left = x1
        top = y1 + (y2 - y1 - 5 * scale) // 2
        inset = 0 if bare or what == SLIDER else 1
        low_x, high_x = max(left, x1 + inset), min(left + 32 * scale, x2 - inset)
        low_y, high_y = max(top, y1 + inset), min(top + 5 * scale, y2 - inset)
        if high_x > low_x and high_y > low_y:
            part = stamp[low_y - top : high_y - top, low_x - left : high_x - left]
            canvas[low_y:high_y, low_x:high_x][part] = drawn


def render_loop(layouts: Any, painter: LoopPainter) -> np.ndarray:
    """uint8 `[B, H, W, 3]`, one screen after the other."""
    leaves = (
        layouts.box, layouts.kind, layouts.label, layouts.colour, layouts.parent, layouts.valid,
        layouts.palette,
    )  # fmt: skip
    return np.stack([painter.paint(*screen) for screen in zip(*leaves, strict=True)])


def render_vectorised(layouts: Any, config: Any) -> np.ndarray:
    """uint8 `[B, H, W, 3]`, the whole batch at once: sets of slots as bits, as the jitted code."""
    style = _styles(layouts, config)
    box = np.round(layouts.box).astype(np.int32)
    x, y = np.arange(config.width), np.arange(config.height)
    valid = layouts.valid
    covered = _slots(x, box[..., 0], box[..., 2], valid)[:, None, :]
    covered = covered & _slots(y, box[..., 1], box[..., 3], valid)[:, :, None]
    within = _slots(x, box[..., 0] + 1, box[..., 2] - 1, valid)[:, None, :]
    within = within & _slots(y, box[..., 1] + 1, box[..., 3] - 1, valid)[:, :, None]
    top = np.frexp(covered.astype(np.float64))[1] - 1
    slot = np.maximum(top, 0)
    edge = (within >> slot.astype(np.uint32)) & 1 == 0
    screen = np.arange(len(box))[:, None, None]
    row = (y - style["top"][..., None]) // config.scale
    words = np.take_along_axis(style["rows"], np.clip(row, 0, 4), axis=2)
    words = np.where((row >= 0) & (row < 5), words, np.uint32(0))
    word = words[screen, slot, y[:, None]]
    column = (x - style["left"][screen, slot]) // config.scale
    inked = (word >> (column & 31).astype(np.uint32)) & 1 == 1
    inked &= (column >= 0) & (column < 32) & (~edge | style["bare"][screen, slot])
    colour = np.where(edge, style["border"][screen, slot], style["fill"][screen, slot])
    colour = np.where(inked, style["ink"][screen, slot], colour)
    colour = np.where(top >= 0, colour, style["desktop"][:, None, None])
    return colour.view(np.uint8).reshape(*colour.shape, 4)[..., :3]


def _slots(at, low, high, valid) -> np.ndarray:
    inside = (at >= low[..., None]) & (at < high[..., None]) & valid[..., None]
    bits = np.where(inside, (np.uint32(1) << _BITS)[:, None], np.uint32(0))
    return np.bitwise_or.reduce(bits, axis=1)


def _styles(layouts: Any, config: Any) -> dict[str, np.ndarray]:
    kind = layouts.kind
    table = {name: values[layouts.palette] for name, values in COLOURS.items()}
    named = np.take_along_axis(table["named"], layouts.colour, axis=1)
    surface = np.take_along_axis(table["surface"], np.minimum(kind, FORM), axis=1)
    above = np.take_along_axis(kind, np.maximum(layouts.parent, 0), axis=1)
    behind = np.take_along_axis(table["surface"], np.minimum(above, FORM), axis=1)
    bare, panel, slider = (kind == LINK) | (kind == ICON), kind < BUTTON, kind == SLIDER
    filled = (kind == BUTTON) | (kind == IMAGE)
    paper = table["surface"][:, LIST, None]
    fill = np.where(panel, surface, np.where(filled, named, np.where(bare, behind, paper)))
    fill = np.where(slider, behind, fill)
    border = np.where(panel, table["edge"], np.where(bare | slider, fill, named))
    ink = np.where(bare | (kind == CHECKBOX) | slider, named, table["ink"])
    label, shown = np.maximum(layouts.label, 0), layouts.label >= 0
    rows = np.where(shown[..., None], glyphs.LABEL_ROWS[label], np.uint32(0))
    width = np.where(shown, glyphs.LABEL_WIDTH[label], 5)
    for stamped, stamp in STAMPS.items():
        rows = np.where((kind == stamped)[..., None], stamp, rows)
    width = np.where(slider, 32, width)
    box = layouts.box
    size = box[..., 2:] - box[..., :2]
    stamp = config.scale * np.stack([width, np.full_like(width, 5)], axis=-1)
    corner = box[..., :2] + np.floor(0.5 * (size - stamp))
    aligned = (kind == FIELD) | (kind == TAB)
    left = np.where(aligned, box[..., 0] + 2 * config.scale, corner[..., 0])
    left = np.minimum(left, np.maximum(box[..., 2] - stamp[..., 0], box[..., 0]))
    left = np.where(slider, box[..., 0], left)
    return {
        "fill": fill,
        "border": border,
        "ink": ink,
        "bare": bare | slider,
        "rows": rows,
        "left": left.astype(np.int32),
        "top": corner[..., 1].astype(np.int32),
        "desktop": table["desktop"][:, 0],
    }


def rewards_loop(pred: np.ndarray, gt: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Gaussian point + coverage reward per answer `[N]`, one after the other on Python floats."""
    out = []
    for (a1, b1, a2, b2), (c1, d1, c2, d2) in zip(pred.tolist(), gt.tolist(), strict=True):
        width, height, wide, high = a2 - a1, b2 - b1, c2 - c1, d2 - d1
        if width < 0 or height < 0 or wide <= 0 or high <= 0:
            out.append(0.0)
            continue
        dx, dy = 0.5 * (a1 + a2 - c1 - c2), 0.5 * (b1 + b2 - d1 - d2)
        total = math.exp(-0.5 * ((dx / (alpha * wide)) ** 2 + (dy / (alpha * high)) ** 2))
        if width > 0 and height > 0:
            sx = 0.5 * alpha * alpha * (width * width + wide * wide)
            sy = 0.5 * alpha * alpha * (height * height + high * high)
            product = alpha**4 * width * height * wide * high
            distance = 0.125 * (dx * dx / sx + dy * dy / sy)
            total += math.exp(-distance - 0.5 * math.log(sx * sy / product))
        out.append(total)
    return np.asarray(out, np.float32)


def rewards_vectorised(pred: np.ndarray, gt: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """The same for all answers at once, float32 `[N]`."""
    alpha = np.float32(alpha)
    size, target = pred[:, 2:] - pred[:, :2], gt[:, 2:] - gt[:, :2]
    earns = (size >= 0).all(axis=1) & (target > 0).all(axis=1)
    target = np.where(target > 0, target, np.float32(1))
    offset = np.float32(0.5) * (pred[:, 2:] + pred[:, :2] - gt[:, 2:] - gt[:, :2])
    point = np.exp(np.float32(-0.5) * ((offset / (alpha * target)) ** 2).sum(axis=1))
    area = (size > 0).all(axis=1)
    inner = np.where(area[:, None] & (size > 0), size, np.float32(1))
    spread = np.float32(0.5) * alpha * alpha * (inner * inner + target * target)
    distance = np.float32(0.125) * (offset * offset / spread).sum(axis=1)
    shape = np.float32(0.5) * np.log(spread / (alpha * alpha * inner * target)).sum(axis=1)
    total = point + np.where(area, np.exp(-distance - shape), np.float32(0))
    return np.where(earns, total, np.float32(0))
