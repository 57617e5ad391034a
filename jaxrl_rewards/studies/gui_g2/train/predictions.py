"""Points or boxes of any other model, from a file: `evaluate gui --data DIR --predictions FILE`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxrl_envs.gui.screenspot import ScreenSpotSet
from jaxrl_envs.gui.screenspot_boxes import show
from jaxrl_envs.gui.screenspot_files import read_rows

from jaxrl_rewards.core.errors import InputError

KEYS = ("point", "prediction", "pred", "bbox", "box")


def read_predictions(path: str | Path, shots: ScreenSpotSet) -> np.ndarray:
    """The points float64[n, 2], in pixels, for the records of a set.

    Args:
        path: a JSON list or JSON lines. Each row is [x, y], a box [x1, y1, x2, y2] (its middle
            counts), null (no answer), or an object with one of these under `point`, `prediction`,
            `pred`, `bbox` or `box`. Objects that also have `img_filename` and `instruction` are
            matched by them; else there must be one row per record, in the records' order.

    Returns:
        NaN where there is no answer. Numbers are pixels of the image; where every answered number
        of the file lies in [0, 1] they are shares of it.

    Raises `InputError` naming the row and what is wrong with it.
    """
    rows = [(row.label, row.value) for row in read_rows(Path(path))]
    named = [_name(value) for _, value in rows]
    if all(name is not None for name in named):
        points = _matched(rows, named, shots, path)
    elif len(rows) == len(shots):
        points = [_point(value, label, path) for label, value in rows]
    else:
        raise InputError(
            f"{path} has {len(rows)} predictions for {len(shots)} records; give one per record in "
            "their order, or objects with img_filename and instruction"
        )
    found = np.array(points, np.float64).reshape(-1, 2)
    if np.isfinite(found).any() and np.nanmin(found) >= 0 and np.nanmax(found) <= 1:
        found = found * np.array([record.image_size for record in shots.records], np.float64)
    return found


def _name(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return None
    name, text = value.get("img_filename", value.get("image")), value.get("instruction")
    return (name, text) if isinstance(name, str) and isinstance(text, str) else None


def _matched(rows, named, shots: ScreenSpotSet, path) -> list[tuple[float, float]]:
    known = {}
    for name, (label, value) in zip(named, rows, strict=True):
        known.setdefault(name, _point(value, label, path))
    points = []
    for record in shots.records:
        key = (record.image_name, record.instruction)
        if key not in known:
            raise InputError(
                f"{path} has no prediction for {show(record.instruction)} on "
                f"{show(record.image_name)}; add it (null where there is no answer)"
            )
        points.append(known[key])
    return points


def _point(value: Any, label: str, path) -> tuple[float, float]:
    if isinstance(value, dict):
        key = next((key for key in KEYS if key in value), None)
        if key is None:
            raise InputError(
                f"{path}: {label} has none of the fields {', '.join(KEYS)}; add the point or box"
            )
        value = value[key]
    if value is None:
        return math.nan, math.nan
    good = isinstance(value, list) and len(value) in (2, 4)
    numbers = [
        float(v)
        for v in (value if good else ())
        if isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e9
    ]
    if not good or len(numbers) != len(value):
        raise InputError(
            f"{path}: {label} is {show(value)}; give [x, y], [x1, y1, x2, y2] or null, in pixels"
        )
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    return (numbers[0] + numbers[2]) / 2, (numbers[1] + numbers[3]) / 2
