"""Anti-aliased text for generated screens, rasterised at run time from TrueType fonts.

The fonts are DejaVu as matplotlib ships them (always there), and whatever Latin text fonts the
machine has in the usual folders (Liberation, for example). No glyph is stored in the package.
The list is sorted by file name, so that one machine always gives the same order.

Two rasterisers: "native", which is FreeType at the given size with its hinting and its integer
advances, and "reduced", which draws at four times the size at a sub-pixel offset and averages
4x4 blocks, so that shapes and advances are those of the outline. Browsers do something between.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np

FONT_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
    "/System/Library/Fonts/Supplemental",
    "C:/Windows/Fonts",
)
TEXT_FAMILIES = (
    "arial",
    "calibri",
    "dejavusans",
    "dejavuserif",
    "dejavusansmono",
    "helvetica",
    "inter",
    "liberation",
    "notosans-",
    "notoserif-",
    "notosansmono-",
    "opensans",
    "roboto",
    "segoeui",
    "tahoma",
    "times",
    "ubuntu",
    "verdana",
)
SUPERSAMPLE = 4


@dataclasses.dataclass(frozen=True)
class FontFile:
    """One TrueType file: `path`, its lower-case `name` without suffix, and how often to draw it."""

    path: str
    name: str
    weight: float

    @property
    def is_monospaced(self) -> bool:
        """Whether the file's name says that all advances are equal."""
        return "mono" in self.name or "courier" in self.name


@dataclasses.dataclass(frozen=True)
class TextImage:
    """A line of text as coverage.

    Attributes:
        coverage: float32[h, w] in [0, 1]; its top left pixel lies at (`left`, `top`) from the
            pen's start on the baseline, in pixels.
        left: int, pixels from the pen's start to the first column.
        top: int, pixels from the baseline to the first row (negative is above).
        edges: float32[n + 1], pen positions before each character and after the last, in pixels.
    """

    coverage: np.ndarray
    left: int
    top: int
    edges: np.ndarray


def matplotlib_font_folder() -> Path:
    """Return the folder of the DejaVu fonts that matplotlib ships."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@functools.cache
def available_fonts(system: bool = True) -> tuple[FontFile, ...]:
    """Return the usable text fonts, sorted by name; of equal names the first folder's counts.

    Args:
        system: look in the machine's font folders too; False gives matplotlib's DejaVu alone.
    """
    found: dict[str, str] = {}
    for path in sorted(matplotlib_font_folder().glob("DejaVu*.ttf")):
        found.setdefault(path.stem.lower(), str(path))
    if system:
        for folder in FONT_FOLDERS:
            root = Path(os.path.expanduser(folder))
            if root.is_dir():
                for path in sorted(root.rglob("*.ttf")):
                    found.setdefault(path.stem.lower(), str(path))
    names = sorted(name for name in found if _is_text_font(name))
    fonts = (FontFile(found[name], name, _font_weight(name)) for name in names)
    return tuple(font for font in fonts if _covers_ascii(font.path))


def sample_font(generator: np.random.Generator, fonts: tuple[FontFile, ...]) -> FontFile:
    """Draw a font by its weight."""
    return fonts[int(np.searchsorted(_cumulative(fonts), generator.random(), side="right"))]


@functools.cache
def _cumulative(fonts: tuple[FontFile, ...]) -> np.ndarray:
    weights = np.array([font.weight for font in fonts], np.float64)
    return np.cumsum(weights / weights.sum())[:-1]


def _is_text_font(name: str) -> bool:
    if any(part in name for part in ("math", "display", "symbol", "emoji", "icon", "extralight")):
        return False
    return name.startswith(TEXT_FAMILIES)


def _font_weight(name: str) -> float:
    weight = 1.0
    if "italic" in name or "oblique" in name:
        weight *= 0.2
    if "bold" in name:
        weight *= 0.6
    if "serif" in name or "times" in name:
        weight *= 0.4
    elif "mono" in name or "courier" in name:
        weight *= 0.8
    elif "narrow" in name or "condensed" in name:
        weight *= 0.25
    else:
        weight *= 3.0
    return weight


def _covers_ascii(path: str) -> bool:
    font = load_font(path, 16.0)
    try:
        masks = {bytes(font.getmask(char)) for char in "AZaz09@#:;Il1"}
    except OSError:
        return False
    return len(masks) == 13


@functools.lru_cache(maxsize=8192)
def load_font(path: str, size: float):
    """Return Pillow's font object for a file at `size` pixels per em."""
    from PIL import ImageFont

    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@functools.lru_cache(maxsize=4096)
def font_metrics(path: str, size: float) -> tuple[float, float, float]:
    """Return (ascent, descent, x-height) in pixels; ascent and descent from the baseline."""
    font = load_font(path, 64.0)
    ascent, descent = font.getmetrics()
    box = font.getbbox("x", anchor="ls")
    scale = size / 64.0
    return ascent * scale, descent * scale, -box[1] * scale


@functools.lru_cache(maxsize=4096)
def _advances(path: str, size: float, text: str) -> tuple[float, ...]:
    font = load_font(path, size)
    return tuple(font.getlength(text[:count]) for count in range(len(text) + 1))


def text_width(path: str, size: float, text: str) -> float:
    """Return the width of one line of text in pixels, from the outline's advances."""
    return load_font(path, 4 * size).getlength(text) / 4


def rasterise_text(
    text: str, path: str, size: float, *, reduced: bool = True, shift: float = 0.0
) -> TextImage:
    """Draw one line of text.

    Args:
        text: printable characters, no line breaks; the empty text gives an empty image.
        path: TrueType file.
        size: pixels per em, above 0.
        reduced: draw at four times the size and average; False is FreeType's own raster.
        shift: sub-pixel offset of the pen in x, in [0, 1); ignored unless `reduced`.
    """
    if not size > 0:
        raise ValueError(f"size is {size}; it must be above 0 pixels")
    if not text:
        return TextImage(np.zeros((0, 0), np.float32), 0, 0, np.zeros(1, np.float32))
    factor = SUPERSAMPLE if reduced else 1
    offset = int(round(shift * factor)) if reduced else 0
    edges = (np.array(_advances(path, size * factor, text), np.float32) + offset) / factor
    font = load_font(path, size * factor)
    x1, y1, x2, y2 = font.getbbox(text, anchor="ls")
    x1, x2 = x1 + offset, x2 + offset
    left, top = _floor(x1, factor), _floor(y1, factor)
    width, height = -_floor(-x2, factor) - left, -_floor(-y2, factor) - top
    if width <= 0 or height <= 0:
        return TextImage(np.zeros((0, 0), np.float32), 0, 0, edges)
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (width * factor, height * factor), 0)
    pen = (offset - left * factor, -top * factor)
    ImageDraw.Draw(canvas).text(pen, text, fill=255, font=font, anchor="ls")
    coverage = np.asarray(canvas, np.float32)
    if factor > 1:
        coverage = coverage.reshape(height, factor, width, factor).mean(axis=(1, 3))
    return TextImage(coverage / 255.0, left, top, edges)


def _floor(value: float, factor: int) -> int:
    return int(np.floor(value / factor))
