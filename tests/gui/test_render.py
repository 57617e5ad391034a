"""Pixels against a slow painter in NumPy that knows nothing of bit sets."""

import jax
import numpy as np
import pytest
from jaxrl_envs.gui import layout as gui
from jaxrl_envs.gui import render as module

COUNT = 24


def painter(layout, style, config):
    """Paint slot by slot, pixel by pixel."""
    image = np.full((config.height, config.width), style["desktop"], np.uint32)
    for slot in range(gui.ELEMENTS):
        if not layout.valid[slot]:
            continue
        x1, y1, x2, y2 = np.round(layout.box[slot]).astype(int)
        for y in range(max(y1, 0), min(y2, config.height)):
            for x in range(max(x1, 0), min(x2, config.width)):
                edge = x in (x1, x2 - 1) or y in (y1, y2 - 1)
                colour = style["border"][slot] if edge else style["fill"][slot]
                row = (y - style["top"][slot]) // config.scale
                column = (x - style["left"][slot]) // config.scale
                inked = 0 <= row < 5 and 0 <= column < 32
                inked = inked and int(style["rows"][slot][row]) >> int(column) & 1
                if inked and (not edge or style["bare"][slot]):
                    colour = style["ink"][slot]
                image[y, x] = colour
    return np.stack([image >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("config", [gui.ScreenConfig(), gui.ScreenConfig(112, 96, 2)])
def test_pixels_equal_a_plain_painter(config):
    keys = jax.random.split(jax.random.key(1), COUNT)
    sample = jax.jit(
        jax.vmap(lambda key, params: gui.sample_layout(key, config, params), (0, None))
    )
    for unseen in ((), True):
        layouts = sample(keys, gui.layout_params(unseen))
        images = jax.jit(jax.vmap(lambda layout: module.render(layout, config)))(layouts)
        assert images.shape == (COUNT, config.height, config.width, 3)
        assert images.dtype == np.uint8
        styles = jax.device_get(jax.vmap(lambda layout: module._style(layout, config))(layouts))
        layouts, images = jax.device_get((layouts, images))
        for index in range(3):
            one = jax.tree.map(lambda leaf, i=index: leaf[i], (layouts, styles))
            np.testing.assert_array_equal(images[index], painter(*one, config))
        assert len({image.tobytes() for image in images}) == COUNT


@pytest.mark.slow
def test_visible_elements_differ_from_their_background():
    config = gui.ScreenConfig()
    keys = jax.random.split(jax.random.key(2), COUNT)
    layouts = jax.jit(jax.vmap(lambda key: gui.sample_layout(key, config, gui.layout_params())))(
        keys
    )
    images = jax.device_get(jax.vmap(lambda layout: module.render(layout, config))(layouts))
    layouts = jax.device_get(layouts)
    surface = module._TABLE["surface"]
    for index, image in enumerate(images):
        for slot in np.flatnonzero(layouts.leaf[index]):
            x1, y1, x2, y2 = layouts.box[index, slot].astype(int)
            parent = layouts.kind[index, layouts.parent[index, slot]]
            behind = surface[layouts.palette[index], parent] >> np.array([0, 8, 16]) & 255
            assert np.any(image[y1:y2, x1:x2] != behind), "an element that cannot be seen"


def test_palettes_are_distinct_and_held_out_ones_dark():
    table = module._TABLE
    surface = table["surface"][:, gui.WINDOW]
    value = np.max([surface >> shift & 255 for shift in (0, 8, 16)], axis=0)
    assert np.all(value[: gui.TRAIN_PALETTES] > 128) and np.all(value[gui.TRAIN_PALETTES :] < 128)
    for named in table["named"]:
        assert len(set(named.tolist())) == len(gui.COLOURS)
