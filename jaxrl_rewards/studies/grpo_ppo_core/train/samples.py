"""Answers before and after training, as a table and a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core.files import atomic_write_json


class Samples:
    """The same questions answered at several times."""

    def __init__(self, show: Callable[[Any], str], count: int):
        """`show` turns tokens into text; `count` questions are shown."""
        self._show, self._count = show, count
        self.accuracy: dict[str, float] = {}
        self._answers: dict[str, list[tuple[str, str, bool]]] = {}

    def add(self, when: str, evaluation: Any) -> None:
        """The first answers of an evaluation."""
        played = evaluation.played
        right = np.asarray(evaluation.right)
        self.accuracy[when] = float(evaluation.accuracy)
        self._answers[when] = [
            (*self._split(played, row), bool(right[row]))
            for row in range(min(self._count, right.shape[0]))
        ]

    def _split(self, played: Any, row: int) -> tuple[str, str]:
        """`(prompt, answer)` of a row."""
        alive, own = np.asarray(played.alive[row, 0]), np.asarray(played.own[row, 0])
        prompt = np.asarray(played.obs[row, 0])[: int(np.argmax(own)) + 1]
        return self._show(prompt), self._show(np.asarray(played.action[row, 0])[alive & own])

    def table(self) -> str:
        """One line per question and time."""
        times = list(self._answers)
        lines = []
        for index in range(len(self._answers[times[0]])):
            lines.append(self._answers[times[0]][index][0])
            for when in times:
                _, answer, right = self._answers[when][index]
                lines.append(f"  {when:<7}{'right' if right else 'wrong'}  {answer}")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """All of it as JSON."""
        atomic_write_json(
            path,
            {
                when: [{"prompt": p, "answer": a, "right": r} for p, a, r in answers]
                for when, answers in self._answers.items()
            },
        )
