"""GUI-G²'s reward for boxes and points in answers, on the host, without an array library.

The arithmetic is that of `jaxrl_rewards.rewards.spatial`, which scores arrays inside compiled
programs; both agree on answers that can be read. Source: Tang et al., "GUI-G²", 2025.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrl_rewards.rewards.text.places import (
    SCALES,
    Place,
    from_resized,
    read_place,
    read_target,
    size_of,
    smart_resize,
    to_pixels,
)
from jaxrl_rewards.rewards.text.scores import (
    NOT_APPLICABLE,
    TARGETS,
    Scores,
    TextReward,
    target_of,
)

_NUMBER = r"\s*(-?(?:\d+\.\d+|\.\d+|\d+))\s*"
_BOX = re.compile(r"\[" + ",".join([_NUMBER] * 4) + r"\]")
_FORMAT = re.compile(r"\[" + ",".join([r"\s*\d+\s*"] * 4) + r"\]")
_SPEAKER = "assistant\n"

_FAR, _TINY, _HUGE = 14.0, 1e-12, 1e12  # as in `spatial`
_COLUMNS = ("bbox", "box", "target_box", "gt_bbox", "bbox_2d", "abs_box")

Box = Sequence[float]


def answer_of(text: str) -> str:
    """What follows the last line that ends in "assistant", or all of the text."""
    return text.rsplit(_SPEAKER, 1)[-1]


def parse_box(text: str) -> tuple[float, float, float, float] | None:
    """The first `[a, b, c, d]` in the answer as four floats, or None where there is none.

    Decimal points and minus signs are allowed, exponents and a plus sign are not. This is the
    published reading; `read_place` reads the other ways of writing too.
    """
    match = _BOX.search(answer_of(text))
    return None if match is None else tuple(float(number) for number in match.groups())


def format_reward(text: str) -> float:
    """1.0 where the *whole* answer is four unsigned integers in brackets, else 0.0.

    Blanks inside the brackets are allowed, around them not.
    """
    return 1.0 if _FORMAT.fullmatch(answer_of(text)) else 0.0


def format_box(box: Box) -> str:
    """The text of an answer: integers without a point, other numbers with up to six decimals."""
    numbers = [
        str(int(value)) if float(value).is_integer() else f"{float(value):.6f}".rstrip("0")
        for value in box
    ]
    return "[" + ",".join(numbers) + "]"


def point_score(pred: Box, gt: Box, alpha: float = 0.5, *, strict: bool = True) -> float:
    """`spatial.gaussian_point_reward` of two boxes given as four numbers each."""
    if not _sound(pred) or not _sound(gt) or (strict and not _ordered(pred)):
        return 0.0
    total = 0.0
    for low, high in ((0, 2), (1, 3)):
        size = gt[high] - gt[low]
        spread = abs(alpha * size)
        offset = 0.5 * (pred[low] + pred[high]) - 0.5 * (gt[low] + gt[high])
        if spread <= _TINY or (strict and size <= 0.0) or abs(offset) >= _FAR * spread:
            return 0.0
        total += (offset / spread) ** 2
    return math.exp(-0.5 * total)


def coverage_score(
    pred: Box, gt: Box, alpha: float = 0.5, eps: float = 0.0, *, strict: bool = True
) -> float:
    """`spatial.gaussian_coverage_reward` of two boxes given as four numbers each."""
    if not _sound(pred) or not _sound(gt) or (strict and not (_ordered(pred) and _ordered(gt))):
        return 0.0
    exponent, product, flat, has_area = 0.0, 0.0, 0.25 * math.log(eps) if eps > 0 else 0.0, True
    for low, high in ((0, 2), (1, 3)):
        sigma_p = abs(alpha * (pred[high] - pred[low]))
        sigma_g = abs(alpha * (gt[high] - gt[low]))
        offset = 0.5 * (pred[low] + pred[high]) - 0.5 * (gt[low] + gt[high])
        spread = math.sqrt(0.5 * (sigma_p**2 + sigma_g**2) + eps)
        if sigma_g <= _TINY or abs(offset) >= 2.0 * _FAR * spread:
            return 0.0
        exponent -= 0.125 * (offset / spread) ** 2
        flat -= 0.5 * math.log(0.5 * (sigma_p**2 + sigma_g**2))
        if sigma_p > _TINY:
            gap = (sigma_p - sigma_g) / sigma_g
            exponent -= 0.5 * math.log1p(0.5 * gap * (gap / (sigma_p / sigma_g)))
            product += 2.0 * (math.log(sigma_p) + math.log(sigma_g))
        else:
            has_area = False
    if not has_area:
        return _coverage_without_area(pred, gt, alpha, eps, flat)
    if eps > 0:
        exponent += 0.25 * _softplus(math.log(eps) - product)
    return math.exp(min(exponent, 80.0))


def _coverage_without_area(pred: Box, gt: Box, alpha: float, eps: float, flat: float) -> float:
    """The coverage of a prediction without width or height."""
    if eps <= 0:
        return 0.0
    distance = 0.0
    for low, high in ((0, 2), (1, 3)):
        offset = 0.5 * (pred[low] + pred[high]) - 0.5 * (gt[low] + gt[high])
        square = (alpha * (pred[high] - pred[low])) ** 2 + (alpha * (gt[high] - gt[low])) ** 2
        distance += 0.125 * offset**2 / (0.5 * square + eps)
    return math.exp(min(flat - distance, 80.0))


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def _sound(box: Box) -> bool:
    return all(abs(value) < _HUGE for value in box)


def _ordered(box: Box) -> bool:
    return box[2] >= box[0] and box[3] >= box[1]


def score_completion(
    text: str,
    gt: Box,
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
    target = tuple(float(value) for value in gt)
    if len(target) != 4:
        raise ValueError(f"a target box holds four numbers [x1, y1, x2, y2], got {gt!r}")
    scores = {"point": 0.0, "coverage": 0.0, "format": format_reward(text)}
    box = parse_box(text)
    if box is None:
        return scores
    point = point_score(box, target, alpha, strict=strict)
    coverage = coverage_score(box, target, alpha, eps, strict=strict)
    for name, value in (("point", point), ("coverage", coverage)):
        scores[name] = value if round_decimals is None else round(value, round_decimals)
    return scores


# ---------------------------------------------------------------- as a reward of a row


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuiG2Reward(TextReward):
    """`nu * point + gamma * coverage` of the box or point that a completion names; in [0, 2].

    The target stands in `column`, or in the first of `bbox, box, target_box, ..., ground_truth,
    answer, solution, target`: a string, a list, an array or a mapping, in pixels of the image
    (`target_scale` "unit", "percent", "thousand" otherwise), corners or, with `layout="xywh"`,
    corner and size. Without a target the reward does not apply; a completion without a box or point
    earns 0.

    `scale` is that of the completion's coordinates; "auto" takes what the way of writing tells
    (`<|box_start|>`: thousandths, `<point x= y=>`: percent, decimals up to 1: shares), else pixels.
    Scales but pixels, and `resized`, need the image's size in columns `width` and `height`, or
    `image_size`: ValueError without, but where only the completion chose the scale it earns 0.
    `resized` says that the model answers in pixels of the image that Qwen's processor made
    (`smart_resize` with `factor`, `min_pixels` and `max_pixels`); they are scaled back.

    A point earns the point part alone, and its coverage does not apply. Terms: "point", "coverage",
    "format" (the answer is four integers in brackets, added with `format_weight`), "hit" (the
    centre lies in the target).
    """

    alpha: float = 0.5
    nu: float = 1.0
    gamma: float = 1.0
    format_weight: float = 0.0
    column: str | None = None
    layout: str = "xyxy"
    target_scale: str = "pixels"
    scale: str = "auto"
    resized: bool = False
    factor: int = 28
    min_pixels: int = 56 * 56
    max_pixels: int = 12_845_056
    name: str = "gui_g2"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.layout not in ("xyxy", "xywh"):
            raise ValueError(f"layout is {self.layout!r}; use xyxy or xywh")
        for field, others in (("scale", ("auto",)), ("target_scale", ())):
            if getattr(self, field) not in (*SCALES, *others):
                raise ValueError(
                    f"{field} is {getattr(self, field)!r}; use {', '.join((*others, *SCALES))}"
                )

    @property
    def terms(self) -> tuple[str, ...]:
        """See `TextReward`."""
        return ("point", "coverage", "format", "hit")

    def is_one_target(self, name: str, value: Any) -> bool:
        """Four plain numbers in a target's column are one box, not one target per completion."""
        named = name == self.column if self.column else name in (*_COLUMNS, *TARGETS)
        return named and len(value) == 4 and all(isinstance(v, numbers.Real) for v in value)

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """See `TextReward`."""
        target = target_of(row, self.column, _COLUMNS)
        if target is None:
            return self.nothing()
        gt = self._target(target, row)
        place = read_place(answer_of(text))
        terms = {"point": 0.0, "coverage": 0.0, "format": format_reward(text), "hit": 0.0}
        total = self.format_weight * terms["format"]
        if place is None:
            return Scores(total, terms)
        box = self._pixels(place, row)
        if box is None:
            return Scores(total, terms)
        terms["point"] = point_score(box, gt, self.alpha)
        terms["hit"] = _hit(box, gt)
        total += self.nu * terms["point"]
        if place.is_point:
            terms["coverage"] = NOT_APPLICABLE
        else:
            terms["coverage"] = coverage_score(box, gt, self.alpha)
            total += self.gamma * terms["coverage"]
        return Scores(total, terms)

    def _target(self, value: Any, row: Mapping[str, Any]) -> Box:
        """The target's corners in pixels."""
        place = read_target(value, self.layout)
        if place.is_point:
            raise ValueError(f"a target box holds four numbers [x1, y1, x2, y2], got {value!r}")
        size = size_of(row) if self.target_scale != "pixels" else None
        return to_pixels(place.box, self.target_scale, size)

    def _pixels(self, place: Place, row: Mapping[str, Any]) -> Box | None:
        """The corners of a completion's place in pixels of the original image, or None."""
        scale = (place.scale or "pixels") if self.scale == "auto" else self.scale
        if scale == "pixels" and not self.resized:
            return place.box
        size = size_of(row)
        if scale != "pixels":
            if size is None and self.scale == "auto":
                return None
            return to_pixels(place.box, scale, size)
        if size is None:
            raise ValueError(
                "resized coordinates need the image's size; give columns width and height"
            )
        width, height = int(size[0]), int(size[1])
        resized = smart_resize(
            width,
            height,
            factor=self.factor,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
        )
        return from_resized(place.box, (width, height), resized)


def gui_g2_reward(completion: str, target: Any, **options: Any) -> float:
    """The total of `GuiG2Reward` for one completion; `options` are its fields."""
    return GuiG2Reward(**options)(completion, {"bbox": target}).total


def _hit(box: Box, gt: Box) -> float:
    """1.0 where the centre of a box with corners in order lies in the target, borders included."""
    x, y = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])
    inside = gt[0] <= x <= gt[2] and gt[1] <= y <= gt[3]
    return float(inside and _ordered(box))
