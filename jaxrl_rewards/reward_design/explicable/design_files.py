"""Designed rewards for people: a table of what is rewarded, and a picture."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.files import atomic_write_text
from jaxrl_rewards.core.tabular import TabularModel

HEADER = ("state", "state_name", "action", "reward")
DIRECTIONS = {"up": (0, 1), "left": (-1, 0), "down": (0, -1), "right": (1, 0)}


def write_design_csv(path: str | os.PathLike[str], model: TabularModel, reward: np.ndarray) -> None:
    """One line `state, state_name, action, reward` per entry that is not 0; `reward` `[S, A]`.

    Numbers are written so that reading gives them back exactly. InputError for another shape,
    entries that are not finite, or a reward in a terminal state.
    """
    reward = _checked(model, reward)
    if not np.all(np.isfinite(reward)):
        raise InputError(f"the reward for {model.name} has entries that are not finite")
    if np.any(reward[model.terminal]):
        state = int(np.flatnonzero(model.terminal & np.any(reward != 0.0, axis=1))[0])
        raise InputError(f"the reward pays in state {state}, which is terminal; set it to 0 there")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for state, action in np.argwhere(reward != 0.0):
        names = (model.state_name(state), model.action_name(action))
        writer.writerow((int(state), *names, repr(float(reward[state, action]))))
    atomic_write_text(path, text.getvalue())


def read_design_csv(path: str | os.PathLike[str], model: TabularModel) -> np.ndarray:
    """The reward `[S, A]` that `write_design_csv` wrote, 0 where the file says nothing.

    InputError, with file and line, for another header, unknown states or actions, entries named
    twice, terminal states, or rewards that are no finite numbers.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{file.name} cannot be read as a designed reward: {error}") from error
    return parse_design(text, model, file.name)


def parse_design(text: str, model: TabularModel, name: str) -> np.ndarray:
    """The reward `[S, A]` in the text of such a file; `name` is what messages call it.

    Raises as `read_design_csv`.
    """
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise InputError(f"{name} cannot be read as a designed reward: {error}") from error
    if not rows or tuple(rows[0]) != HEADER:
        raise InputError(f"{name}: the first line must read {','.join(HEADER)}")
    names = {model.action_name(action): action for action in range(model.num_actions)}
    reward = np.full((model.num_states, model.num_actions), np.nan)
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        where = f"{name}, line {number}"
        if len(row) != len(HEADER):
            raise InputError(f"{where}: {len(row)} fields instead of {len(HEADER)}")
        state, _, action, value = row
        if not state.isascii() or not state.isdigit() or int(state) >= model.num_states:
            raise InputError(f"{where}: state {state!r} is none of 0 ... {model.num_states - 1}")
        if action not in names:
            raise InputError(f"{where}: action {action!r} is unknown; use {', '.join(names)}")
        place = int(state), names[action]
        if model.terminal[place[0]]:
            raise InputError(f"{where}: state {state} is terminal; nothing can be paid there")
        if np.isfinite(reward[place]):
            raise InputError(f"{where}: state {state}, action {action} was given before")
        try:
            reward[place] = float(value)
        except ValueError:
            reward[place] = np.nan
        if not np.isfinite(reward[place]):
            raise InputError(f"{where}: reward {value!r} is no finite number")
    return np.nan_to_num(reward)


def draw_design(axis: Any, model: TabularModel, reward: np.ndarray, title: str = "") -> None:
    """Heat map on a matplotlib axis: red below 0, blue above, white at 0.

    Grids whose actions are directions show each cell with a wedge per action; other models a
    table of states and actions.
    """
    reward = _checked(model, reward)
    limit = max(float(np.abs(reward).max()), 1e-12)
    directions = set(model.action_names) <= set(DIRECTIONS) and len(model.action_names) == 4
    if model.grid_shape is not None and directions:
        image = _draw_grid(axis, model, reward, limit)
    else:
        image = axis.imshow(
            reward.T, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
        )
        labels = [model.action_name(action) for action in range(model.num_actions)]
        axis.set_yticks(range(model.num_actions), labels)
        axis.set_xlabel("state")
    axis.figure.colorbar(image, ax=axis, shrink=0.75)
    axis.set_title(title, fontsize=9)


def _draw_grid(axis: Any, model: TabularModel, reward: np.ndarray, limit: float) -> Any:
    from matplotlib.collections import PolyCollection

    rows, columns = model.grid_shape
    shapes, values = [], []
    for cell in range(rows * columns):
        row, column = divmod(cell, columns)
        for action, name in enumerate(model.action_names):
            across, upward = DIRECTIONS[name]
            corners = [(0.5 * (across - upward), 0.5 * (upward + across))]
            corners.append((0.5 * (across + upward), 0.5 * (upward - across)))
            shapes.append([(column, row), *((column + x, row + y) for x, y in corners)])
            values.append(reward[cell, action])
    wedges = PolyCollection(shapes, cmap="RdBu", edgecolors="#d0d0d0", linewidths=0.3)
    wedges.set_array(np.asarray(values))
    wedges.set_clim(-limit, limit)
    axis.add_collection(wedges)
    for start in np.flatnonzero(model.start[: rows * columns] > 0):
        axis.text(start % columns, start // columns, "S", ha="center", va="center", fontsize=8)
    axis.set_xlim(-0.5, columns - 0.5)
    axis.set_ylim(-0.5, rows - 0.5)
    axis.set_aspect("equal")
    axis.set_xticks(range(columns))
    axis.set_yticks(range(rows))
    return wedges


def _checked(model: TabularModel, reward: np.ndarray) -> np.ndarray:
    reward = np.asarray(reward, np.float64)
    if reward.shape != model.reward.shape:
        raise InputError(
            f"the reward has shape {reward.shape}, but {model.name} needs {model.reward.shape}"
        )
    return reward
