"""Widgets of generated screens: each draws itself at a place and reports its elements.

A widget is a function `(page, x, y, width) -> height used`; it appends `Element`s to the page.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl_envs.gui.fonts import FontFile, sample_font
from jaxrl_envs.gui.screen_canvas import Canvas, TextStyle
from jaxrl_envs.gui.screen_words import Vocabulary


@dataclasses.dataclass(frozen=True)
class Element:
    """What can be pointed at: text, box (x1, y1, x2, y2) in pixels, kind, and whether all shows."""

    text: str
    box: tuple[float, float, float, float]
    kind: str
    visible: bool
    size: float = 12.0


@dataclasses.dataclass
class Page:
    """A screen in the making: canvas, random generator, words, fonts, colours, elements."""

    canvas: Canvas
    generator: np.random.Generator
    vocabulary: Vocabulary
    fonts: tuple[FontFile, ...]
    dark: bool
    background: np.ndarray
    base_font: FontFile
    base_size: float
    reduced: bool
    gamma: float
    texts: list[str] = dataclasses.field(default_factory=list)
    elements: list[Element] = dataclasses.field(default_factory=list)

    def chance(self, share: float) -> bool:
        """Draw True with probability `share`."""
        return bool(self.generator.random() < share)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number."""
        return float(self.generator.uniform(low, high))

    def label(self) -> str:
        """Draw a short text; now and then a near copy of one that is on the page already."""
        if self.texts and self.chance(0.18):
            text = vary(self.texts[self.generator.integers(len(self.texts))], self)
        else:
            text = self.vocabulary.label(self.generator)
        self.texts.append(text)
        return text

    def surface(self, near: np.ndarray | None = None) -> np.ndarray:
        """Draw a fill colour, mostly grey, in the page's scheme (or the other, 1 in 10)."""
        dark = self.dark != self.chance(0.1)
        level = self.uniform(5, 90) if dark else self.uniform(190, 255)
        spread = 0 if self.chance(0.6) else self.uniform(10, 70)
        colour = level + self.generator.uniform(-spread, spread, 3)
        return np.clip(colour, 0, 255)

    def ink(self, surface: np.ndarray, contrast: float = 0.0) -> tuple:
        """Draw a text colour that stands out from `surface` by at least 70 grey levels."""
        luminance = np.array([0.299, 0.587, 0.114])
        behind = float(surface @ luminance)
        if self.chance(0.55):
            return (0.0, 0.0, 0.0) if behind > 127 else (255.0, 255.0, 255.0)
        for _ in range(20):
            colour = self.generator.uniform(0, 255, 3)
            if self.chance(0.5):
                colour[:] = colour[0]
            if abs(float(colour @ luminance) - behind) > (contrast or 75):
                return tuple(colour)
        return (0.0, 0.0, 0.0) if behind > 127 else (255.0, 255.0, 255.0)

    def style(self, surface: np.ndarray, grow: float = 1.0, other: float = 0.15) -> TextStyle:
        """Draw a text style: the page's font and size, or with probability `other` new ones."""
        font, size = self.base_font, self.base_size * grow
        if self.chance(other):
            font = sample_font(self.generator, self.fonts)
        if self.chance(other):
            size = draw_size(self.generator)
        size = float(np.clip(round(2 * size) / 2, 8.0, 28.0))
        return TextStyle(font, size, self.ink(surface), self.reduced, self.gamma)

    def add(self, text: str, box, kind: str, visible: bool, size: float) -> None:
        """Note an element, its box cut to the canvas."""
        x1, y1, x2, y2 = (float(value) for value in box)
        x2, y2 = min(x2, self.canvas.width), min(y2, self.canvas.height)
        x1, y1 = max(x1, 0.0), max(y1, 0.0)
        if text.strip() and x2 - x1 >= 3 and y2 - y1 >= 3:
            self.elements.append(Element(text.strip(), (x1, y1, x2, y2), kind, visible, size))


def draw_size(generator: np.random.Generator) -> float:
    """Draw a font size in pixels per em: mostly 9-18, tails to 8 and 28."""
    draw = generator.random()
    if draw < 0.07:
        return float(generator.uniform(8, 9))
    if draw < 0.60:
        return float(generator.uniform(9, 14))
    if draw < 0.86:
        return float(generator.uniform(13, 18))
    return float(generator.uniform(18, 28))


def vary(text: str, page: Page) -> str:
    """Return a near copy: a colon, character or word more or less, or one character changed."""
    generator = page.generator
    if len(text) > 1 and generator.random() < 0.25:
        added = "0123456789" if text[0].isdigit() else "abcdefghijklmnopqrstuvwxyzABC1"
        more = added[generator.integers(len(added))]
        forms = (text[1:], text[:-1], more + text, text + more)
        return forms[generator.integers(4)].strip() or text
    draw = generator.random()
    if draw < 0.3:
        return text[:-1] if text.endswith(":") and len(text) > 1 else text + ":"
    if draw < 0.55:
        place = int(generator.integers(len(text)))
        pool = "0123456789" if text[place].isdigit() else "abcdefghijklmnopqrstuvwxyz"
        return text[:place] + pool[generator.integers(len(pool))] + text[place + 1 :]
    if draw < 0.75:
        return f"{text} {page.vocabulary.word(generator).lower()}"
    if draw < 0.85:
        return f"{page.vocabulary.word(generator)} {text}"
    if " " in text:
        return text.split(" ")[int(generator.integers(2))] or text
    return text.swapcase()


def wrap(text: str, style: TextStyle, width: float) -> list[str]:
    """Break a text at spaces into lines of at most `width` pixels (longer words stand alone)."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and style.width(longer) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line] if line else lines


def paragraph(page, x, y, width, text, style, clip=None, limit=99, spacing=1.0):
    """Draw wrapped text; returns its box and whether the first line is all visible."""
    lines = wrap(text, style, width)[:limit]
    step = style.line_height * spacing
    right, seen, baseline = x, False, y + 0.92 * style.size
    for index, line in enumerate(lines):
        *box, visible = page.canvas.text(x, baseline + index * step, line, style, clip)
        right = max(right, box[2])
        seen = visible if index == 0 else seen
    return (x, y, right, y + max(len(lines), 1) * step), seen


def button(page: Page, x: float, y: float, width: float) -> float:
    """One or several buttons in a row."""
    style = page.style(page.background, page.uniform(0.9, 1.35), 0.25)
    pad_x, pad_y = page.uniform(2, 14), page.uniform(1, 9)
    gap = page.uniform(0, 8) if page.chance(0.7) else 0
    face = page.surface()
    style = dataclasses.replace(style, colour=page.ink(face, 45))
    radius = int(page.generator.integers(0, 5))
    digits = page.chance(0.25)
    count = int(page.generator.integers(1, 7 if digits else 4))
    height, pen = style.size * 1.15 + 2 * pad_y, x
    shaded, bordered = page.chance(0.2), page.chance(0.75)
    edge = np.clip(face + (60 if page.dark else -page.uniform(40, 200)), 0, 255)
    for _ in range(count):
        text = str(page.generator.integers(0, 10)) if digits else page.label()
        inner = style.width(text)
        extra = page.uniform(0, 40) if page.chance(0.3) and not digits else 0
        box = (pen, y, pen + inner + 2 * pad_x + extra, y + height)
        if box[2] > x + width and pen > x:
            break
        if box[2] > page.canvas.width:
            return height
        page.canvas.gradient(box, face, np.clip(face - 25 * shaded, 0, 255))
        if bordered:
            page.canvas.border(box, edge)
        if radius:
            page.canvas.round_corners(box, page.background, radius)
        left = pen + pad_x + extra / 2
        *_, visible = page.canvas.text(left, y + pad_y + 0.92 * style.size, text, style)
        page.add(text, box, "button", visible, style.size)
        pen = box[2] + gap
    return height


def field(page: Page, x: float, y: float, width: float) -> float:
    """A label with an empty or filled text field beside or under it."""
    style = page.style(page.background)
    text = page.label()
    text = text + ":" if page.chance(0.4) and not text.endswith(":") else text
    *box, visible = page.canvas.text(x, y + 0.95 * style.size, text, style)
    page.add(text, box, "label", visible, style.size)
    inner = page.style(page.background, page.uniform(0.9, 1.3))
    height = inner.size * 1.2 + page.uniform(1, 8)
    beside = page.chance(0.5) and box[2] + 25 < x + width
    left, top = (box[2] + page.uniform(1, 8), y) if beside else (x, y + style.line_height)
    frame = (left, top, min(left + page.uniform(30, 130), x + width), top + height)
    face = page.surface()
    page.canvas.fill(frame, face)
    page.canvas.border(frame, np.clip(face - 120 if face.mean() > 127 else face + 90, 0, 255))
    if page.chance(0.5):
        value = page.label()
        inner = dataclasses.replace(inner, colour=page.ink(face, 55))
        clip = (frame[0] + 1, frame[1] + 1, frame[2] - 1, frame[3] - 1)
        baseline = top + (height + 0.7 * inner.size) / 2
        *_, visible = page.canvas.text(left + page.uniform(2, 6), baseline, value, inner, clip)
        page.add(value, frame, "input", visible, inner.size)
    return frame[3] - y if not beside else max(height, style.line_height)


def choices(page: Page, x: float, y: float, width: float) -> float:
    """Check boxes or radio buttons with texts, in one or two columns."""
    style = page.style(page.background)
    columns = int(page.generator.integers(1, 3))
    box_size = round(page.uniform(8, 15))
    step = max(style.line_height, box_size) + page.uniform(0, 9)
    rows, gap, rounded = int(page.generator.integers(1, 6)), page.uniform(1, 8), page.chance(0.4)
    for row in range(rows):
        for column in range(columns):
            left, top = x + column * width / columns, y + row * step
            mark = (left, top, left + box_size, top + box_size)
            ink = np.array(page.ink(page.background))
            if rounded:
                page.canvas.shape(mark, "ellipse", ink, True)
            else:
                page.canvas.border(mark, ink)
            text = page.label()
            if left + box_size + gap + style.width(text) > x + (column + 1) * width / columns + 8:
                text = text.split(" ")[0][:9]
            pen, baseline = left + box_size + gap, top + (box_size + 0.72 * style.size) / 2
            *box, visible = page.canvas.text(pen, baseline, text, style)
            whole = (left, min(top, box[1]), box[2], max(box[3], top + box_size))
            page.add(text, whole if page.chance(0.5) else box, "choice", visible, style.size)
    return rows * step


def table(page: Page, x: float, y: float, width: float) -> float:
    """A table of two to four columns with texts in its cells; also a calendar-like grid."""
    style = page.style(page.background, page.uniform(0.85, 1.1))
    digits = page.chance(0.2)
    columns = 7 if digits else int(page.generator.integers(2, 4))
    rows = int(page.generator.integers(2, 7))
    width = width * page.uniform(0.6, 1.0)
    step = style.line_height + page.uniform(0, 8)
    lines = page.ink(page.background, 30) if page.chance(0.7) else None
    first, second = page.surface(), page.surface()
    indent = page.uniform(1, 6)
    for row in range(rows):
        face = first if row % 2 else second
        colour = page.ink(face, 60)
        row_style = dataclasses.replace(style, colour=colour)
        for column in range(columns):
            left = x + column * width / columns
            cell = (left, y + row * step, left + width / columns, y + (row + 1) * step)
            page.canvas.fill(cell, face)
            if lines is not None:
                page.canvas.border((*cell[:2], cell[2] + 1, cell[3] + 1), lines)
            text = str(page.generator.integers(1, 32)) if digits else page.label()
            while style.width(text) > width / columns - 1.5 * indent and len(text) > 1:
                text = text.rsplit(" ", 1)[0] if " " in text else text[:-1]
            baseline = cell[1] + (step + 0.7 * style.size) / 2
            clip = (cell[0], cell[1], cell[2], cell[3])
            *_, visible = page.canvas.text(left + indent, baseline, text, row_style, clip)
            page.add(text, cell, "cell", visible, style.size)
    return rows * step


def text_block(page: Page, x: float, y: float, width: float) -> float:
    """A paragraph, or a text area with a frame that may cut its text."""
    style = page.style(page.background, page.uniform(0.9, 1.25), 0.3)
    text = page.vocabulary.sentence(page.generator, int(page.generator.integers(2, 14)))
    if page.chance(0.45):
        box, visible = paragraph(page, x, y, width, text, style, spacing=page.uniform(0.95, 1.2))
        page.add(text, box, "text", visible, style.size)
        return box[3] - y
    height = page.uniform(1.2, 6) * style.line_height + 4
    frame = (x, y, x + width * page.uniform(0.5, 1.0), y + height)
    face = page.surface()
    page.canvas.fill(frame, face)
    page.canvas.border(frame, np.clip(face - 120 if face.mean() > 127 else face + 90, 0, 255))
    style = dataclasses.replace(style, colour=page.ink(face, 60))
    clip = (x + 1, y + 1, frame[2] - 1, frame[3] - 1)
    pad = page.uniform(2, 5)
    inner = frame[2] - x - 2 * pad
    _, visible = paragraph(page, x + pad, y + pad, inner, text, style, clip)
    page.add(text, frame, "text area", visible, style.size)
    return height


def links(page: Page, x: float, y: float, width: float) -> float:
    """A vertical or horizontal list of texts: links, tabs, menu entries, plain lines."""
    style = page.style(page.background, page.uniform(0.9, 1.3), 0.25)
    vertical, underlined, arrows = page.chance(0.6), page.chance(0.4), page.chance(0.2)
    step, pen = style.line_height + page.uniform(0, 8), x
    count = int(page.generator.integers(1, 6))
    full = page.chance(0.4) and vertical
    for index in range(count):
        text = page.label()
        top = y + index * step if vertical else y
        if not vertical and pen + style.width(text) > x + width and index:
            break
        *box, visible = page.canvas.text(pen, top + 0.92 * style.size, text, style)
        if underlined:
            base = round(top + 0.92 * style.size) + 1
            page.canvas.fill((box[0], base, box[2], base + 1), style.colour)
        if arrows and vertical:
            place = (x + width * 0.6, top + 2, x + width * 0.6 + 6, top + 10)
            page.canvas.shape(place, "line", style.colour, True, ((0.2, 0), (0.9, 0.5), (0.2, 1)))
        page.add(
            text, (x, top, x + width, top + step) if full else box, "link", visible, style.size
        )
        pen = x if vertical else box[2] + page.uniform(4, 14)
    return count * step if vertical else step


def card(page: Page, x: float, y: float, width: float) -> float:
    """A framed card: bold heading, grey details on one line, a short text, symbols."""
    style = page.style(page.background, 1.0, 0.2)
    face = page.surface()
    height = page.uniform(2.2, 4.5) * style.line_height
    frame = (x, y, x + width, y + height)
    page.canvas.fill(frame, face)
    page.canvas.border(frame, page.ink(face, 25))
    pen, baseline = x + page.uniform(1, 8), y + 1.1 * style.size
    for index in range(int(page.generator.integers(1, 4))):
        text = page.label() if index == 0 else page.vocabulary.figure(page.generator)
        line = dataclasses.replace(style, colour=page.ink(face, 60))
        if pen + line.width(text) > x + width:
            break
        *box, visible = page.canvas.text(pen, baseline, text, line)
        page.add(text, box, "label", visible, style.size)
        pen = box[2] + page.uniform(2.5, 8)
    text = page.vocabulary.sentence(page.generator, int(page.generator.integers(1, 7)))
    top = baseline + 0.35 * style.size
    line = dataclasses.replace(style, colour=page.ink(face, 60))
    box, visible = paragraph(page, x + 4, top, width - 8, text, line, frame)
    page.add(text, box, "text", visible, style.size)
    return height


def heading(page: Page, x: float, y: float, width: float) -> float:
    """A heading, often large, often centred or on a band of another colour."""
    grow = page.uniform(1.1, 2.2)
    banded = page.chance(0.4)
    face = page.surface() if banded else page.background
    style = dataclasses.replace(page.style(face, grow, 0.2), colour=page.ink(face))
    height = style.line_height + page.uniform(0, 8)
    if banded:
        page.canvas.fill((x, y, x + width, y + height), face)
    text = page.label()
    if style.width(text) > width:
        text = text.split(" ")[0]
    slack = max(width - style.width(text), 0)
    left = x + (slack / 2 if page.chance(0.5) else min(3, slack))
    *box, visible = page.canvas.text(left, y + (height + 0.7 * style.size) / 2, text, style)
    page.add(text, box, "heading", visible, style.size)
    return height


def picture(page: Page, x: float, y: float, width: float) -> float:
    """Shapes without text: icons, figures, lines, sliders."""
    height = page.uniform(8, 50)
    for _ in range(int(page.generator.integers(1, 7))):
        size = page.uniform(4, min(height, 40))
        left, top = (
            x + page.uniform(0, max(width - size, 1)),
            y + page.uniform(0, height - size / 2),
        )
        box, colour = (left, top, left + size, top + size), page.generator.uniform(0, 255, 3)
        kind = ("ellipse", "polygon", "line", "box")[page.generator.integers(4)]
        if kind == "box":
            page.canvas.fill(box, colour)
        else:
            corners = page.generator.random((int(page.generator.integers(3, 8)), 2))
            page.canvas.shape(box, kind, colour, page.chance(0.5), corners)
    return height


WIDGETS = (button, field, choices, table, text_block, links, card, heading, picture)
WIDGET_SHARES = (0.26, 0.13, 0.12, 0.10, 0.11, 0.10, 0.07, 0.07, 0.04)
