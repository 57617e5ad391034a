"""Pointing by reading with a library and choosing among candidates.

pointer = TextPointer.load()
answers = pointer.answer(image, ["Sign in", 'Click the "Help" link'])
answers[0].found, answers[0].point
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxrl_envs.gui.candidate_features import FEATURES
from jaxrl_envs.gui.candidates import MOST, Candidates, candidates
from jaxrl_envs.gui.read_text import rapid_engine, read_screen
from jaxrl_envs.gui.screen_look import ScreenLook
from jaxrl_envs.gui.screen_text import ScreenText
from jaxrl_envs.gui.text_rows import rows_of

from jaxrl_rewards.networks.candidate_policy import candidate_logits
from jaxrl_rewards.studies.gui_g2.train.choice_checkpoint import load_choice

CHUNK = 32
"""Instructions in one pass of the policy."""

_logits = jax.jit(candidate_logits)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is answered to one instruction.

    Attributes:
        found: False for "not found".
        point: (x, y) in pixels: the likeliest place, whatever `found` says; the middle of the
            screen where there is no candidate at all.
        box: (x1, y1, x2, y2) of the text there, or None.
        probability: of "found", 0 to 1.
        reading: the text that was looked for.
    """

    found: bool
    point: tuple[float, float]
    box: tuple[float, float, float, float] | None
    probability: float
    reading: str


@dataclasses.dataclass(frozen=True)
class TextPointer:
    """A policy over candidates, and what reads the screens (`image -> ScreenText`)."""

    params: Any
    bias: float = 0.0
    read: Callable[[np.ndarray], ScreenText] = read_screen

    @classmethod
    def load(cls, path=None, read: Callable[[np.ndarray], ScreenText] | None = None):
        """The shipped policy, or one of a file; reads with RapidOCR unless `read` is given.

        Raises `InputError` for a bad file, or in one sentence where the `ocr` extra is missing.
        """
        if read is None:
            rapid_engine()
        checkpoint = load_choice(path)
        return cls(checkpoint.params, checkpoint.bias, read_screen if read is None else read)

    def answer(self, image: np.ndarray, instructions: Sequence[str]) -> list[Answer]:
        """Answer all instructions about one screen, which is read once.

        Args:
            image: uint8[H, W, 3], any size.
            instructions: texts, or English sentences that name one.

        Raises `InputError` for an empty instruction or another image.
        """
        lines, look = rows_of(self.read(image)), ScreenLook(image)
        found = [candidates(text, lines, look) for text in instructions]
        return [
            self._answer(item, row, lines.text)
            for item, row in zip(found, self.logits(found), strict=True)
        ]

    def logits(self, found: Sequence[Candidates]) -> np.ndarray:
        """float32[n, K + 1], the bias of "not found" added."""
        rows = np.zeros((0, MOST + 1), np.float32)
        for start in range(0, len(found), CHUNK):
            part = found[start : start + CHUNK]
            features = np.zeros((CHUNK, MOST, FEATURES), np.float32)
            present = np.zeros((CHUNK, MOST), np.float32)
            for index, item in enumerate(part):
                features[index, : len(item)], present[index, : len(item)] = item.features, 1.0
            values = np.array(_logits(self.params, features, present))[: len(part)]
            rows = np.concatenate([rows, values])
        rows[:, -1] += self.bias
        return rows

    def _answer(self, item: Candidates, logits: np.ndarray, text: ScreenText) -> Answer:
        if not len(item):
            return Answer(False, (text.width / 2, text.height / 2), None, 0.0, item.reading)
        best = int(np.argmax(logits[: len(item)]))
        weights = np.exp(logits - logits.max())
        probability = float(1 - weights[-1] / weights.sum())
        x, y = (float(value) for value in item.points[best])
        box = tuple(float(value) for value in item.boxes[best])
        found = bool(logits[best] > logits[-1])
        return Answer(found, (x, y), box, probability, item.reading)
