"""Generated screens: determinism, geometry of boxes and labels, fonts, words."""

import numpy as np
import pytest
from jaxrl_envs.gui.fonts import available_fonts, rasterise_text, text_width
from jaxrl_envs.gui.screen_canvas import IGNORE, Canvas, TextStyle, label_of
from jaxrl_envs.gui.screen_words import make_vocabulary
from jaxrl_envs.gui.synthetic_screens import ScreenConfig, generate_patch, generate_screen

CONFIG = ScreenConfig(words=500, system_fonts=False)


def test_dejavu_alone_is_enough_and_fonts_are_sorted():
    fonts = available_fonts(False)
    names = [font.name for font in fonts]
    assert "dejavusans" in names and all(name.startswith("dejavu") for name in names)
    assert names == sorted(names)
    assert [font.name for font in available_fonts(True)] == sorted(
        font.name for font in available_fonts(True)
    )


def test_same_seed_same_screen_other_seed_other_screen():
    first, again, other = (generate_screen(CONFIG, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.pixels, again.pixels)
    assert first.elements == again.elements
    assert all(np.array_equal(a, b) for a, b in zip(first.labels, again.labels, strict=True))
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize("seed", range(12))
def test_screens_have_visible_elements_inside_and_labels_in_range(seed):
    screen = generate_screen(CONFIG, seed)
    assert screen.pixels.shape == (216, 160, 3) and screen.pixels.dtype == np.uint8
    assert [label.shape for label in screen.labels] == [(54, 80), (27, 40)]
    assert any(element.visible for element in screen.elements)
    for element in screen.elements:
        x1, y1, x2, y2 = element.box
        assert 0 <= x1 < x2 <= 160 and 0 <= y1 < y2 <= 216
        assert element.text == element.text.strip() and element.text
        assert 8 <= element.size <= 28
    for label in screen.labels:
        assert label.min() >= IGNORE and label.max() <= 95


def test_sizes_and_schemes_cover_what_is_promised():
    screens = [generate_screen(CONFIG, seed) for seed in range(60)]
    sizes = [element.size for screen in screens for element in screen.elements]
    assert min(sizes) < 9.5 and max(sizes) > 22
    assert any(np.median(screen.pixels) < 70 for screen in screens)
    texts = {element.text for screen in screens for element in screen.elements}
    assert any(text.isdigit() for text in texts) and any(text.endswith(":") for text in texts)


def test_patches_are_dense_and_deterministic():
    config = ScreenConfig(height=64, width=96, words=500, system_fonts=False)
    patch, again = generate_patch(config, 5), generate_patch(config, 5)
    assert np.array_equal(patch.pixels, again.pixels)
    shares = [np.mean(generate_patch(config, seed).labels[0] > 0) for seed in range(10)]
    assert np.mean(shares) > 0.12


@pytest.mark.parametrize("reduced", [True, False])
def test_labels_spell_the_text_where_it_is_drawn(reduced):
    canvas = Canvas(40, 160, (255.0, 255.0, 255.0))
    style = TextStyle(available_fonts(False)[0], 13.0, (0.0, 0.0, 0.0), reduced)
    x1, y1, x2, y2, visible = canvas.text(20.3, 25, "Submit 4:5", style)
    assert visible and 20 <= x1 <= 21 and y1 < 25 < y2
    rows = [row for row in canvas.labels[0] if (row > 0).any()]
    spelled = "".join(chr(code + 31) for code in rows[0] if code > 0)
    squeezed = "".join(char for i, char in enumerate(spelled) if i == 0 or char != spelled[i - 1])
    assert squeezed == "Submit 4:5"
    dark = np.flatnonzero((canvas.finish()[..., 0] < 128).any(axis=0))
    assert x1 - 1 <= dark.min() and dark.max() <= x2 + 1


def test_text_image_geometry():
    path = available_fonts(False)[0].path
    image = rasterise_text("Hxg", path, 20.0)
    assert image.top < 0 and image.coverage.shape[0] + image.top > 0
    assert 0.9 < image.coverage.max() <= 1.0
    assert np.all(np.diff(image.edges) > 0)
    assert abs(image.edges[-1] - text_width(path, 20.0, "Hxg")) < 0.5
    shifted = rasterise_text("Hxg", path, 20.0, shift=0.5)
    assert abs(shifted.edges[0] - image.edges[0] - 0.5) < 1e-6
    assert rasterise_text("", path, 20.0).coverage.size == 0
    with pytest.raises(ValueError, match="size"):
        rasterise_text("a", path, 0.0)


def test_vocabulary_is_seeded_and_without_copies():
    one, two, other = make_vocabulary(1, 300), make_vocabulary(1, 300), make_vocabulary(2, 300)
    assert one == two and one != other
    assert len(set(one.pseudo_words)) == 300
    generator = np.random.default_rng(0)
    texts = [one.label(generator) for _ in range(400)]
    assert all(text and all(label_of(char) for char in text) for text in texts)


@pytest.mark.parametrize("fields", [{"height": 100}, {"width": 30}, {"dark_share": 2.0}])
def test_impossible_configurations_are_refused(fields):
    with pytest.raises(ValueError):
        ScreenConfig(**fields)
