"""Generated screens with real fonts, for training and testing a reader that points.

    config = ScreenConfig()
    screen = generate_screen(config, seed=0)
    screen.pixels, screen.elements, screen.labels

A screen is a flow of widgets, under a header (3 in 5) whose sentence often repeats the text of an
element elsewhere: reading alone finds both, the element is what counts. Everything follows from
the seed, the configuration and the fonts found.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jaxrl_envs.gui.fonts import FontFile, available_fonts, sample_font
from jaxrl_envs.gui.screen_canvas import Canvas, Run, TextStyle
from jaxrl_envs.gui.screen_widgets import (
    WIDGET_SHARES,
    WIDGETS,
    Element,
    Page,
    draw_size,
    paragraph,
)
from jaxrl_envs.gui.screen_words import (
    SMALL_WORDS,
    Vocabulary,
    make_vocabulary,
    random_code,
)

TARGET_LIMIT = 60


@dataclasses.dataclass(frozen=True)
class ScreenConfig:
    """Static choices of the generator; sizes in pixels (height a multiple of 8, width of 4)."""

    height: int = 216
    width: int = 160
    dark_share: float = 0.2
    header_share: float = 0.6
    words: int = 20_000
    word_seed: int = 0
    system_fonts: bool = True

    def __post_init__(self):
        """Check the sizes and shares."""
        if self.height % 8 or self.width % 4 or min(self.height, self.width) < 32:
            raise ValueError(
                f"a screen of {self.width}x{self.height} is not possible; use a width that is a "
                "multiple of 4, a height that is a multiple of 8, both at least 32"
            )
        for name in ("dark_share", "header_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")


@dataclasses.dataclass(frozen=True)
class SyntheticScreen:
    """One generated screen.

    Attributes:
        pixels: uint8[H, W, 3].
        labels: int8[H / 4, W / 2] and int8[H / 8, W / 4]: character classes per cell.
        elements: what can be pointed at.
        runs: all lines of text that can be seen.
    """

    pixels: np.ndarray
    labels: tuple[np.ndarray, ...]
    elements: tuple[Element, ...]
    runs: tuple[Run, ...] = ()

    def boxes_of(self, text: str) -> np.ndarray:
        """Return float32[n, 4], the boxes of all elements with this text."""
        boxes = [element.box for element in self.elements if element.text == text]
        return np.array(boxes, np.float32).reshape(-1, 4)


@functools.lru_cache(maxsize=8)
def vocabulary_of(config: ScreenConfig) -> Vocabulary:
    """Return the words that screens of this configuration use."""
    return make_vocabulary(config.word_seed, config.words)


def fonts_of(config: ScreenConfig) -> tuple[FontFile, ...]:
    """Return the fonts that screens of this configuration use."""
    return available_fonts(config.system_fonts)


def _new_page(config: ScreenConfig, generator: np.random.Generator) -> Page:
    dark = bool(generator.random() < config.dark_share)
    level = generator.uniform(0, 60) if dark else generator.uniform(215, 255)
    if generator.random() < 0.5:
        level = 0.0 if dark and generator.random() < 0.5 else (25.0 if dark else 255.0)
    spread = 0 if generator.random() < 0.6 else 25
    background = np.clip(level + generator.uniform(-spread, spread, 3), 0, 255)
    fonts = fonts_of(config)
    return Page(
        canvas=Canvas(config.height, config.width, background),
        generator=generator,
        vocabulary=vocabulary_of(config),
        fonts=fonts,
        dark=dark,
        background=background,
        base_font=sample_font(generator, fonts),
        base_size=draw_size(generator) if generator.random() < 0.5 else generator.uniform(9, 14),
        reduced=bool(generator.random() < 0.6),
        gamma=float(generator.uniform(0.65, 1.15)),
    )


def generate_screen(config: ScreenConfig, seed: int) -> SyntheticScreen:
    """Generate the screen of a seed; it has at least one visible element."""
    for attempt in range(50):
        generator = np.random.default_rng([seed, attempt, 23])
        page = _new_page(config, generator)
        header = int(generator.uniform(18, 66)) if page.chance(config.header_share) else 0
        _fill_body(page, header)
        targets = [element for element in page.elements if element.visible]
        if targets:
            if header:
                _draw_header(page, header, targets)
            return _finish(page, page.elements)
    raise RuntimeError(f"no screen with a visible element came from seed {seed}")


def generate_patch(config: ScreenConfig, seed: int) -> SyntheticScreen:
    """Generate a picture densely filled with lines of text, for learning to read; no elements."""
    generator = np.random.default_rng([seed, 29])
    page = _new_page(config, generator)
    canvas, y = page.canvas, generator.uniform(-6, 4)
    while y < config.height:
        face = page.background
        size = float(np.round(2 * np.clip(draw_size(generator) * 0.9, 8, 19)) / 2)
        leading = size * generator.uniform(1.0, 1.6)
        if page.chance(0.35):
            face = page.surface()
            canvas.fill((0, y, config.width, y + leading), face)
        font = sample_font(generator, page.fonts)
        gamma = float(generator.uniform(0.65, 1.15))
        style = TextStyle(font, size, page.ink(face, 45), page.chance(0.6), gamma)
        pen = generator.uniform(-12, 14)
        while pen < config.width:
            text = _dense_text(page)
            baseline = y + (leading + 0.72 * size) / 2
            if page.chance(0.12):
                frame = (pen - 3, y, pen + style.width(text) + 3, y + leading)
                canvas.border(frame, page.ink(face, 30))
            *box, _ = canvas.text(pen, baseline, text, style)
            if page.chance(0.08):
                line = round(baseline) + 1
                canvas.fill((box[0], line, box[2], line + 1), style.colour)
            pen = box[2] + generator.uniform(3, 25)
            if page.chance(0.3):
                style = dataclasses.replace(style, font=sample_font(generator, page.fonts))
        y += leading + (generator.uniform(0, 8) if page.chance(0.4) else 0)
    return _finish(page, [])


def _dense_text(page: Page) -> str:
    draw = page.generator.random()
    if draw < 0.45:
        return page.vocabulary.label(page.generator)
    if draw < 0.65:
        return page.vocabulary.sentence(page.generator, int(page.generator.integers(2, 6)))
    if draw < 0.75:
        return page.vocabulary.figure(page.generator)
    if draw < 0.85:
        return random_code(page.generator)
    codes = page.generator.integers(33, 127, size=int(page.generator.integers(1, 9)))
    return "".join(chr(code) for code in codes)


def _finish(page: Page, elements) -> SyntheticScreen:
    labels = tuple(label for label in page.canvas.labels)
    runs = page.canvas.visible_runs()
    return SyntheticScreen(page.canvas.finish(), labels, tuple(elements), runs)


def _fill_body(page: Page, top: float) -> None:
    canvas, generator = page.canvas, page.generator
    margin = page.uniform(1, 12)
    y = top + page.uniform(1, 10)
    gap = page.uniform(1, 12)
    while y < canvas.height - 10:
        widget = WIDGETS[int(generator.choice(len(WIDGETS), p=WIDGET_SHARES))]
        x = margin + (page.uniform(0, 40) if page.chance(0.25) else 0)
        width = canvas.width - x - margin
        if page.chance(0.12) and width > 110:
            half = width / 2 - 4
            second = WIDGETS[int(generator.choice(len(WIDGETS), p=WIDGET_SHARES))]
            used = max(widget(page, x, y, half), second(page, x + half + 8, y, half))
        else:
            used = widget(page, x, y, width)
        y += used + gap * page.uniform(0.5, 1.5)


def _draw_header(page: Page, height: int, targets: list[Element]) -> None:
    generator, width = page.generator, page.canvas.width
    colour = page.surface()
    if page.chance(0.4):
        colour = generator.uniform(60, 255, 3)
    page.canvas.fill((0, 0, width, height), colour)
    for labels, high in zip(page.canvas.labels, (4, 8), strict=True):
        labels[: -(-height // high)] = 0
    words = [
        SMALL_WORDS[generator.integers(len(SMALL_WORDS))]
        if page.chance(0.35)
        else page.vocabulary.word(generator).lower()
        for _ in range(int(generator.integers(2, 9)))
    ]
    for _ in range(int(generator.integers(0, 3))):
        text = targets[generator.integers(len(targets))].text[:30]
        draw = generator.random()
        text = f'"{text}"' if draw < 0.3 else (text + "." if draw < 0.5 else text)
        words.insert(int(generator.integers(len(words) + 1)), text)
    sentence = " ".join(words)
    font = page.base_font if page.chance(0.7) else sample_font(generator, page.fonts)
    size = float(np.clip(round(2 * generator.uniform(9, 14)) / 2, 8, 28))
    style = TextStyle(font, size, page.ink(colour), page.reduced, page.gamma)
    paragraph(page, page.uniform(1, 5), page.uniform(1, 6), width - 6, sentence, style,
              clip=(0, 0, width, height))  # fmt: skip
