"""Boxes of annotation files: parsing, telling the format, pixels, clipping.

A box inside the library is `(x1, y1, x2, y2)`, floats, pixels of the original image, with
`0 <= x1 < x2 <= width` and `0 <= y1 < y2 <= height`. Files hold it in one of four formats.
Everything here raises `InputError` with a clause that says what is wrong and what to do; the
readers put the file and the record in front of it.
"""

import math
import reprlib
from collections.abc import Sequence

from jaxrl_rewards.core.errors import InputError

BBOX_FORMATS = ("xywh", "xyxy", "xywh_normalised", "xyxy_normalised")
MAX_OVERHANG = 1.0

Box = tuple[float, float, float, float]

_SHORT = reprlib.Repr()
_SHORT.maxstring = 70
_SHORT.maxlist = _SHORT.maxtuple = 6
_SHORT.maxdict = 4
_SHORT.maxlevel = 3
_SHORT.maxlong = 30


def show(value: object) -> str:
    """Return a short one-line text of any JSON value, safe for deep or huge ones."""
    return _SHORT.repr(value)


def check_bbox_format(bbox_format: str, *, auto: bool = True) -> str:
    """Return `bbox_format` if it is known, else raise `InputError`."""
    allowed = BBOX_FORMATS + (("auto",) if auto else ())
    if not isinstance(bbox_format, str) or bbox_format not in allowed:
        raise InputError(f"bbox_format is {show(bbox_format)}; use one of {', '.join(allowed)}")
    return bbox_format


def parse_number(value: object) -> float:
    """Return `value` as a finite float; booleans, strings, NaN and infinities are refused."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{show(value)} is not a number; write it as a plain JSON number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{show(value)} is not a finite number; correct it or remove the record")
    return number


def parse_box_numbers(value: object) -> Box:
    """Return the four finite numbers of a JSON list, in the file's own format."""
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise InputError(f"{show(value)} is not a list of four numbers; write it as [a, b, c, d]")
    first, second, third, fourth = (parse_number(item) for item in value)
    return first, second, third, fourth


def parse_size(value: object) -> int:
    """Return a positive whole number of pixels; 640 and 640.0 are both accepted."""
    number = parse_number(value)
    if number < 1 or number != int(number):
        raise InputError(f"{show(value)} is not a positive whole number of pixels; correct it")
    return int(number)


def box_to_pixels(numbers: Sequence[float], bbox_format: str, size: tuple[int, int]) -> Box:
    """Return the corners in pixels of four numbers in `bbox_format`; `size` is (width, height)."""
    first, second, third, fourth = numbers
    if bbox_format.endswith("_normalised"):
        width, height = size
        first, second, third, fourth = (
            first * width,
            second * height,
            third * width,
            fourth * height,
        )
    if bbox_format.startswith("xywh"):
        third, fourth = first + third, second + fourth
    return first, second, third, fourth


def box_from_pixels(box: Box, bbox_format: str, size: tuple[int, int]) -> list[float]:
    """Return the four numbers of `box` in `bbox_format`.

    Reading them gives `box` again, bit for bit: always for "xyxy"; for "xywh" wherever the box was
    itself read as x, y, w, h, or lies on a binary grid (browsers use 1/64 px). Any other number may
    differ in its last bit, since no float64 extent then leads to it.
    """
    x1, y1, x2, y2 = box
    if bbox_format == "xyxy":
        return [x1, y1, x2, y2]
    if bbox_format == "xywh":
        return [x1, y1, _exact_extent(x1, x2), _exact_extent(y1, y2)]
    width, height = size
    numbers = [x1 / width, y1 / height, x2 / width, y2 / height]
    if bbox_format == "xywh_normalised":
        numbers[2:] = [(x2 - x1) / width, (y2 - y1) / height]
    return numbers


def _exact_extent(start: float, end: float) -> float:
    """Return the float e for which start + e comes nearest to end; equal wherever one exists."""
    extent = end - start
    near = (extent, math.nextafter(extent, 0.0), math.nextafter(extent, math.inf))
    return min(near, key=lambda candidate: abs(start + candidate - end))


def place_box(
    numbers: Sequence[float],
    bbox_format: str,
    size: tuple[int, int],
    max_overhang: float = MAX_OVERHANG,
) -> Box:
    """Return the box in pixels, clipped to the image.

    A box may reach beyond the image by at most `max_overhang` pixels on any side (browsers and
    annotation tools round outwards); that part is cut off. Anything farther out, reversed corners
    and boxes without area (before or after clipping) raise `InputError`.
    """
    width, height = size
    x1, y1, x2, y2 = box_to_pixels(numbers, bbox_format, size)
    shown = f"[{', '.join(f'{value:.6g}' for value in numbers)}] ({bbox_format})"
    if x2 < x1 or y2 < y1:
        raise InputError(
            f"{shown} has reversed corners or a negative size; swap them, or give the right "
            "bbox_format"
        )
    if x2 == x1 or y2 == y1:
        raise InputError(f"{shown} has no area; correct it or remove the record")
    overhang = max(-x1, -y1, x2 - width, y2 - height)
    if not overhang <= max_overhang:
        raise InputError(
            f"{shown} reaches {overhang:.6g} px outside the {width}x{height} image (at most "
            f"{max_overhang:g} px is clipped); correct it, or give the right bbox_format"
        )
    x1, y1 = max(x1, 0.0), max(y1, 0.0)
    x2, y2 = min(x2, float(width)), min(y2, float(height))
    if x2 <= x1 or y2 <= y1:
        raise InputError(
            f"{shown} has no area inside the {width}x{height} image; correct or remove it"
        )
    return x1, y1, x2, y2


def _fits(numbers: Box, bbox_format: str, size: tuple[int, int], max_overhang: float) -> bool:
    try:
        x1, y1, x2, y2 = place_box(numbers, bbox_format, size, max_overhang)
    except InputError:
        return False
    # Read as pixels, a normalised box lies within the first pixel: no annotator draws that.
    return bbox_format.endswith("_normalised") or max(x2, y2) > 1.0


def detect_bbox_format(
    boxes: Sequence[tuple[Box, tuple[int, int]]],
    declared: str | None = None,
    max_overhang: float = MAX_OVERHANG,
) -> str:
    """Tell the format of a whole file from its boxes.

    `boxes` holds pairs (four numbers, (width, height) of the image). Each of the four formats is
    tried on every box; a box that would be reversed, empty, outside its image or, read as pixels,
    within one pixel does not fit. The rule:

    1. exactly one format fits every box: that one;
    2. several do: `declared` (what the layout prescribes) if it is among them, else `InputError`;
    3. none does: the best one, if it misses at most a tenth of the boxes (at least one) and every
       other misses more; the misfits are then reported record by record. Else `InputError`.
    """
    if not boxes:
        return declared or "xywh"
    misses = {
        name: sum(not _fits(numbers, name, size, max_overhang) for numbers, size in boxes)
        for name in BBOX_FORMATS
    }
    fitting = [name for name in BBOX_FORMATS if misses[name] == 0]
    if len(fitting) == 1:
        return fitting[0]
    example = f"the first is {show(list(boxes[0][0]))} in a {boxes[0][1][0]}x{boxes[0][1][1]} image"
    if fitting:
        if declared in fitting:
            return declared
        raise InputError(
            f"field 'bbox': the {len(boxes)} boxes fit {' and '.join(fitting)} alike ({example}); "
            "give bbox_format explicitly"
        )
    ranked = sorted(BBOX_FORMATS, key=lambda name: (misses[name], name != declared))
    best, second = ranked[0], ranked[1]
    clear = misses[best] < misses[second] or best == declared
    if clear and misses[best] <= max(1, len(boxes) // 10):
        return best
    counts = ", ".join(f"{name} {misses[name]}" for name in BBOX_FORMATS)
    raise InputError(
        f"field 'bbox': no format fits the {len(boxes)} boxes (misfits: {counts}; {example}): "
        "they are reversed, empty or outside their images; correct them, or give bbox_format to "
        "have each checked by itself"
    )
