"""Pictures of the retargeting study: user beside avatars, and the arms as bars."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.retarget.planar_body import BODIES
from jaxrl_envs.retarget.planar_drawing import draw_rows
from jaxrl_envs.retarget.planar_motion import RATE, MotionStyle, human_coordinates

from jaxrl_rewards.studies.shared.panels import bars, table_of

METRICS = {
    "survive": "10 s survived, share",
    "keypoint_error": "keypoint error / scale, m",
    "leg_error": "leg angles' error, rad",
    "contact_match": "feet's contact right, share",
    "action_change": "targets' 2nd difference, rad/s²",
    "foot_skate": "foot skate, m/s (reported only)",
}


def draw_strip(figure: Any, shown: dict[str, np.ndarray], styles: MotionStyle) -> None:
    """One row for the user with the three sensed points, one per character.

    `shown[body]` are coordinates `[clips, steps, 11]`; the clip drawn is the one of the fastest
    walker that also raises an arm.
    """
    clip = choose_clip(styles)
    style = jax.tree.map(lambda leaf: leaf[clip], styles)
    steps = next(iter(shown.values())).shape[1]
    moments = np.linspace(0, steps - 1, 10).astype(int)
    times = jnp.asarray((moments + 1) / RATE, jnp.float32)
    user = np.asarray(jax.vmap(lambda now: human_coordinates(style, now))(times))
    rows = [("user", BODIES["human"], user)]
    rows += [(f"avatar: {name}", BODIES[name], q[clip, moments]) for name, q in shown.items()]
    draw_rows(figure, rows)
    figure.suptitle(
        f"an unseen motion every {np.diff(moments).mean() / RATE:.1f} s: "
        f"{float(style.speed):.2f} m/s; red: all that is sensed",
        fontsize=10,
    )
    figure.tight_layout()


def choose_clip(styles: MotionStyle) -> int:
    """The index of the fastest motion among those that raise an arm."""
    raises = np.asarray(styles.raise_height).max(axis=-1)
    return int(np.argmax(np.asarray(styles.speed) + (raises > 0)))


def draw_bars(figure: Any, table: dict[str, dict[str, list[float]]]) -> None:
    """One panel per metric: the mean of each arm, and its seeds as dots."""
    figure.set_size_inches(12.0, 5.6)
    axes = figure.subplots(2, 3).reshape(-1)
    colours = {arm: "#205080" if arm.startswith("full") else "#b08040" for arm in table}
    for axis, (metric, title) in zip(axes, METRICS.items(), strict=True):
        bars(axis, table_of(list(table), metric, table), colours=colours, band=False)
        axis.set_title(title, fontsize=9)
    figure.tight_layout()
