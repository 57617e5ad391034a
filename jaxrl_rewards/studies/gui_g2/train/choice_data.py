"""Episodes for the choice among candidates: generated screens read with simulated mistakes, and
collected pages read by the library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxrl_envs.gui.asking import absent_text, ask
from jaxrl_envs.gui.candidate_features import FEATURES
from jaxrl_envs.gui.candidates import MOST, Candidates, candidates
from jaxrl_envs.gui.choice import NOWHERE, TARGETS, Episodes
from jaxrl_envs.gui.screen_look import ScreenLook
from jaxrl_envs.gui.screen_text import ScreenText
from jaxrl_envs.gui.screenspot import ScreenSpotSet
from jaxrl_envs.gui.simulate_reading import ReadingNoise, simulate_reading
from jaxrl_envs.gui.synthetic_screens import ScreenConfig, generate_screen
from jaxrl_envs.gui.text_match import codes_of, find, letters, pack
from jaxrl_envs.gui.text_rows import rows_of

from jaxrl_rewards.studies.gui_g2.train.metrics import inside

SIZES = ((800, 1280), (800, 1280), (720, 960), (640, 400))
ABSENT_SHARE = 0.2
PRESENT_COST = 0.34
"""A text that costs less per letter somewhere in the true text counts as being there."""
PER_SCREEN = 24
"""Instructions of one generated screen, at most."""


@dataclasses.dataclass(frozen=True)
class ReadScreen:
    """A read screen and its elements: (text, kind, boxes) each; `truth`, all text there is."""

    pixels: np.ndarray
    text: ScreenText
    elements: tuple[tuple[str, str, np.ndarray], ...]
    truth: tuple[str, ...]
    family: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """One episode: candidates, right boxes float32[n, 4] (none: not on the screen), its screen."""

    found: Candidates
    boxes: np.ndarray
    instruction: str
    family: str = ""


def generated_screens(
    count: int, seed: int, noise: ReadingNoise | None = None
) -> Iterable[ReadScreen]:
    """Generated screens of several sizes, each with words of its own seed."""
    for index in range(count):
        height, width = SIZES[index % len(SIZES)]
        config = ScreenConfig(height=height, width=width, word_seed=seed, words=5000)
        screen = generate_screen(config, seed * 1_000_003 + index)
        generator = np.random.default_rng([seed, index, 71])
        text = simulate_reading(screen.runs, width, height, generator, noise)
        texts = dict.fromkeys(e.text for e in screen.elements if e.visible and len(e.text) <= 60)
        kinds = {element.text: element.kind for element in screen.elements}
        elements = tuple((name, kinds[name], screen.boxes_of(name)) for name in texts)
        truth = tuple(run.text for run in screen.runs)
        yield ReadScreen(screen.pixels, text, elements, truth, f"generated-{index}")


def collected_screens(
    shots: ScreenSpotSet, read: Callable[[np.ndarray], ScreenText], family: str = ""
) -> Iterable[ReadScreen]:
    """The pages of a set, each read once by `read`; elements without a text of their own go."""
    for records in shots.by_image().values():
        pixels = shots.image(records[0])
        text = read(pixels)
        elements = tuple(
            (record.instruction, str(record.extra.get("element", "")), np.array([record.box]))
            for record in records
            if str(record.extra.get("text_source", "text")) == "text"
        )
        truth = (*(line.text for line in text.lines), *(item[0] for item in elements))
        yield ReadScreen(pixels, text, elements, truth, family or records[0].image_name)


def episodes_of(
    screens: Iterable[ReadScreen], generator: np.random.Generator, *, rounds: int = 1,
    most: int = PER_SCREEN, vary: Callable = ask,
) -> list[Row]:  # fmt: skip
    """Ask for elements of each screen, and for what is not there (`ABSENT_SHARE` of all)."""
    rows: list[Row] = []
    elsewhere: list[str] = []
    for screen in screens:
        lines, look = rows_of(screen.text), ScreenLook(screen.pixels)
        truth = pack([codes_of(letters(text)[0]) for text in screen.truth if letters(text)[0]])
        for _ in range(rounds):
            order = generator.permutation(len(screen.elements))[:most]
            for index in order:
                text, kind, boxes = screen.elements[index]
                if generator.random() < ABSENT_SHARE:
                    text = _not_there(screen, elsewhere, truth, generator)
                    if text is None:
                        continue
                    boxes = np.zeros((0, 4))
                instruction = vary(text, kind, generator)
                found = candidates(instruction, lines, look)
                rows.append(Row(found, boxes[:TARGETS], instruction, screen.family))
        elsewhere = [*elsewhere[-400:], *(item[0] for item in screen.elements)]
    return rows


def _not_there(
    screen: ReadScreen, elsewhere: Sequence[str], truth: np.ndarray, generator: np.random.Generator
) -> str | None:
    for _ in range(8):
        text = absent_text([item[0] for item in screen.elements], elsewhere, generator)
        plain = letters(text)[0]
        if len(plain) >= 3 and not find(codes_of(plain), truth, worst=PRESENT_COST):
            return text
    return None


def stack(rows: Sequence[Row]) -> Episodes:
    """Rows as arrays; an element that is there but that no candidate hits has no right answer."""
    count = len(rows)
    features = np.zeros((count, MOST, FEATURES), np.float32)
    present = np.zeros((count, MOST), np.float32)
    boxes = np.zeros((count, MOST, 4), np.float32)
    targets = np.zeros((count, TARGETS, 4), np.float32)
    right = np.zeros((count, MOST + 1), np.float32)
    for index, row in enumerate(rows):
        size = len(row.found)
        features[index, :size], present[index, :size] = row.found.features, 1.0
        boxes[index, :size] = row.found.boxes
        if len(row.boxes):
            targets[index, : len(row.boxes)] = row.boxes
            right[index, :size] = hits(row)
        else:
            targets[index, 0] = NOWHERE
            right[index, -1] = 1.0
    return Episodes(features=features, present=present, boxes=boxes, targets=targets, right=right)


def hits(row: Row) -> np.ndarray:
    """bool[n]: which candidates' points lie in a right box."""
    return np.array(
        [any(inside(point, box) for box in row.boxes) for point in row.found.points], bool
    )
