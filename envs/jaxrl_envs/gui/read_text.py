"""The text of a screen, line by line and character by character, read by a library.

    lines = read_screen(image).lines            # one pass, whatever is asked afterwards
    lines = ReadingCache("cache").read(image).lines    # kept on disk by the image's hash

RapidOCR (`pip install 'jaxrl-rewards[ocr]'`) reads; its models lie in its wheel. A screen above
3 megapixels is read in overlapping tiles at full size, since the library would halve it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jaxrl_envs.gui.reading_tiles import Tile, join_pieces, keep_core, tiles_of
from jaxrl_envs.gui.screen_text import ScreenText, TextLine
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.extras import require_package
from jaxrl_rewards.core.files import atomic_write_bytes

Engine = Callable[[np.ndarray], Sequence[TextLine]]
"""uint8[H, W, 3] (RGB) -> the lines of text on it."""
MAX_PIXELS = 3_000_000
"""A larger image is read in tiles."""
CACHE_VERSION = 1
PURPOSE = "reading the text of screens"


def ocr_installed() -> bool:
    """Whether the `ocr` extra can be imported."""
    return missing_sentence() is None


def missing_sentence() -> str | None:
    """What to install so that screens can be read; None where it is there."""
    try:
        require_package("rapidocr_onnxruntime", PURPOSE)
    except InputError as error:
        return str(error)
    return None


@functools.lru_cache(maxsize=2)
def rapid_engine(threads: int = 0) -> Engine:
    """RapidOCR as an engine; `threads` per model, 0: the library's choice.

    Raises `InputError` in one sentence where the `ocr` extra is missing.
    """
    require_package("rapidocr_onnxruntime", PURPOSE)
    from rapidocr_onnxruntime import RapidOCR

    options = {"intra_op_num_threads": threads} if threads else {}
    reader = RapidOCR(use_cls=False, max_side_len=4096, **options)

    def read(image: np.ndarray) -> list[TextLine]:
        bgr = np.ascontiguousarray(image[..., ::-1])
        found, _ = reader(bgr, use_cls=False, return_word_box=True)
        return [line for row in found or () if (line := _line(row)) is not None]

    return read


def _line(row: Sequence) -> TextLine | None:
    """A line from the library's row: corners, text, confidence, boxes of characters, those."""
    corners, text, confidence = np.asarray(row[0], np.float64), str(row[1]), float(row[2])
    x1, y1 = corners.min(axis=0)
    x2, y2 = corners.max(axis=0)
    if not text.strip() or x2 <= x1 or y2 <= y1:
        return None
    edges = None
    if len(row) > 4:
        edges = _character_edges(text, row[4], row[3])
    return TextLine.of(text, (x1, y1, x2, y2), confidence, edges)


def _character_edges(text: str, characters: Sequence, boxes: Sequence) -> np.ndarray | None:
    """float32[len(text), 2] left and right edges; None where parts and text disagree."""
    rows = []
    for part, corners in zip(characters, boxes, strict=False):
        low, high = min(x for x, _ in corners), max(x for x, _ in corners)
        cuts = np.linspace(low, high, len(part) + 1)
        rows += list(zip(cuts[:-1], cuts[1:], strict=True))
    if "".join(characters) != text or len(rows) != len(text):
        return None
    return np.array(rows, np.float32)


def read_screen(image: np.ndarray, engine: Engine | None = None) -> ScreenText:
    """Read all text of a screen.

    Args:
        image: uint8[H, W, 3], RGB, any size.
        engine: what reads; RapidOCR when None.

    Returns:
        The lines in reading order (from the top, from the left). An engine that gives nothing
        leaves a screen without lines.

    Raises `InputError` for another array, or where the `ocr` extra is missing.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(
            f"the image has shape {image.shape} and type {image.dtype}; give uint8 [H, W, 3]"
        )
    engine = rapid_engine() if engine is None else engine
    height, width = image.shape[:2]
    if height * width <= MAX_PIXELS:
        lines = list(engine(image))
    else:
        lines = join_pieces(
            [piece for tile in tiles_of(height, width) for piece in _read_tile(image, tile, engine)]
        )
    lines.sort(key=lambda line: (round(line.box[1]), line.box[0]))
    return ScreenText(lines=tuple(lines), width=width, height=height)


def _read_tile(image: np.ndarray, tile: Tile, engine: Engine) -> list[TextLine]:
    pixels = image[tile.top : tile.bottom, tile.left : tile.right]
    shifted = (line.moved(tile.left, tile.top) for line in engine(pixels))
    return [piece for line in shifted for piece in keep_core(line, tile)]


class ReadingCache:
    """Readings kept in a folder, one JSON file per image, named by the hash of its pixels."""

    def __init__(self, folder: str | Path, engine: Engine | None = None):
        self.folder, self.engine = Path(folder), engine

    def path(self, image: np.ndarray) -> Path:
        """Where an image's reading is kept."""
        name = hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
        return self.folder / f"{name.hexdigest()[:32]}-v{CACHE_VERSION}.json"

    def read(self, image: np.ndarray) -> ScreenText:
        """`read_screen`, from the folder where it is kept there; a damaged file is read anew."""
        path = self.path(image)
        try:
            return ScreenText.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            pass
        text = read_screen(image, self.engine)
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(path, json.dumps(text.to_json()).encode("utf-8"))
        return text
