"""Screens: elements apart from each other, inside their panels, and splits that hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.gui import glyphs
from jaxrl_envs.gui import layout as gui

from jaxrl_rewards.core import InputError

CONFIG = gui.ScreenConfig()
COUNT = 256
SAMPLE = jax.jit(jax.vmap(lambda key, params: gui.sample_layout(key, CONFIG, params), (0, None)))
KEYS = jax.random.split(jax.random.key(0), COUNT)
TRAIN = jax.device_get(SAMPLE(KEYS, gui.layout_params()))
UNSEEN = jax.device_get(SAMPLE(KEYS, gui.layout_params(True)))


@pytest.mark.parametrize("layout", [TRAIN, UNSEEN], ids=["train", "unseen"])
def test_elements_do_not_overlap_and_hang_inside_their_parents(layout):
    box, leaf = layout.box, layout.leaf
    assert np.all(box == np.round(box)) and box.min() >= 0 and box.max() <= 64
    low = np.maximum(box[:, :, None, :2], box[:, None, :, :2])
    high = np.minimum(box[:, :, None, 2:], box[:, None, :, 2:])
    overlap = np.all(high > low, axis=-1) & leaf[:, :, None] & leaf[:, None]
    overlap[:, np.arange(32), np.arange(32)] = False
    assert not overlap.any()
    rows = np.arange(COUNT)[:, None]
    parent = np.maximum(layout.parent, 0)
    outer = box[rows, parent]
    inside = np.all(box[..., :2] >= outer[..., :2], -1) & np.all(box[..., 2:] <= outer[..., 2:], -1)
    assert np.all(inside | ~layout.valid)
    assert np.all(layout.valid[rows, parent] | ~layout.valid), "an element without a parent"
    size = (box[..., 2:] - box[..., :2])[leaf]
    assert size.min() >= 3 and size.max() <= 40
    assert np.all(layout.depth[leaf] >= 1) and leaf.sum(axis=1).min() >= 3


def test_every_kind_and_several_sizes_occur():
    kinds = set(TRAIN.kind[TRAIN.leaf].tolist())
    assert kinds == set(range(gui.BUTTON, len(gui.KINDS)))
    size = (TRAIN.box[..., 2:] - TRAIN.box[..., :2])[TRAIN.leaf]
    assert len(np.unique(size[:, 0])) > 10


def test_labels_are_only_where_they_can_be_read():
    for layout in (TRAIN, UNSEEN):
        shown = layout.label >= 0
        assert not np.any(shown & (layout.kind < gui.BUTTON))
        width = glyphs.LABEL_WIDTH[np.maximum(layout.label, 0)]
        size = layout.box[..., 2:] - layout.box[..., :2]
        fits = (size[..., 0] >= width) & (size[..., 1] >= 5)
        assert np.all(fits | ~shown | ~layout.valid)
        is_icon = layout.label >= glyphs.WORDS
        assert np.all((layout.kind == gui.ICON) == (is_icon | ((layout.kind == gui.ICON) & ~shown)))


def test_splits_hold_out_what_they_say():
    words = len(glyphs.TRAIN_WORDS)

    def used(layout):
        label = layout.label[layout.leaf]
        return label[(label >= 0) & (label < glyphs.WORDS)], layout.palette

    seen, palettes = used(TRAIN)
    held_out, other_palettes = used(UNSEEN)
    assert seen.size and held_out.size and seen.max() < words <= held_out.min()
    assert palettes.max() < gui.TRAIN_PALETTES <= other_palettes.min()
    assert UNSEEN.leaf.sum() < 0.8 * TRAIN.leaf.sum(), "density"
    only = jax.device_get(SAMPLE(KEYS, gui.layout_params(("palette",))))
    assert only.palette.min() >= gui.TRAIN_PALETTES
    np.testing.assert_array_equal(only.box, TRAIN.box)
    np.testing.assert_array_equal(only.label, TRAIN.label)
    assert not set(gui._ARRANGEMENTS[: gui.TRAIN_ARRANGEMENTS]) & set(
        gui._ARRANGEMENTS[gui.TRAIN_ARRANGEMENTS :]
    )


def test_layouts_are_deterministic_and_typed():
    again = jax.device_get(SAMPLE(KEYS, gui.layout_params()))
    jax.tree.map(np.testing.assert_array_equal, again, TRAIN)
    shape = jax.eval_shape(
        lambda key: gui.sample_layout(key, CONFIG, gui.layout_params()), jax.random.key(0)
    )
    assert shape.box.dtype == jnp.float32
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(shape))


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="colour"):
        gui.layout_params(("colour",))
    with pytest.raises(InputError, match="width 20 is too small"):
        gui.ScreenConfig(width=20)
    with pytest.raises(InputError, match="scale"):
        gui.ScreenConfig(scale=0)


def test_glyphs_have_their_sizes_and_differ():
    rows = [tuple(row) for row in glyphs.LABEL_ROWS.tolist()]
    assert len(set(rows)) == glyphs.LABELS
    assert glyphs.word_bitmap("OK").shape == (5, 7)
    assert all(glyphs.icon_bitmap(name).shape == (5, 5) for name in glyphs.ICON_NAMES)
    assert glyphs.LABEL_WIDTH.max() <= 15
    packed = glyphs.pack_rows(glyphs.icon_bitmap("cross"))
    assert packed.tolist() == [0b10001, 0b01010, 0b00100, 0b01010, 0b10001]
    assert set(glyphs.TRAIN_WORDS).isdisjoint(glyphs.UNSEEN_WORDS)
