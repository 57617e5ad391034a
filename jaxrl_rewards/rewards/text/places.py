"""Boxes and points as models that use screens write them, and the pixels they mean.

Read are `[x1, y1, x2, y2]`, `(x, y)`, `[[x1, y1], [x2, y2]]`, `(x1,y1),(x2,y2)`, JSON with
`bbox_2d`, `point_2d`, `coordinate`, `x` and `y`, `<point>x y</point>`, `<point x="..." y="...">`,
`<|box_start|>...<|box_end|>`, `<box>`, `<loc_12>`, `click(x=..., y=...)`, `start_box='(x,y)'`.
Every pattern begins at a mark, so that reading is linear in the length of the text.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxrl_rewards.core.thinking import without_thinking

SCALES = {"pixels": 0.0, "unit": 1.0, "percent": 100.0, "thousand": 1000.0}
"""What a coordinate at the far edge of the image reads, by the name of the scale."""

_N = r"([-+]?(?:\d++(?:\.\d*+)?|\.\d++))"
_SEP = r"\s{0,4}[,;\s]\s{0,4}"
_PAIR = _N + _SEP + _N
_GROUP = re.compile(
    r"[\[({<>'\"|]\s{0,4}" + _PAIR + r"(?:\s{0,4}[\])]{0,2}" + _SEP + r"[\[(]{0,2}\s{0,4}" + _PAIR
    + r")?\s{0,4}[\])}<'\"|]"
)  # fmt: skip
_QUOTE = r"[\"']?"
_IS = _QUOTE + r"\s{0,4}[=:]\s{0,4}" + _QUOTE
_NEXT = _QUOTE + r"[\s,;]{1,8}" + _QUOTE


def _named(x: str, y: str) -> str:
    """`x=1, y=2`, `"x": 1, "y": 2` and the like for two names."""
    return x + _IS + _N + _NEXT + y + _IS + _N


_START = r"(?<![A-Za-z0-9_])" + _QUOTE
_NAMED_POINT = re.compile(_START + _named("x", "y"))
_NAMED_BOX = re.compile(
    _START + _named("x(?:1|_?min)", "y(?:1|_?min)") + _NEXT + _named("x(?:2|_?max)", "y(?:2|_?max)")
)
_LOC = re.compile(r"<loc_(\d{1,4})>" * 4)
_BARE = re.compile(r"\s{0,4}" + _PAIR + "(?:" + _SEP + _PAIR + r")?\s{0,4}")


class Place(NamedTuple):
    """A box or, where both corners are one, a point; `scale` where the text tells it."""

    box: tuple[float, float, float, float]
    is_point: bool
    scale: str | None


def read_place(text: str) -> Place | None:
    """The first box or point that an answer names, or None.

    Thoughts are cut away. Where the answer has an `<answer>` tag or an `Action:` line, what stands
    there is read first.
    """
    if "<" in text or "think" in text or "◁" in text:
        text = without_thinking(text)
    for part in _regions(text):
        place = _first_place(part)
        if place is not None:
            return place
    return None


def _regions(text: str) -> list[str]:
    """Parts of an answer in the order in which they are read."""
    regions = []
    if "<answer>" in text:
        regions.append(text.rpartition("<answer>")[2].partition("</answer>")[0])
    if "Action:" in text:
        regions.append(text.rpartition("Action:")[2])
    return [*regions, text]


def _first_place(text: str) -> Place | None:
    match = _GROUP.search(text)
    if "x" in text or "<loc_" in text:
        others = [m for p in (_NAMED_BOX, _NAMED_POINT, _LOC) if (m := p.search(text))]
        found = [match, *others] if match else others
        match = min(found, key=re.Match.start) if found else None
    if match is None:
        match = _BARE.fullmatch(text) if len(text) < 200 else None
        if match is None:
            return None
    numbers = tuple(float(number) for number in match.groups() if number is not None)
    return _place(numbers, _scale(text, match, numbers))


def _place(numbers: tuple[float, ...], scale: str | None) -> Place:
    if len(numbers) == 2:
        return Place((*numbers, *numbers), True, scale)
    return Place(numbers, False, scale)


def _scale(text: str, match: re.Match, numbers: tuple[float, ...]) -> str | None:
    """The scale that the way of writing tells, or None."""
    before = text[max(match.start() - 24, 0) : match.start() + 2]
    if match.re is _LOC or "<|box_start|>" in before or "<box>" in before:
        return "thousand"
    if match.re is _NAMED_POINT and "<point" in before:
        return "percent"
    written = match.group()
    if "." in written and all(0.0 <= number <= 1.0 for number in numbers):
        return "unit"
    return None


def to_pixels(
    box: Sequence[float], scale: str, size: tuple[float, float] | None
) -> tuple[float, float, float, float]:
    """A box in a scale of `SCALES` in pixels of an image of `size` (width, height)."""
    if scale not in SCALES:
        raise ValueError(f"scale is {scale!r}; use {', '.join(SCALES)}")
    if scale == "pixels":
        return tuple(box)
    if size is None:
        raise ValueError(
            f"coordinates of scale {scale!r} need the image's size; give width and height"
        )
    x, y = size[0] / SCALES[scale], size[1] / SCALES[scale]
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


# ---------------------------------------------------------------- Qwen's resized images


def smart_resize(
    width: int,
    height: int,
    *,
    factor: int = 28,
    min_pixels: int = 56 * 56,
    max_pixels: int = 12_845_056,
) -> tuple[int, int]:
    """`(width, height)` of an image as Qwen's image processors resize it before the model sees it.

    Sides are multiples of `factor` (28 for Qwen2-VL and Qwen2.5-VL, 32 for Qwen3-VL), the area lies
    between the bounds where it can, the shape is kept as well as it can be. Qwen2.5-VL answers in
    these pixels. ValueError for sides below 1 or a shape beyond 200 : 1.
    """
    if width < 1 or height < 1:
        raise ValueError(f"the image's size is {width} x {height}; both must be at least 1")
    if max(width, height) > 200 * min(width, height):
        raise ValueError(
            f"an image of {width} x {height} is longer than 200 : 1 and is not resized"
        )
    sides = [max(factor, round(side / factor) * factor) for side in (width, height)]
    area = sides[0] * sides[1]
    if area > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        sides = [max(factor, math.floor(s / shrink / factor) * factor) for s in (width, height)]
    elif area < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        sides = [math.ceil(side * grow / factor) * factor for side in (width, height)]
    return sides[0], sides[1]


def from_resized(
    box: Sequence[float], size: tuple[int, int], resized: tuple[int, int]
) -> tuple[float, ...]:
    """A box or point `[x, y, ...]` in pixels of the resized image in those of the original."""
    x, y = size[0] / resized[0], size[1] / resized[1]
    return tuple(value * (y if index % 2 else x) for index, value in enumerate(box))


# ---------------------------------------------------------------- targets and sizes of rows


def read_target(value: Any, layout: str = "xyxy") -> Place:
    """A target box or point given as a string, a list, nested lists, an array or a mapping.

    `layout` "xywh" takes the last two numbers for width and height. ValueError where there are
    neither two nor four numbers.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        numbers = _written(value)
    elif isinstance(value, Mapping):
        numbers = _mapped(value)
    else:
        numbers = _flat(value)
    if numbers is None or len(numbers) not in (2, 4):
        raise ValueError(
            f"a target holds four numbers [x1, y1, x2, y2], or two of a point; got {value!r}"
        )
    if layout == "xywh" and len(numbers) == 4:
        x, y, width, height = numbers
        numbers = (x, y, x + width, y + height)
    return _place(tuple(numbers), None)


@functools.lru_cache(maxsize=4096)
def _written(text: str) -> tuple[float, ...] | None:
    """The numbers of a target that is written out."""
    place = _first_place(text)
    return None if place is None else place.box[: 2 if place.is_point else 4]


def _flat(value: Any) -> tuple[float, ...] | None:
    """The numbers of a list or of a list of pairs."""
    if isinstance(value, (list, tuple)) and all(type(part) in (int, float) for part in value):
        return tuple(map(float, value))
    flat: list[float] = []
    for part in value if isinstance(value, (list, tuple)) else ():
        inner = part if isinstance(part, (list, tuple)) else (part,)
        for number in inner:
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                return None
            flat.append(float(number))
    return tuple(flat)


def _mapped(value: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The numbers of `{"x1": ...}` and of `{"bbox": [...]}`."""
    for names in (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("x", "y")):
        if all(name in value for name in names):
            return tuple(float(value[name]) for name in names)
    inner = next(
        (value[n] for n in ("bbox_2d", "bbox", "box", "point_2d", "point") if n in value), None
    )
    return None if inner is None else _flat(inner)


def size_of(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """`(width, height)` of a row's image, or None.

    From `image_size`, `img_size` or `size` as `[width, height]`, or from `width` and `height`, also
    with `image_` or `img_` before.
    """
    for name in ("image_size", "img_size", "size"):
        value = row.get(name)
        value = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(value, (list, tuple)) and len(value) == 2:
            return float(value[0]), float(value[1])
    for prefix in ("", "image_", "img_"):
        width, height = row.get(prefix + "width"), row.get(prefix + "height")
        if width is not None and height is not None:
            return float(width), float(height)
    return None
