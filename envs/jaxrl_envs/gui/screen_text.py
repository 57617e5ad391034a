"""Records of read text: lines with boxes, and the place of each character in its line."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class TextLine:
    """One line of text.

    Attributes:
        text: as read; spaces between words may be missing.
        box: (x1, y1, x2, y2) in pixels.
        confidence: of the reading, 0 to 1.
        edges: float32[len(text), 2], left and right edge of each character in pixels.
    """

    text: str
    box: Box
    confidence: float
    edges: np.ndarray

    @classmethod
    def of(
        cls, text: str, box, confidence: float = 1.0, edges: np.ndarray | None = None
    ) -> TextLine:
        """A line; without `edges`, or with others than one pair per character, evenly spread."""
        x1, y1, x2, y2 = (float(value) for value in box)
        if edges is None or np.shape(edges) != (len(text), 2):
            cuts = np.linspace(x1, x2, len(text) + 1)
            edges = np.stack([cuts[:-1], cuts[1:]], axis=1)
        return cls(text, (x1, y1, x2, y2), float(confidence), np.asarray(edges, np.float32))

    def moved(self, x: float, y: float) -> TextLine:
        """The line at another place."""
        x1, y1, x2, y2 = self.box
        return dataclasses.replace(
            self, box=(x1 + x, y1 + y, x2 + x, y2 + y), edges=self.edges + np.float32(x)
        )

    def part(self, start: int, stop: int) -> TextLine:
        """Characters `start` to `stop`, with their part of the box."""
        edges = self.edges[start:stop]
        box = (float(edges[0, 0]), self.box[1], float(edges[-1, 1]), self.box[3])
        return TextLine(self.text[start:stop], box, self.confidence, edges)

    @property
    def height(self) -> float:
        """Of the box, in pixels."""
        return self.box[3] - self.box[1]


@dataclasses.dataclass(frozen=True)
class ScreenText:
    """All lines of a screen of `width` by `height` pixels."""

    lines: tuple[TextLine, ...]
    width: int
    height: int

    def to_json(self) -> dict[str, Any]:
        """As plain lists, rounded to a tenth of a pixel."""
        rows = [
            {
                "text": line.text,
                "box": [round(value, 1) for value in line.box],
                "confidence": round(line.confidence, 4),
                "edges": [[round(float(v), 1) for v in pair] for pair in line.edges],
            }
            for line in self.lines
        ]
        return {"width": self.width, "height": self.height, "lines": rows}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ScreenText:
        """The inverse of `to_json`; KeyError, TypeError or ValueError for anything else."""
        lines = []
        for row in data["lines"]:
            edges = np.array(row["edges"], np.float32).reshape(-1, 2)
            if len(edges) != len(row["text"]) or len(row["box"]) != 4:
                raise ValueError("edges and text differ in length")
            lines.append(TextLine.of(row["text"], row["box"], row["confidence"], edges))
        return cls(tuple(lines), int(data["width"]), int(data["height"]))
