"""Planar characters as stick figures, on axes of matplotlib that are given."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_envs.retarget.planar_body import BODIES, KEYPOINTS, SENSED, PlanarBody, segments
from jaxrl_envs.retarget.planar_motion import RATE, MotionStyle, human_coordinates

LINES = (
    ("hip", "shoulder", "head"),
    ("shoulder", "left_elbow", "left_hand"),
    ("shoulder", "right_elbow", "right_hand"),
    ("hip", "left_knee", "left_foot"),
    ("hip", "right_knee", "right_foot"),
)


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


def draw_rows(figure: Any, rows: list[tuple[str, PlanarBody, np.ndarray]]) -> None:
    """One row of poses `[n, 11]` per `(title, body, poses)`; "user" shows the sensed points."""
    figure.set_size_inches(11.0, 2.0 * len(rows) + 0.4)
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (title, body, q) in zip(axes, rows, strict=True):
        for number, pose in enumerate(q):
            draw_figure(axis, body, pose, 1.1 * number * body.leg / 0.8, sensed=title == "user")
        size = body.leg / 0.8
        axis.axhline(0.0, color="0.4", lw=1)
        axis.set_xlim(-0.7 * size, (1.1 * (len(q) - 1) + 0.7) * size)
        axis.set_ylim(-0.05 * size, 1.05 * (body.rest_head_height + 0.1 * size))
        axis.set_aspect("equal")
        axis.set_axis_off()
        axis.set_title(title, loc="left", fontsize=9)


def draw_figure(axis: Any, body: PlanarBody, q: np.ndarray, at: float, *, sensed: bool) -> None:
    """A stick figure with its hip at x = `at`; left limbs are pale."""
    points = {name: np.asarray(value) for name, value in segments(body, jnp.asarray(q)).items()}
    shift = np.array([at - q[0], 0.0])
    if body.tail > 0.0:
        _line(axis, [points["hip"] + shift, points["tail"] + shift], "#806040")
    for line in LINES:
        colour = "#9db4d0" if line[-1].startswith("left") else "#205080"
        _line(axis, [points[name] + shift for name in line], colour)
    if sensed:
        red = np.array([points[name] + shift for name in KEYPOINTS[SENSED]])
        axis.plot(red[:, 0], red[:, 1], "o", color="#d02020", ms=4, zorder=3)


def _line(axis: Any, points: list[np.ndarray], colour: str) -> None:
    path = np.array(points)
    axis.plot(path[:, 0], path[:, 1], "-o", color=colour, lw=2, ms=2)
