"""Reading through a kept library: tiles, cache, and what is said where the library is missing.

The engine is a stub, so the `ocr` extra is not needed; one test uses it where it is there.
"""

import importlib.util
import json

import numpy as np
import pytest
from jaxrl_envs.gui import read_text
from jaxrl_envs.gui.reading_tiles import join_pieces, keep_core, tiles_of
from jaxrl_envs.gui.screen_text import ScreenText, TextLine

from jaxrl_rewards.core.errors import InputError


def printed(lines):
    """An engine that reads what lies in its window of a page of `lines`; the page's position is
    written into its first pixels, so that tiles know where they are."""

    def engine(pixels):
        red, green, blue = (int(v) for v in pixels[0, 0])
        left, top = 16 * red + blue // 16, 16 * green + blue % 16
        height, width = pixels.shape[:2]
        found = []
        for text, (x1, y1, x2, y2) in lines:
            line = TextLine.of(text, (x1 - left, y1 - top, x2 - left, y2 - top))
            if line.box[1] >= 0 and line.box[3] <= height:
                inside = [k for k, (a, b) in enumerate(line.edges) if a >= 0 and b <= width]
                if inside:
                    found.append(line.part(inside[0], inside[-1] + 1))
        return found

    return engine


def page_of(height, width):
    """Pixels whose colour says where they are."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x // 16, y // 16, x % 16 * 16 + y % 16], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("size", [(2160, 3840), (1600, 2560), (2880, 5120), (1000, 4000)])
def test_tiles_cover_a_screen_once_and_are_small(size):
    height, width = size
    tiles = tiles_of(height, width)
    y, x = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    points = np.stack([x[::37, ::37].ravel(), y[::37, ::37].ravel()], axis=1)
    cores = np.array([tile.core for tile in tiles])
    owners = (points[:, None] >= cores[:, :2]) & (points[:, None] < cores[:, 2:])
    assert (owners.all(axis=-1).sum(axis=1) == 1).all()
    for tile in tiles:
        assert 0 <= tile.left < tile.right <= width and 0 <= tile.top < tile.bottom <= height
        assert (tile.right - tile.left) * (tile.bottom - tile.top) <= read_text.MAX_PIXELS


def test_a_line_across_tiles_is_read_once_and_whole():
    lines = [
        ("a long heading that runs over all of the screen", (100, 1070, 3700, 1100)),
        ("Save", (1275, 40, 1325, 60)),
        ("bottom", (3000, 2120, 3100, 2140)),
    ]
    found = read_text.read_screen(page_of(2160, 3840), printed(lines)).lines
    assert sorted(line.text for line in found) == sorted(text for text, _ in lines)
    for text, box in lines:
        line = next(line for line in found if line.text == text)
        np.testing.assert_allclose(line.box, box, atol=12)
        assert len(line.edges) == len(text)


def test_a_piece_outside_the_core_is_left_to_the_neighbour():
    left, right = tiles_of(1400, 2400)[:2]
    line = TextLine.of("abcdefghij", (left.core[2] - 50, 10, left.core[2] + 50, 30))
    pieces = [keep_core(line, tile)[0] for tile in (left, right)]
    assert [piece.text for piece in pieces] == ["abcde", "fghij"]
    assert [line.text for line in join_pieces(pieces)] == ["abcdefghij"]


def test_a_letter_that_both_tiles_place_on_their_own_side_counts_once():
    left = TextLine.of("Sa", (100, 10, 120, 30))
    right = TextLine.of("ave", (114, 10, 144, 30))
    assert [line.text for line in join_pieces([left, right])] == ["Save"]


def test_readings_are_kept_by_image_and_damaged_files_read_anew(tmp_path):
    calls = []

    def engine(pixels):
        calls.append(pixels.shape)
        return [TextLine.of("Größe ✓", (3, 4, 50, 16), 0.5)]

    cache = read_text.ReadingCache(tmp_path, engine)
    image = np.zeros((40, 60, 3), np.uint8)
    first, again = cache.read(image), cache.read(image)
    assert len(calls) == 1 and again.lines[0].text == first.lines[0].text == "Größe ✓"
    np.testing.assert_allclose(again.lines[0].edges, first.lines[0].edges, atol=0.06)
    cache.read(image + 1)
    assert len(calls) == 2
    for damage in (b"", b"[]", b'{"lines": [{}]}', b"\xff\xfe"):
        cache.path(image).write_bytes(damage)
        assert cache.read(image).lines[0].text == "Größe ✓"
    assert len(calls) == 6
    assert ScreenText.from_json(json.loads(cache.path(image).read_text())).width == 60


def test_without_the_extra_there_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rapidocr_onnxruntime", None)
    read_text.rapid_engine.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'jaxrl-rewards\[ocr\]'"):
        read_text.read_screen(np.zeros((40, 60, 3), np.uint8))
    read_text.rapid_engine.cache_clear()


def test_other_arrays_are_named():
    with pytest.raises(InputError, match=r"\(40, 60\)"):
        read_text.read_screen(np.zeros((40, 60), np.uint8), lambda pixels: [])


@pytest.mark.slow
def test_the_library_reads_a_drawn_button():
    if importlib.util.find_spec("rapidocr_onnxruntime") is None:
        pytest.skip("the ocr extra is not installed: pip install 'jaxrl-rewards[ocr]'")
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (240, 80), "white")
    ImageDraw.Draw(image).text((60, 30), "Sign in", "black", ImageFont.load_default(18))
    lines = read_text.read_screen(np.asarray(image), read_text.rapid_engine(1)).lines
    assert [line.text.replace(" ", "") for line in lines] == ["Signin"]
    assert 50 < lines[0].box[0] < 70 and len(lines[0].edges) == len(lines[0].text)
