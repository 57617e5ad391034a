"""Learning curves as a PNG."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np

from jaxrl_rewards.core.files import atomic_path
from jaxrl_rewards.train.logging import BOOKKEEPING, PREFERRED

MAX_PANELS = 12


def learning_curves(
    path: str | os.PathLike[str],
    columns: Mapping[str, np.ndarray],
    *,
    names: tuple[str, ...] = (),
    title: str = "",
) -> bool:
    """Draw one panel per metric over samples: the mean, and a band where there are seeds.

    Args:
      path: the PNG to write.
      columns: `logging.history`: arrays `[rows]` or `[rows, seeds]`, with "samples" or "update".
      names: metrics to draw; by default those of `drawing_order`, 12 panels at most.
      title: heading of the figure.

    The band is one standard deviation of the seeds (n - 1) to either side. Missing values are
    left out. Returns whether there was anything to draw.
    """
    metrics = [name for name in (names or drawing_order(columns)) if _drawable(columns.get(name))]
    metrics = metrics[: len(names) or MAX_PANELS]
    if not metrics:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axis_name = "samples" if "samples" in columns else "update"
    across = min(3, len(metrics))
    down = math.ceil(len(metrics) / across)
    width, height = 4.2 * across, 2.9 * down + (0.3 if title else 0.0)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(down, across, squeeze=False)).ravel()
    for panel, name in zip(panels, metrics, strict=False):
        _draw(panel, columns[axis_name], columns[name])
        panel.set_title(name, fontsize=10)
        panel.set_xlabel(axis_name, fontsize=8)
        panel.tick_params(labelsize=8)
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.grid(alpha=0.25)
    for panel in panels[len(metrics) :]:
        panel.set_visible(False)
    # fixed margins in inches: a layout engine takes as long as the drawing itself
    top = 1 - (0.6 if title else 0.35) / height
    figure.subplots_adjust(
        left=0.65 / width,
        right=1 - 0.2 / width,
        bottom=0.5 / height,
        top=top,
        wspace=0.3,
        hspace=0.5,
    )
    if title:
        figure.suptitle(title, fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    return True


def mean_and_band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n - 1; 0 for one seed) over the last axis, without NaN."""
    finite = np.isfinite(values)
    count = finite.sum(-1)
    total = np.where(finite, values, 0.0).sum(-1)
    centre = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    squares = np.where(finite, (values - centre[..., None]) ** 2, 0.0).sum(-1)
    spread = np.sqrt(np.divide(squares, count - 1, out=np.zeros(count.shape), where=count > 1))
    return centre, spread


def _draw(panel, x: np.ndarray, values: np.ndarray) -> None:
    centre, spread = (values, None) if values.ndim == 1 else mean_and_band(values)
    keep = np.isfinite(centre) & np.isfinite(x)
    marker = "o" if keep.sum() < 30 else None
    (line,) = panel.plot(x[keep], centre[keep], lw=1.4, marker=marker, ms=2.5)
    if spread is not None and values.shape[-1] > 1:
        low, high = (centre - spread)[keep], (centre + spread)[keep]
        panel.fill_between(x[keep], low, high, color=line.get_color(), alpha=0.2, lw=0)


def _drawable(values: np.ndarray | None) -> bool:
    return values is not None and values.ndim <= 2 and bool(np.isfinite(values).any())


def drawing_order(columns: Mapping[str, np.ndarray]) -> list[str]:
    """The metrics among `columns`: returns and losses, evaluations, training, and last the parts of
    an evaluation (`evaluation/PART/METRIC`)."""
    first = [name for name in PREFERRED if name in columns]
    measured = [name for name in columns if name.startswith("evaluation/")]
    parts = [name for name in measured if name.count("/") > 1]
    first += [name for name in measured if name not in first and name not in parts]
    rest = [name for name in columns if name not in (*first, *parts, *BOOKKEEPING)]
    return first + rest + parts
