"""The arms of the retargeting study as bars."""

from __future__ import annotations

from typing import Any

from jaxrl_rewards.studies.shared.panels import bars, table_of

METRICS = {
    "survive": "10 s survived, share",
    "keypoint_error": "keypoint error / scale, m",
    "leg_error": "leg angles' error, rad",
    "contact_match": "feet's contact right, share",
    "action_change": "targets' 2nd difference, rad/s²",
    "foot_skate": "foot skate, m/s (reported only)",
}


def draw_bars(figure: Any, table: dict[str, dict[str, list[float]]]) -> None:
    """One panel per metric: the mean of each arm, and its seeds as dots."""
    figure.set_size_inches(12.0, 5.6)
    axes = figure.subplots(2, 3).reshape(-1)
    colours = {arm: "#205080" if arm.startswith("full") else "#b08040" for arm in table}
    for axis, (metric, title) in zip(axes, METRICS.items(), strict=True):
        bars(axis, table_of(list(table), metric, table), colours=colours, band=False)
        axis.set_title(title, fontsize=9)
    figure.tight_layout()
