"""Rewards for answers given as text: read a box from it and score it, on the host.

The arithmetic is that of `jaxrl_rewards.rewards.spatial`, which scores arrays inside compiled
programs; both agree on answers that can be read. Source: Tang et al., "GUI-G²", 2025.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from jaxrl_rewards.rewards import spatial

_NUMBER = r"\s*(-?(?:\d+\.\d+|\.\d+|\d+))\s*"
_BOX = re.compile(r"\[" + ",".join([_NUMBER] * 4) + r"\]")
_FORMAT = re.compile(r"\[" + ",".join([r"\s*\d+\s*"] * 4) + r"\]")
_SPEAKER = "assistant\n"


def answer_of(text: str) -> str:
    """What follows the last line that ends in "assistant", or all of the text."""
    return text.rsplit(_SPEAKER, 1)[-1]


def parse_box(text: str) -> tuple[float, float, float, float] | None:
    """The first `[a, b, c, d]` in the answer as four floats, or None where there is none.

    Decimal points and minus signs are allowed, exponents and a plus sign are not.
    """
    match = _BOX.search(answer_of(text))
    return None if match is None else tuple(float(number) for number in match.groups())


def format_reward(text: str) -> float:
    """1.0 where the *whole* answer is four unsigned integers in brackets, else 0.0.

    Blanks inside the brackets are allowed, around them not.
    """
    return 1.0 if _FORMAT.fullmatch(answer_of(text)) else 0.0


def score_completion(
    text: str,
    gt: Sequence[float],
    *,
    alpha: float = 0.5,
    eps: float = 1e-8,
    round_decimals: int | None = 3,
    strict: bool = True,
) -> dict[str, float]:
    """`{"point", "coverage", "format"}` for one answer; all but the format 0 where none is found.

    `gt` is the target `[x1, y1, x2, y2]` in pixels; ValueError when it does not hold four
    numbers. Point and coverage are rounded to `round_decimals` as published (None: not at all).
    `strict` rejects reversed corners, which the published code accepts.
    """
    target = np.asarray(gt, np.float32)
    if target.shape != (4,):
        raise ValueError(f"a target box holds four numbers [x1, y1, x2, y2], got {gt!r}")
    scores = {"point": 0.0, "coverage": 0.0, "format": format_reward(text)}
    box = parse_box(text)
    if box is None:
        return scores
    # Numbers beyond float32 become infinite, which earns nothing.
    with np.errstate(over="ignore"):
        pred = np.asarray(box, np.float64).astype(np.float32)
    point = spatial.gaussian_point_reward(pred, target, alpha, strict=strict)
    coverage = spatial.gaussian_coverage_reward(pred, target, alpha, eps, strict=strict)
    for name, value in (("point", point), ("coverage", coverage)):
        number = float(value)
        scores[name] = number if round_decimals is None else round(number, round_decimals)
    return scores


def format_box(box: Sequence[float]) -> str:
    """The text of an answer: integers without a point, other numbers with up to six decimals."""
    numbers = [
        str(int(value)) if float(value).is_integer() else f"{float(value):.6f}".rstrip("0")
        for value in box
    ]
    return "[" + ",".join(numbers) + "]"
