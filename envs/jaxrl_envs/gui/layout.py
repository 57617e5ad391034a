"""Procedural screens: a window, a title bar, panels, and elements that do not overlap.

Slots are in painting order: 0 the window, 1-4 its panels, 5-28 six elements per panel, 29-31 the
icons of the title bar. What may be drawn is given as numbers (`LayoutParams`), so that training
and held-out screens differ in one axis or in all of them: arrangement, palette, words, size of
elements, density and aspect ratio.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.gui import glyphs
from jaxrl_rewards.core import InputError, record

KINDS = (
    *("window", "toolbar", "list", "grid", "form"),
    *("button", "icon", "checkbox", "field", "slider", "tab", "link", "image"),
)
WINDOW, TOOLBAR, LIST, GRID, FORM = range(5)
BUTTON, ICON, CHECKBOX, FIELD, SLIDER, TAB, LINK, IMAGE = range(5, 13)
COLOURS = ("red", "orange", "green", "blue", "purple", "grey")
ELEMENTS, PANELS, PER_PANEL, FIRST_LEAF, FIRST_TITLE = 32, 4, 6, 5, 29

SHIFTS = ("arrangement", "palette", "words", "size", "density", "aspect")
"""What can be held out, apart or together."""


@dataclasses.dataclass(frozen=True)
class ScreenConfig:
    """Static sizes of a screen."""

    width: int = 64
    height: int = 64
    scale: int = 1
    """Screen pixels per pixel of a glyph."""

    def __post_init__(self):
        if self.scale < 1:
            raise InputError(f"scale must be at least 1, got {self.scale}")
        for name in ("width", "height"):
            if getattr(self, name) < 48 * self.scale:
                raise InputError(
                    f"{name} {getattr(self, name)} is too small for glyphs at scale {self.scale}; "
                    f"use at least {48 * self.scale}"
                )


@record
class LayoutParams:
    """What screens are drawn from. Integers bound half-open ranges."""

    arrangements: Int[Array, "2"]
    palettes: Int[Array, "2"]
    words: Int[Array, "2"]
    size: Float[Array, "2"]
    """Smallest and largest extent of an element, pixels; log-uniform between."""
    density: Float[Array, "2"]
    """Share of places that hold an element, uniform between the bounds."""
    aspect: Float[Array, "2"]
    """Width over height of elements, log-uniform."""
    repeat: Float[Array, ""]
    """Chance that an element repeats its neighbour's label."""


@record
class Layout:
    """A screen: per slot its box in pixels, what it is, and where it hangs."""

    box: Float[Array, "E 4"]
    kind: Int[Array, "E"]
    label: Int[Array, "E"]
    """The word or icon that can be read on it, -1 for none (see `glyphs`)."""
    colour: Int[Array, "E"]
    parent: Int[Array, "E"]
    """Slot of the parent, -1 for the window."""
    depth: Int[Array, "E"]
    valid: Bool[Array, "E"]
    palette: Int[Array, ""]

    @property
    def leaf(self) -> Bool[Array, "E"]:
        """Which slots hold an element that an instruction may name."""
        return self.valid & (self.kind >= BUTTON)


# How the window is cut: three cuts (of the area, of its first part, of its second part) along
# axis 0 (side by side) or 1 (one above the other), the share of the first part, whether each part
# is cut at all, and what the four panels are.
_ARRANGEMENTS = (
    # axes, shares, cut parts, panels
    ((1, 0, 0), (0.30, 0.50, 0.40), (0, 1), (TOOLBAR, TOOLBAR, LIST, FORM)),
    ((1, 0, 0), (0.30, 0.50, 0.55), (0, 1), (TOOLBAR, TOOLBAR, GRID, LIST)),
    ((0, 1, 1), (0.40, 0.50, 0.50), (0, 1), (LIST, LIST, FORM, GRID)),
    ((0, 1, 1), (0.55, 0.45, 0.65), (0, 1), (FORM, FORM, GRID, TOOLBAR)),
    ((1, 0, 0), (0.50, 0.50, 0.50), (1, 1), (GRID, LIST, FORM, LIST)),
    ((1, 0, 0), (0.70, 0.40, 0.50), (1, 0), (LIST, GRID, TOOLBAR, TOOLBAR)),
    ((0, 1, 1), (0.50, 0.35, 0.70), (1, 1), (TOOLBAR, LIST, FORM, TOOLBAR)),
    ((1, 0, 0), (0.45, 0.50, 0.50), (0, 0), (GRID, GRID, FORM, FORM)),
    # held out from here on
    ((0, 1, 1), (0.65, 0.30, 0.50), (1, 0), (TOOLBAR, FORM, LIST, LIST)),
    ((1, 0, 0), (0.60, 0.60, 0.50), (1, 1), (FORM, GRID, TOOLBAR, LIST)),
    ((0, 1, 1), (0.35, 0.50, 0.50), (1, 1), (GRID, GRID, LIST, FORM)),
    ((1, 1, 0), (0.60, 0.40, 0.50), (1, 0), (TOOLBAR, GRID, LIST, LIST)),
)
_AXES, _SHARES, _CUTS, _PANEL_KINDS = (np.array(part) for part in zip(*_ARRANGEMENTS, strict=True))
TRAIN_ARRANGEMENTS, ALL_ARRANGEMENTS = 8, len(_ARRANGEMENTS)
TRAIN_PALETTES, ALL_PALETTES = 4, 6

_LEAF_KINDS = np.array(
    [
        [BUTTON] * 4,  # the window itself holds none
        [ICON, BUTTON, ICON, TAB],
        [LINK, LINK, CHECKBOX, BUTTON],
        [IMAGE, ICON, IMAGE, ICON],
        [FIELD, CHECKBOX, SLIDER, BUTTON],
    ]
)
_TEXT_KINDS = np.isin(np.arange(len(KINDS)), [BUTTON, FIELD, TAB, LINK])
_SQUARE_KINDS = np.isin(np.arange(len(KINDS)), [ICON, CHECKBOX])


def layout_params(unseen: tuple[str, ...] | bool = ()) -> LayoutParams:
    """The numbers of training screens, with the axes in `unseen` (True: all) held out.

    InputError for an unknown axis.
    """
    axes = SHIFTS if unseen is True else tuple(unseen or ())
    unknown = [axis for axis in axes if axis not in SHIFTS]
    if unknown:
        raise InputError(f"nothing called {unknown[0]!r} can be held out; choose among {SHIFTS}")

    def pick(axis, train, held_out, dtype=jnp.float32):
        return jnp.asarray(held_out if axis in axes else train, dtype)

    words = len(glyphs.TRAIN_WORDS)
    return LayoutParams(
        arrangements=pick(
            "arrangement",
            (0, TRAIN_ARRANGEMENTS),
            (TRAIN_ARRANGEMENTS, ALL_ARRANGEMENTS),
            jnp.int32,
        ),
        palettes=pick("palette", (0, TRAIN_PALETTES), (TRAIN_PALETTES, ALL_PALETTES), jnp.int32),
        words=pick("words", (0, words), (words, glyphs.WORDS), jnp.int32),
        size=pick("size", (5.0, 24.0), (3.0, 40.0)),
        density=pick("density", (0.6, 1.0), (0.3, 0.6)),
        aspect=pick("aspect", (1.0, 2.5), (0.5, 1.0)),
        repeat=jnp.asarray(0.2, jnp.float32),
    )


def sample_layout(key: jax.Array, config: ScreenConfig, params: LayoutParams) -> Layout:
    """Draw a screen. All coordinates are whole pixels; elements do not overlap.

    The title bar always shows a cross that no other element shows, so that at least one element
    can be named.
    """
    draw = dict(
        zip(
            _DRAWS,
            _split(jax.random.uniform(key, (sum(_DRAWS.values()),), dtype=jnp.float32)),
            strict=True,
        )
    )
    arrangement = _integer(draw["arrangement"][0], params.arrangements)
    window, area = _window(draw["window"], config)
    panels, panel_valid = _panels(draw["panels"], area, arrangement)
    panel_kind = jnp.asarray(_PANEL_KINDS)[arrangement]
    leaf_kind, leaf_box, leaf_valid = _leaves(draw, config, params, panels, panel_kind, panel_valid)
    title_box, title_valid = _title_icons(window, config)
    label = _labels(draw, params, leaf_kind)
    room = leaf_box[:, 2:] - leaf_box[:, :2]
    extent = config.scale * jnp.stack([jnp.asarray(glyphs.LABEL_WIDTH)[label], 5 + 0 * label], -1)
    frame = jnp.where((leaf_kind == LINK) | (leaf_kind == ICON), 0, 2)
    readable = jnp.all(room >= (extent + frame[:, None]).astype(jnp.float32), axis=-1)
    shows = jnp.asarray(_TEXT_KINDS)[leaf_kind] | (leaf_kind == ICON)
    label = jnp.where(readable & shows, label, -1)
    # A link or an icon is nothing but its label.
    leaf_valid = leaf_valid & (readable | ((leaf_kind != LINK) & (leaf_kind != ICON)))
    leaf_box = jnp.where(leaf_valid[:, None], leaf_box, 0.0)
    slots = np.arange(ELEMENTS)
    parent = np.where(slots < FIRST_LEAF, 0, 1 + (slots - FIRST_LEAF) // PER_PANEL)
    parent = np.where(slots >= FIRST_TITLE, 0, parent)
    title_labels = glyphs.WORDS + np.asarray(glyphs.TITLE_ICONS)
    colour = _integer(draw["colour"], np.array([0, len(COLOURS)]))
    return Layout(
        box=jnp.concatenate([window[None], panels, leaf_box, title_box]),
        kind=jnp.concatenate(
            [jnp.zeros(1, jnp.int32), panel_kind, leaf_kind, jnp.full((3,), ICON)]
        ).astype(jnp.int32),
        label=jnp.concatenate([jnp.full((FIRST_LEAF,), -1), label, title_labels]).astype(jnp.int32),
        colour=colour,
        parent=jnp.asarray(np.where(slots == 0, -1, parent), jnp.int32),
        depth=jnp.asarray(
            np.where(slots == 0, 0, np.where((slots >= FIRST_LEAF) & (slots < FIRST_TITLE), 2, 1)),
            jnp.int32,
        ),
        valid=jnp.concatenate([jnp.ones(1, bool), panel_valid, leaf_valid, title_valid]),
        palette=_integer(draw["palette"][0], params.palettes),
    )


# How many uniform numbers each part of a screen takes. They come from one call: every call of the
# generator costs about a second of compile time.
_LEAVES = PANELS * PER_PANEL
_DRAWS = {"arrangement": 1, "window": 4, "panels": 3, "kind": _LEAVES, "share": PANELS}
_DRAWS |= {"kept": _LEAVES, "place": 2 * _LEAVES, "size": _LEAVES, "aspect": _LEAVES}
_DRAWS |= {"word": glyphs.WORDS, "icon": glyphs.ICONS - len(glyphs.TITLE_ICONS)}
_DRAWS |= {"repeat": _LEAVES, "colour": ELEMENTS, "palette": 1}


def _split(numbers: Float[Array, "N"]) -> list[Array]:
    return jnp.split(numbers, np.cumsum(list(_DRAWS.values()))[:-1])


def _integer(unit: Array, bounds: Array) -> Int[Array, "..."]:
    """Integers in `bounds[0] ... bounds[1] - 1` from uniform numbers in [0, 1)."""
    low, high = (jnp.asarray(bound, jnp.int32) for bound in (bounds[0], bounds[1]))
    span = high - low
    step = jnp.floor(unit * span.astype(jnp.float32)).astype(jnp.int32)
    return low + jnp.minimum(step, span - 1)


def _log_uniform(unit: Array, bounds: Float[Array, "2"]) -> Array:
    low, high = jnp.log(bounds[0]), jnp.log(bounds[1])
    return jnp.exp(low + unit * (high - low))


def _title_height(config: ScreenConfig) -> int:
    return 5 * config.scale + 3


def _window(unit: Float[Array, "4"], config: ScreenConfig) -> tuple[Array, Array]:
    """The window's box and the area below its title bar."""
    full = np.array([config.width, config.height, config.width, config.height], np.float32)
    inset = jnp.floor(unit * full * 0.06)
    x1, y1, x2, y2 = inset[0], inset[1], config.width - inset[2], config.height - inset[3]
    window = jnp.stack([x1, y1, x2, y2])
    return window, jnp.stack([x1 + 1, y1 + _title_height(config), x2 - 1, y2 - 1])


def _cut(box: Array, axis: Array, share: Array) -> tuple[Array, Array]:
    """Two parts of a box, along axis 0 (x) or 1 (y), on a whole pixel."""
    place = jnp.floor(box[:2] + share * (box[2:] - box[:2]))
    along = jnp.arange(2, dtype=jnp.int32) == axis
    first = jnp.concatenate([box[:2], jnp.where(along, place, box[2:])])
    second = jnp.concatenate([jnp.where(along, place, box[:2]), box[2:]])
    return first, second


def _panels(unit: Float[Array, "3"], area: Array, arrangement: Array) -> tuple[Array, Array]:
    axes, cuts = jnp.asarray(_AXES)[arrangement], jnp.asarray(_CUTS)[arrangement] == 1
    share = jnp.asarray(_SHARES, jnp.float32)[arrangement]
    share = share + 0.14 * (unit - 0.5)
    first, second = _cut(area, axes[0], share[0])
    parts = [*_cut(first, axes[1], share[1]), *_cut(second, axes[2], share[2])]
    parts[0] = jnp.where(cuts[0], parts[0], first)
    parts[2] = jnp.where(cuts[1], parts[2], second)
    boxes = jnp.stack(parts) + np.array([[1, 1, -1, -1]], np.float32)
    yes = jnp.ones((), bool)
    return boxes, jnp.stack([yes, cuts[0], yes, cuts[1]])


def _leaves(draw, config: ScreenConfig, params, panels, panel_kind, panel_valid):
    """Kinds `[24]`, boxes `[24, 4]` and which exist, six places per panel."""
    shape = (PANELS, PER_PANEL)
    inner = panels + np.array([[1, 1, -1, -1]], np.float32)
    extent = jnp.maximum(inner[:, 2:] - inner[:, :2], 0.0)
    # One element kind per list keeps rows alike; elsewhere kinds mix.
    choice = _integer(draw["kind"], np.array([0, 4])).reshape(shape)
    choice = jnp.where((panel_kind == LIST)[:, None], choice[:, :1], choice)
    kind = jnp.asarray(_LEAF_KINDS)[panel_kind[:, None], choice].astype(jnp.int32)

    unit = config.scale
    wide = extent[:, 0] >= extent[:, 1]
    room = jnp.floor(extent / (np.array([[9.0, 8.0]], np.float32) * unit))
    bar = panel_kind == TOOLBAR
    grid = panel_kind == GRID
    columns = jnp.where(bar & wide, jnp.minimum(jnp.floor(extent[:, 0] / (13.0 * unit)), 6), 1)
    columns = jnp.where(grid, jnp.minimum(room[:, 0], 3), columns)
    rows = jnp.where(bar & wide, 1, jnp.minimum(room[:, 1], 6))
    rows = jnp.where(grid, jnp.minimum(room[:, 1], 2), rows)
    columns, rows = jnp.maximum(columns, 1.0), jnp.maximum(rows, 1.0)
    cell = jnp.floor(extent / jnp.stack([columns, rows], axis=-1))

    place = jnp.arange(PER_PANEL, dtype=jnp.float32)[None]
    column = place % columns[:, None]
    row = jnp.floor(place / columns[:, None])
    origin = inner[:, None, :2] + jnp.stack([column, row], axis=-1) * cell[:, None]

    height = _log_uniform(draw["size"].reshape(shape), params.size)
    aspect = _log_uniform(draw["aspect"].reshape(shape), params.aspect)
    text, square = jnp.asarray(_TEXT_KINDS)[kind], jnp.asarray(_SQUARE_KINDS)[kind]
    width = height * jnp.where(square, 1.0, aspect)
    # Text needs room to be read; it gets it where the cell has it.
    longest = 15.0 * unit + 2.0
    width = jnp.where(text, jnp.maximum(width, longest), width)
    width = jnp.where(kind == SLIDER, jnp.maximum(width, 12.0 * unit), width)
    height = jnp.where(text, jnp.clip(height, 5.0 * unit + 2.0, 12.0 * unit), height)
    height = jnp.where(kind == SLIDER, jnp.clip(height, 3.0, 6.0 * unit), height)
    size = jnp.minimum(jnp.stack([width, height], axis=-1), 40.0 * unit)
    side = jnp.min(jnp.minimum(size, cell[:, None] - 1.0), axis=-1, keepdims=True)
    size = jnp.where(square[..., None], side, jnp.minimum(size, cell[:, None] - 1.0))
    size = jnp.floor(size)
    slack = cell[:, None] - size
    corner = origin + jnp.floor(draw["place"].reshape(*shape, 2) * slack)

    low, high = params.density[0], params.density[1]
    share = low + draw["share"][:, None] * (high - low)
    kept = draw["kept"].reshape(shape) < share
    valid = (place < (columns * rows)[:, None]) & kept & panel_valid[:, None]
    valid = valid & jnp.all(size >= 3.0, axis=-1)
    box = jnp.where(valid[..., None], jnp.concatenate([corner, corner + size], axis=-1), 0.0)
    return kind.reshape(-1), box.reshape(-1, 4), valid.reshape(-1)


def _title_icons(window: Array, config: ScreenConfig) -> tuple[Array, Array]:
    side = 5 * config.scale
    right = window[2] - 2 - np.arange(3, dtype=np.float32) * (side + 2)
    top = jnp.full((3,), window[1] + 2, jnp.float32)
    box = jnp.stack([right - side, top, right, top + side], axis=-1)
    return box.astype(jnp.float32), jnp.ones((3,), bool)


def _labels(draw, params: LayoutParams, kind: Int[Array, "L"]) -> Int[Array, "L"]:
    """A word or an icon per element, distinct as far as they last, some repeated on purpose."""
    slot = np.arange(_LEAVES, dtype=np.int32) - (draw["repeat"] < params.repeat).astype(jnp.int32)
    slot = jnp.maximum(slot, 0)
    words = np.arange(glyphs.WORDS)
    allowed = (words >= params.words[0]) & (words < params.words[1])
    order = jnp.argsort(draw["word"] + jnp.where(allowed, 0.0, 2.0)).astype(jnp.int32)
    word = order[slot % jnp.maximum(params.words[1] - params.words[0], 1)]
    icons = len(glyphs.TITLE_ICONS) + jnp.argsort(draw["icon"])
    icon = glyphs.WORDS + icons[slot % icons.shape[0]]
    return jnp.where(kind == ICON, icon, word).astype(jnp.int32)
