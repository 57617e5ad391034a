"""A reader's mistakes without a reader: the known text of generated screens, read with noise.

The rates of missed lines, of changed, lost and added characters and of dropped spaces are those of
RapidOCR on 996 texts of collected pages (`fit_noise`); the others are guesses. So a pointing policy
can be trained without reading a single image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from jaxrl_envs.gui.screen_canvas import Run
from jaxrl_envs.gui.screen_text import ScreenText, TextLine
from jaxrl_envs.gui.text_match import LOOK_ALIKES

_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-"


@dataclasses.dataclass(frozen=True)
class ReadingNoise:
    """Rates of mistakes, each per line or per character.

    missed: lines not found, times two for those of one or two characters.
    clean: lines without any changed, lost or added character.
    changed, lost, added: characters, in lines that are not clean.
    look_alike: share of the changed that become a look-alike.
    no_space: spaces that are dropped, in lines where any is.
    tight: lines in which spaces are dropped.
    joined: neighbours less than a height apart that are read as one line.
    shift: standard deviation of a box's edges, in heights.
    """

    missed: float = 0.011
    clean: float = 0.89
    changed: float = 0.024
    lost: float = 0.096
    added: float = 0.007
    look_alike: float = 0.6
    no_space: float = 0.67
    tight: float = 0.2
    joined: float = 0.5
    shift: float = 0.06


def simulate_reading(
    runs: Sequence[Run], width: int, height: int, generator: np.random.Generator,
    noise: ReadingNoise | None = None,
) -> ScreenText:  # fmt: skip
    """What a reader may read of these lines on a screen of `width` by `height` pixels."""
    noise = ReadingNoise() if noise is None else noise
    lines = [TextLine.of(run.text, run.box, 1.0, run.edges) for run in runs]
    lines = [_trimmed(line) for line in lines]
    lines = _join_neighbours(lines, generator, noise)
    read = []
    for line in lines:
        short = 2.0 if len(line.text) < 3 else 1.0
        if generator.random() < noise.missed * short:
            continue
        changed = _misread(line, generator, noise)
        if changed is not None:
            read.append(changed)
    read.sort(key=lambda line: (round(line.box[1]), line.box[0]))
    return ScreenText(tuple(read), width, height)


def _trimmed(line: TextLine) -> TextLine:
    start = len(line.text) - len(line.text.lstrip())
    return line.part(start, len(line.text.rstrip()))


def _join_neighbours(
    lines: list[TextLine], generator: np.random.Generator, noise: ReadingNoise
) -> list[TextLine]:
    """Some neighbours on one row become one line; the others keep a gap between them."""
    height = np.median([line.height for line in lines]) if lines else 1.0
    joined: list[TextLine] = []
    for line in sorted(lines, key=lambda item: (round(item.box[1] / height), item.box[0])):
        other = joined[-1] if joined else None
        if other is not None and _near(other, line) and generator.random() < noise.joined:
            space = TextLine.of(" ", (other.box[2], other.box[1], line.box[0], other.box[3]))
            parts = [other, space, line] if generator.random() < 0.6 else [other, line]
            edges = np.concatenate([part.edges for part in parts])
            box = (other.box[0], min(other.box[1], line.box[1]), line.box[2],
                   max(other.box[3], line.box[3]))  # fmt: skip
            joined[-1] = TextLine.of("".join(part.text for part in parts), box, 1.0, edges)
        else:
            joined.append(line)
    return joined


def _near(left: TextLine, right: TextLine) -> bool:
    low, high = sorted((left.height, right.height))
    overlap = min(left.box[3], right.box[3]) - max(left.box[1], right.box[1])
    return overlap > 0.7 * low and high < 1.5 * low and 0 <= right.box[0] - left.box[2] < high


def _misread(
    line: TextLine, generator: np.random.Generator, noise: ReadingNoise
) -> TextLine | None:
    clean = generator.random() < noise.clean
    tight = generator.random() < noise.tight
    text, edges = [], []
    for char, edge in zip(line.text, line.edges, strict=True):
        draw = generator.random()
        if char == " ":
            if tight and draw < noise.no_space:
                continue
        elif not clean:
            if draw < noise.lost:
                continue
            if draw < noise.lost + noise.changed:
                char = _another(char, generator, noise)
            elif draw < noise.lost + noise.changed + noise.added:
                text.append(_ALPHABET[generator.integers(len(_ALPHABET))])
                edges.append(edge)
        text.append(char)
        edges.append(edge)
    if not "".join(text).strip():
        return None
    sway = generator.normal(0, noise.shift * line.height, 4)
    box = np.array(line.box) + np.clip(sway, -3, 3)
    confidence = generator.uniform(0.9, 1.0) if clean else generator.uniform(0.7, 0.99)
    return TextLine.of("".join(text), box, confidence, np.array(edges))


def _another(char: str, generator: np.random.Generator, noise: ReadingNoise) -> str:
    groups = [group for group in LOOK_ALIKES if char.casefold() in group]
    if groups and generator.random() < noise.look_alike:
        group = groups[generator.integers(len(groups))]
        return group[generator.integers(len(group))]
    return _ALPHABET[generator.integers(len(_ALPHABET))]


def fit_noise(pairs: Iterable[tuple[str, str | None]]) -> ReadingNoise:
    """Estimate the rates of changes from pairs (text, what was read for it, None: nothing).

    Rates that pairs do not tell (joining, edges) keep their defaults.
    """
    pairs = [(text, read) for text, read in pairs if text.strip()]
    known = [(text, read) for text, read in pairs if read]
    if not known:
        return ReadingNoise()
    edits = [_edits(text.replace(" ", ""), read.replace(" ", "")) for text, read in known]
    dirty = [(e, len(t)) for e, (t, _) in zip(edits, known, strict=True) if sum(e)]
    size = max(sum(length for _, length in dirty), 1)
    spaced = [(t.count(" "), t.count(" ") - r.count(" ")) for t, r in known if " " in t]
    tight = [(total, gone) for total, gone in spaced if gone > 0]
    return dataclasses.replace(
        ReadingNoise(),
        missed=1 - len(known) / len(pairs),
        clean=1 - len(dirty) / len(known),
        changed=sum(e[0] for e, _ in dirty) / size,
        lost=sum(e[1] for e, _ in dirty) / size,
        added=sum(e[2] for e, _ in dirty) / size,
        tight=len(tight) / max(len(spaced), 1),
        no_space=sum(g for _, g in tight) / max(sum(t for t, _ in tight), 1),
    )


def _edits(text: str, read: str) -> tuple[int, int, int]:
    """Changed, lost and added characters of a shortest edit."""
    import difflib

    changed = lost = added = 0
    matcher = difflib.SequenceMatcher(None, text, read, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            both = min(b - a, d - c)
            changed, lost, added = changed + both, lost + b - a - both, added + d - c - both
    return changed, lost, added
