"""Panels of a study's pictures: curves with bands, bars with seeds, strips of images.

Every function draws on axes or a figure of matplotlib that it is given; nothing here imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrl_rewards.studies.shared.intervals import bootstrap_interval

NOT_ARMS = {"x", "xlabel"}


def thin(curves: Any, points: int = 100) -> np.ndarray:
    """At most `points` columns of `curves` `[seeds, n]`, evenly spaced, the last one included."""
    curves = np.asarray(curves)
    return curves[:, np.unique(np.linspace(0, curves.shape[1] - 1, points).astype(int))]


def windows(curves: Mapping[str, Any], size: int, unit: float, label: str) -> dict[str, Any]:
    """A panel of means over windows of `size` points: `{"x", "xlabel", arm: [seeds, n // size]}`.

    `x` counts `unit` per point up to each window's end. Fewer points than a window are one window;
    a rest that fills none is left out.
    """
    points = next(iter(curves.values())).shape[1]
    size = min(size, points)
    count = points // size

    def means(values: Any) -> np.ndarray:
        kept = np.asarray(values)[:, : count * size]
        return kept.reshape(len(kept), count, size).mean(axis=2)

    axis = {"x": (np.arange(count) + 1) * size * unit, "xlabel": label}
    return {**axis, **{arm: means(values) for arm, values in curves.items()}}


def percent(curves: Mapping[str, Any], of: str) -> dict[str, Any]:
    """A panel of thinned curves whose axis counts per cent: `{"x", "xlabel", arm: [seeds, n]}`."""
    thinned = {arm: thin(values) for arm, values in curves.items()}
    count = next(iter(thinned.values())).shape[1]
    return {"x": np.linspace(0, 100, count), "xlabel": f"% of the {of}", **thinned}


def unequal_panels(
    titles: Mapping[str, Sequence[str]], curves: Mapping[str, np.ndarray], label: str
) -> dict[str, dict[str, Any]]:
    """Panels of the arms that each title names, of those in `curves` `[seeds, points]`.

    `x` counts the points from 1; shorter arms end with NaN. A title without arms is left out.
    """
    panels: dict[str, dict[str, Any]] = {}
    for title, arms in titles.items():
        present = {arm: curves[arm] for arm in arms if arm in curves}
        if not present:
            continue
        longest = max(values.shape[1] for values in present.values())
        panels[title] = {"xlabel": label, "x": np.arange(1, longest + 1)} | {
            arm: np.pad(values, ((0, 0), (0, longest - values.shape[1])), constant_values=np.nan)
            for arm, values in present.items()
        }
    return panels


def bands(axis: Any, curves: Mapping[str, Any], x: Any = None) -> None:
    """Per arm the mean of `[seeds, points]` over seeds and its 95 % bootstrap band."""
    for arm, values in curves.items():
        data = np.asarray(values, np.float64)
        drawn = np.random.default_rng(0).integers(len(data), size=(400, len(data)))
        low, high = np.percentile(data[drawn].mean(axis=1), [2.5, 97.5], axis=0)
        points = np.arange(data.shape[1]) if x is None else np.asarray(x)
        axis.plot(points, data.mean(axis=0), label=arm)
        axis.fill_between(points, low, high, alpha=0.2)
    axis.grid(alpha=0.3)


def bars(
    axis: Any, rows: Mapping[str, Any], *, colours: Mapping[str, str] | None = None, band=True
) -> None:
    """Lying bars from top to bottom: the mean of `[seeds]`, seeds as dots, and the interval.

    A row without values keeps its place and is empty.
    """
    colours = colours or {}
    for place, (name, values) in enumerate(rows.items()):
        data = np.asarray(values, np.float64)
        if not data.size:
            continue
        axis.barh(place, data.mean(), color=colours.get(name, "tab:blue"), alpha=0.5)
        if band:
            axis.plot(bootstrap_interval(data), [place, place], color="black")
        axis.plot(data, np.full(data.size, place), "o", color="black", ms=2.5, alpha=0.6)
    axis.set_yticks(range(len(rows)), list(rows), fontsize=7)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)


def strip(figure: Any, count: int, *, width: float = 3.3, height: float = 3.4, title: str = ""):
    """`count` axes in a row, for images or maps; call `figure.tight_layout()` when drawn."""
    figure.set_size_inches(width * count, height)
    figure.suptitle(title, fontsize=10)
    return figure.subplots(1, count, squeeze=False)[0]


def boxes_on_images(
    figure: Any,
    images: np.ndarray,
    true: np.ndarray,
    answers: Mapping[str, np.ndarray],
    styles: Mapping[str, tuple[str, str]],
    columns: int = 4,
) -> None:
    """One panel per image `[n, height, width, 3]`: its true box `[n, 4]` in black on white, and
    the answers' boxes, each in its colour and line style."""
    from matplotlib.patches import Rectangle

    count, columns = len(images), min(columns, len(images))
    rows = -(-count // columns)
    figure.set_size_inches(2.6 * columns, 2.7 * rows + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    height, width = images.shape[1:3]
    handles = {}
    for axis in axes:
        axis.set_axis_off()
    for number, axis in enumerate(axes[:count]):
        axis.imshow(images[number], extent=(0, width, height, 0), interpolation="nearest")
        drawn = [("", true, "white", "-", 3.5), ("true box", true, "black", "-", 1.5)]
        drawn += [(name, answers[name], *style, 1.4) for name, style in styles.items()]
        for name, boxes, colour, line, thick in drawn:
            left, top, right, bottom = boxes[number]
            size = (right - left, bottom - top)
            patch = Rectangle(
                (left, top), *size, fill=False, edgecolor=colour, ls=line, linewidth=thick
            )
            handles[name] = axis.add_patch(patch)
    handles.pop("", None)
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=5, fontsize=8)


def draw_curves(figure: Any, curves: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """One panel of bands per metric; panels of the same arms share the legend of the last one."""
    metrics = list(curves)
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    figure.set_size_inches(5.2 * len(metrics), 4.0)
    arms = [[name for name in curves[metric] if name not in NOT_ARMS] for metric in metrics]
    for axis, metric, shown in zip(axes, metrics, arms, strict=True):
        panel = curves[metric]
        bands(axis, {arm: panel[arm] for arm in shown}, panel.get("x"))
        axis.set_xlabel(panel.get("xlabel", "update"))
        axis.set_ylabel(metric)
        if axis is axes[-1] or set(shown) != set(arms[-1]):
            axis.legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()


def table_of(arms: Sequence[str], metric: str, table: Mapping[str, Mapping[str, Any]]) -> dict:
    """`{arm: [seeds]}` of one metric, empty where an arm lacks it."""
    return {arm: table[arm].get(metric, []) for arm in arms}
