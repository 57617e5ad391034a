"""A canvas that paints shapes and text and keeps, cell by cell, which character is where.

Cells are `2 k` pixels wide and `4 k` high for scale k = 1, 2 (the reader's cells). A cell's label
is 0 for no text, 1 + index for a printable ASCII character (32..126) whose advance box contains
the cell's centre, and -1 where it should not count: ascenders, descenders, cut lines, and sizes
that the scale is not meant to read.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl_envs.gui.fonts import FontFile, font_metrics, rasterise_text, text_width

IGNORE = -1
CELL = (4, 2)
SCALES = (1, 2)
READABLE = (7.5, 19.0)
"""Smallest and largest font size, pixels per em at the scale, that gets labels."""


@dataclasses.dataclass(frozen=True)
class TextStyle:
    """How a text is drawn: font, pixels per em, colour, rasteriser and coverage exponent."""

    font: FontFile
    size: float
    colour: tuple[float, float, float]
    reduced: bool = True
    gamma: float = 1.0

    @property
    def line_height(self) -> float:
        """Usual distance of baselines, pixels."""
        return 1.17 * self.size

    def width(self, text: str) -> float:
        """Width of one line in pixels."""
        return text_width(self.font.path, self.size, text)


def label_of(character: str) -> int:
    """Return the class of a character: 1..95 for printable ASCII, else 0."""
    code = ord(character)
    return code - 31 if 32 <= code <= 126 else 0


@dataclasses.dataclass(frozen=True)
class Run:
    """A drawn line of text: its visible characters, its box, left and right edges of each."""

    text: str
    box: tuple[float, float, float, float]
    edges: np.ndarray


class Canvas:
    """Pixels float32[H, W, 3] in 0..255 and label maps; height a multiple of 8, width of 4."""

    def __init__(self, height: int, width: int, colour):
        self.height, self.width = height, width
        self.pixels = np.empty((height, width, 3), np.float32)
        self.pixels[:] = colour
        self.runs: list[Run] = []
        self.labels = [
            np.zeros((-(-height // (CELL[0] * k)), -(-width // (CELL[1] * k))), np.int8)
            for k in SCALES
        ]

    def _clip(self, x1, y1, x2, y2, clip=None):
        low_x, low_y, high_x, high_y = clip or (0, 0, self.width, self.height)
        x1, x2 = max(int(round(x1)), int(low_x), 0), min(int(round(x2)), int(high_x), self.width)
        y1, y2 = max(int(round(y1)), int(low_y), 0), min(int(round(y2)), int(high_y), self.height)
        return x1, y1, x2, y2

    def fill(self, box, colour) -> None:
        """Fill the box (x1, y1, x2, y2)."""
        x1, y1, x2, y2 = self._clip(*box)
        if x2 > x1 and y2 > y1:
            self.pixels[y1:y2, x1:x2] = colour

    def gradient(self, box, top, bottom) -> None:
        """Fill the box with colours from `top` to `bottom`."""
        x1, y1, x2, y2 = self._clip(*box)
        if x2 > x1 and y2 > y1:
            share = np.linspace(0, 1, y2 - y1, dtype=np.float32)[:, None, None]
            self.pixels[y1:y2, x1:x2] = (1 - share) * np.asarray(top) + share * np.asarray(bottom)

    def border(self, box, colour, width: int = 1) -> None:
        """Draw the frame just inside the box."""
        x1, y1, x2, y2 = box
        self.fill((x1, y1, x2, y1 + width), colour)
        self.fill((x1, y2 - width, x2, y2), colour)
        self.fill((x1, y1, x1 + width, y2), colour)
        self.fill((x2 - width, y1, x2, y2), colour)

    def round_corners(self, box, colour, radius: int) -> None:
        """Paint the corners outside the arcs of `radius` pixels with `colour`."""
        x1, y1, x2, y2 = (int(round(value)) for value in box)
        for row in range(radius):
            gap = radius - int(np.sqrt(max(radius**2 - (radius - row - 0.5) ** 2, 0)))
            for y in (y1 + row, y2 - 1 - row):
                self.fill((x1, y, x1 + gap, y + 1), colour)
                self.fill((x2 - gap, y, x2, y + 1), colour)

    def shape(self, box, kind: str, colour, outline: bool, points=()) -> None:
        """Draw an anti-aliased ellipse, polygon or line; `points` are shares of the box."""
        from PIL import Image, ImageDraw

        x1, y1, x2, y2 = self._clip(*box)
        height, width = y2 - y1, x2 - x1
        if height < 2 or width < 2:
            return
        image = Image.new("L", (2 * width, 2 * height), 0)
        draw = ImageDraw.Draw(image)
        corners = [(2 * width * x, 2 * height * y) for x, y in points]
        if kind == "ellipse":
            edges = {"outline": 255, "width": 3} if outline else {"fill": 255}
            draw.ellipse((1, 1, 2 * width - 2, 2 * height - 2), **edges)
        elif kind == "polygon":
            edges = {"outline": 255, "width": 4} if outline else {"fill": 255}
            draw.polygon(corners, **edges)
        else:
            draw.line(corners, fill=255, width=3)
        cover = np.asarray(image, np.float32).reshape(height, 2, width, 2).mean((1, 3)) / 255
        region = self.pixels[y1:y2, x1:x2]
        region += cover[..., None] * (np.asarray(colour, np.float32) - region)

    def text(self, x: float, baseline: float, text: str, style: TextStyle, clip=None) -> tuple:
        """Draw one line with the pen at (x, baseline).

        Returns:
            (x1, y1, x2, y2): the line's box from ascent to descent, and as fifth entry whether
            all of it is visible.
        """
        path, size = style.font.path, style.size
        pen, base = int(np.floor(x)), int(round(baseline))
        image = rasterise_text(text, path, size, reduced=style.reduced, shift=x - pen)
        ascent, descent, x_height = font_metrics(path, size)
        start, end = pen + image.edges[0], pen + image.edges[-1]
        x1, y1, x2, y2 = self._clip(
            pen + image.left,
            base + image.top,
            pen + image.left + image.coverage.shape[1],
            base + image.top + image.coverage.shape[0],
            clip,
        )
        if x2 > x1 and y2 > y1:
            top, left = y1 - base - image.top, x1 - pen - image.left
            cover = image.coverage[top : top + y2 - y1, left : left + x2 - x1]
            if style.gamma != 1.0:
                cover = cover**style.gamma
            region = self.pixels[y1:y2, x1:x2]
            region += cover[..., None] * (np.asarray(style.colour, np.float32) - region)
        window = clip or (0, 0, self.width, self.height)
        tall = base - 0.75 * size >= window[1] - 1 and base <= min(window[3], self.height)
        wide = start >= max(window[0], 0) - 1 and end <= min(window[2], self.width) + 1
        for scale, labels in zip(SCALES, self.labels, strict=True):
            readable = tall and READABLE[0] <= size / scale <= READABLE[1]
            extent = (base - 0.85 * ascent, base + descent)
            band = (base, x_height)
            _label(labels, scale, text, pen + image.edges, extent, band, window, readable)
        self._note(text, pen + image.edges, (base - 0.8 * ascent, base + descent), window)
        return start, base - ascent, end, base + descent, bool(tall and wide)

    def _note(self, text: str, edges: np.ndarray, extent, window) -> None:
        """Keep what of a line can be seen: characters and height inside the window."""
        low, high = max(window[0], 0), min(window[2], self.width)
        top, bottom = max(extent[0], window[1], 0), min(extent[1], window[3], self.height)
        centres = (edges[:-1] + edges[1:]) / 2
        shown = np.flatnonzero((centres >= low) & (centres <= high))
        if shown.size == 0 or bottom - top < 0.7 * (extent[1] - extent[0]):
            return
        first, last = int(shown[0]), int(shown[-1]) + 1
        part = np.stack([edges[first:last], edges[first + 1 : last + 1]], axis=1)
        box = (float(part[0, 0]), float(top), float(part[-1, 1]), float(bottom))
        self.runs.append(Run(text[first:last], box, part.astype(np.float32)))

    def visible_runs(self) -> tuple[Run, ...]:
        """The lines that later fills have not covered."""
        high, wide = CELL
        labels = self.labels[0]

        def seen(run: Run) -> bool:
            x1, y1, x2, y2 = run.box
            rows = slice(int(y1 // high), int(y2 // high) + 1)
            return bool(labels[rows, int(x1 // wide) : int(x2 // wide) + 1].any())

        return tuple(run for run in self.runs if run.text.strip() and seen(run))

    def finish(self) -> np.ndarray:
        """Return the pixels as uint8[H, W, 3]."""
        return np.clip(np.round(self.pixels), 0, 255).astype(np.uint8)


def _label(labels, scale, text, edges, extent, band, window, readable) -> None:
    high, wide = CELL[0] * scale, CELL[1] * scale
    low_x, high_x = max(edges[0], window[0], 0), min(edges[-1], window[2], labels.shape[1] * wide)
    first = int(np.ceil(low_x / wide - 0.5))
    last = int(np.ceil(high_x / wide - 0.5))
    top, bottom = max(extent[0], window[1], 0), min(extent[1], window[3])
    rows = slice(int(np.ceil(top / high - 0.5)), int(np.ceil(bottom / high - 0.5)))
    if last <= first:
        return
    labels[rows, first:last] = IGNORE
    if not readable:
        return
    base, x_height = band
    middle = base - 0.5 * x_height
    reach = max(0.5 * high, 0.42 * x_height)
    row_centres = (np.arange(labels.shape[0]) + 0.5) * high
    centres = (np.arange(first, last) + 0.5) * wide
    index = np.clip(np.searchsorted(edges, centres, side="right") - 1, 0, len(text) - 1)
    classes = np.array([label_of(char) for char in text], np.int8)[index]
    labels[np.abs(row_centres - middle) <= reach, first:last] = classes
