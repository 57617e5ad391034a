"""Pictures of user and avatar as stick figures: GIF and PNG strip, without a GPU or a display."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_envs.retarget.characters import KEYPOINTS, Character
from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.files import atomic_path

Colour = tuple[int, int, int]
BACKGROUND: Colour = (250, 250, 248)
GROUND: Colour = (205, 205, 200)
INK: Colour = (40, 40, 45)
SIDES: dict[str, Colour] = {"left": (37, 99, 170), "right": (196, 78, 48)}
SENSED: Colour = (20, 150, 80)
LEGEND = "green: sensed points; blue: left, red: right; pale: has lost the user"
HEIGHT = 320
PANEL = 300
AZIMUTH = np.radians(-55.0)
"""Direction from which the camera looks, against the direction in which the figure walks."""
ELEVATION = np.radians(12.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Figure:
    """A moving stick figure; world frame, metres."""

    title: str
    bones: tuple[tuple[int, int, str], ...]
    """Pairs of joints and the side ("left", "right" or "") that a bone belongs to."""
    joints: np.ndarray
    """float [T, N, 3]."""
    marks: np.ndarray
    """float [T, M, 3]: points drawn as dots (the sensed ones, or the head and hands)."""
    height: float
    """Of the figure in standing; figures are drawn at the same size."""
    alive: np.ndarray | None = None
    """bool [T]; frames where the figure has lost its reference are drawn pale."""


def character_figure(
    character: Character,
    qpos: np.ndarray,
    title: str,
    marks: np.ndarray | None = None,
    alive: np.ndarray | None = None,
) -> Figure:
    """The skeleton of a character in poses `[T, nq]`: its bodies' origins and its keypoints."""
    import mujoco

    model = character.model
    data = mujoco.MjData(model)
    sites = character.keypoint_sites
    count = model.nbody - 1
    joints = np.empty((len(qpos), count + len(sites), 3))
    for frame, pose in enumerate(qpos):
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        joints[frame, :count] = data.xpos[1:]
        joints[frame, count:] = data.site_xpos[sites]
    bones = []
    for body in range(2, model.nbody):
        name = model.body(body).name
        bones.append((int(model.body_parentid[body]) - 1, body - 1, _side(name)))
    for index, name in enumerate(KEYPOINTS):
        bones.append((int(model.site_bodyid[sites[index]]) - 1, count + index, _side(name)))
    if marks is None:
        marks = joints[:, count : count + 3]
    return Figure(title, tuple(bones), joints, marks, character.head_height, alive)


def _side(name: str) -> str:
    """The side in a body's name ("left_knee", "LeftFoot", "knee_l", "R_Hand"), or ""."""
    words = re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*", name)
    for word in map(str.lower, words):
        for side in SIDES:
            if word == side[0] or word.startswith(side):
                return side
    return ""


def draw_gif(path: str | Path, figures: list[Figure], frame_rate: float = 15.0) -> None:
    """Write the figures side by side as an animated GIF; their frames are at 30 Hz."""
    step = max(1, round(30.0 / frame_rate))
    frames = [draw_frame(figures, index) for index in range(0, _length(figures), step)]
    with atomic_path(path) as temporary:
        frames[0].save(
            temporary,
            save_all=True,
            append_images=frames[1:],
            duration=round(1000 * step / 30.0),
            loop=0,
            optimize=True,
        )


def draw_strip(path: str | Path, figures: list[Figure], count: int = 8) -> None:
    """Write `count` moments, evenly spread in time, from left to right, a row per figure with its
    title."""
    from PIL import Image, ImageDraw

    moments = np.linspace(0, _length(figures) - 1, count).round().astype(int)
    strip = Image.new("RGB", (PANEL // 2 * count, HEIGHT * len(figures)), BACKGROUND)
    for row, figure in enumerate(figures):
        for column, index in enumerate(moments):
            panel = _panel(figure, int(index), PANEL // 2, f"\n{index / 30.0:.1f} s")
            strip.paste(panel, (column * PANEL // 2, row * HEIGHT))
        title = figure.title if row else f"{figure.title}   ({LEGEND})"
        ImageDraw.Draw(strip).text((10, row * HEIGHT + 8), title, fill=INK)
    with atomic_path(path) as temporary:
        strip.save(temporary)


def draw_frame(figures: list[Figure], index: int) -> Any:
    """One moment of all figures as a `PIL.Image`."""
    from PIL import Image

    image = Image.new("RGB", (PANEL * len(figures), HEIGHT), BACKGROUND)
    for column, figure in enumerate(figures):
        panel = _panel(figure, index, PANEL, figure.title)
        image.paste(panel, (column * PANEL, 0))
    return image


def _length(figures: list[Figure]) -> int:
    if not figures or min(len(figure.joints) for figure in figures) == 0:
        raise InputError("there is nothing to draw: a figure has no frames")
    return min(len(figure.joints) for figure in figures)


def _panel(figure: Figure, index: int, width: int, caption: str) -> Any:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(image)
    joints, marks = figure.joints[index], figure.marks[index]
    scale = 0.62 * HEIGHT / figure.height
    centre = np.array([*joints[0, :2], 0.0])

    def project(points: np.ndarray) -> np.ndarray:
        local = np.atleast_2d(points) - centre
        x = np.cos(AZIMUTH) * local[:, 0] - np.sin(AZIMUTH) * local[:, 1]
        depth = np.sin(AZIMUTH) * local[:, 0] + np.cos(AZIMUTH) * local[:, 1]
        y = np.cos(ELEVATION) * local[:, 2] + np.sin(ELEVATION) * depth
        return np.stack([width / 2 + scale * x, 0.86 * HEIGHT - scale * y], axis=1)

    _grid(draw, project, centre, figure.height)
    shadow = joints * np.array([1.0, 1.0, 0.0])
    flat, points = project(shadow), project(joints)
    for first, second, _ in figure.bones:
        draw.line([*flat[first], *flat[second]], fill=GROUND, width=4)
    pale = figure.alive is not None and not figure.alive[index]
    order = sorted(figure.bones, key=lambda bone: bone[2] != "left")  # the far side first
    for first, second, side in order:
        colour = SIDES.get(side, INK)
        if pale:
            colour = tuple((value + 2 * 230) // 3 for value in colour)
        draw.line([*points[first], *points[second]], fill=colour, width=5, joint="curve")
    for x, y in project(marks):
        draw.ellipse([x - 5, y - 5, x + 5, y + 5], fill=SENSED)
    draw.text((10, 8), caption, fill=INK)
    return image


def _grid(draw: Any, project: Any, centre: np.ndarray, height: float) -> None:
    """Lines on the ground that stay in the world, so that walking shows."""
    spacing = height / 3.4
    reach = 3
    base = np.floor(centre[:2] / spacing) * spacing
    for offset in range(-reach, reach + 2):
        for axis in (0, 1):
            ends = np.zeros((2, 3))
            ends[:, axis] = base[axis] + offset * spacing
            ends[:, 1 - axis] = base[1 - axis] + np.array([-reach, reach + 1]) * spacing
            line = project(ends)
            draw.line([*line[0], *line[1]], fill=(232, 232, 228), width=1)
