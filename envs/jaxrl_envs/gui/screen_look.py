"""What text on a screen looks like: its colours, whether it is bold or underlined, and its frame.

Everything is measured from the pixels around a text's box, whatever found the box.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np

from jaxrl_envs.gui.screen_text import Box

REACH_X, REACH_Y = 220, 36
"""Pixels (times the text's height over 16) within which a frame is looked for."""
EDGE = 0.85
"""Share of a row or column that must differ from the ground to be a frame's edge."""
CHANGE = 14
"""Difference of a colour channel that counts."""


@dataclasses.dataclass(frozen=True)
class Look:
    """Of one text: colours float[3] of ink and ground, share of ink, underline, frame.

    frame: (left, top, right, bottom) edges found around the text; NaN where there is none.
    """

    ink: np.ndarray
    ground: np.ndarray
    density: float
    underlined: bool
    frame: np.ndarray


class ScreenLook:
    """A screen whose texts are looked at, uint8[H, W, 3]; results are kept per box."""

    def __init__(self, image: np.ndarray):
        self.image = np.asarray(image)
        self.height, self.width = self.image.shape[:2]
        self._kept: dict[tuple[int, int, int, int], Look] = {}

    @cached_property
    def ground(self) -> np.ndarray:
        """The most frequent colour, float[3]."""
        step = max(1, int(np.sqrt(self.height * self.width / 40_000)))
        return frequent_colour(self.image[::step, ::step])

    def look(self, box: Box) -> Look:
        """Look at the text in a box."""
        key = self._whole(box)
        if key not in self._kept:
            self._kept[key] = self._measure(*key)
        return self._kept[key]

    def _whole(self, box: Box) -> tuple[int, int, int, int]:
        x1, y1 = max(0, int(box[0])), max(0, int(box[1]))
        x2, y2 = min(self.width, int(np.ceil(box[2]))), min(self.height, int(np.ceil(box[3])))
        x1, y1 = min(x1, self.width - 1), min(y1, self.height - 1)
        return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)

    def _measure(self, x1: int, y1: int, x2: int, y2: int) -> Look:
        crop = self.image[y1:y2, x1:x2].astype(np.float32)
        ground = frequent_colour(crop)
        distance = furthest_channel(crop, ground)
        strongest = float(np.quantile(distance, 0.98))
        inked = distance > max(0.6 * strongest, CHANGE)
        ink = crop[inked].mean(axis=0) if inked.any() else ground
        full = inked.mean(axis=1)
        middle = inked.shape[0] * 5 // 8
        underlined = bool(
            inked.shape[0] >= 8 and full[middle:].max(initial=0) > 0.8 and full[:middle].max() < 0.8
        )
        frame = self._frame((x1, y1, x2, y2), ground)
        return Look(ink, ground, float(inked.mean()), underlined, frame)

    def _frame(self, box: tuple[int, int, int, int], ground: np.ndarray) -> np.ndarray:
        """Where, outwards from the box, the ground ends along the box's whole side."""
        x1, y1, x2, y2 = box
        scale = max(1.0, (y2 - y1) / 16)
        left, right = max(0, x1 - int(REACH_X * scale)), min(self.width, x2 + int(REACH_X * scale))
        top, bottom = max(0, y1 - int(REACH_Y * scale)), min(self.height, y2 + int(REACH_Y * scale))
        tall = furthest_channel(self.image[top:bottom, x1:x2], ground) > CHANGE
        wide = furthest_channel(self.image[y1:y2, left:right], ground) > CHANGE
        rows, columns = tall.mean(axis=1) > EDGE, wide.mean(axis=0) > EDGE
        above, under = np.flatnonzero(rows[: y1 - top + 2]), np.flatnonzero(rows[y2 - top - 2 :])
        before, after = (
            np.flatnonzero(columns[: x1 - left + 1]), np.flatnonzero(columns[x2 - left - 1 :]),
        )  # fmt: skip
        return np.array(
            [
                left + before[-1] + 1 if before.size else np.nan,
                top + above[-1] + 1 if above.size else np.nan,
                x2 - 1 + after[0] if after.size else np.nan,
                y2 - 2 + under[0] if under.size else np.nan,
            ]
        )


def frequent_colour(pixels: np.ndarray) -> np.ndarray:
    """The mean of the fullest of 4,096 colour cells, float[3]."""
    flat = pixels.reshape(-1, 3)
    cells = flat.astype(np.uint8) >> 4
    index = (cells[:, 0].astype(np.int64) << 8) | (cells[:, 1].astype(np.int64) << 4) | cells[:, 2]
    fullest = np.argmax(np.bincount(index, minlength=4096))
    return flat[index == fullest].mean(axis=0).astype(np.float32)


def furthest_channel(pixels: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Largest difference of a channel from a colour, float32[H, W]."""
    red, green, blue = (
        np.abs(pixels[..., channel] - np.float32(colour[channel])) for channel in range(3)
    )
    return np.maximum(np.maximum(red, green), blue)


def saturation(colour: np.ndarray) -> float:
    """Spread of the channels, 0 to 1."""
    return float(colour.max() - colour.min()) / 255
