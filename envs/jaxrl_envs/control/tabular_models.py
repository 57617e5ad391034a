"""Small decision processes on which reward design is studied: rooms, a line with a key, a chain."""

from __future__ import annotations

import numpy as np

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.tabular import TabularModel, model_from_moves

ROOM_SIZE, ROOM_GATES, LAST_BEFORE_WALL = 7, (1, 5), 2
UP, LEFT, DOWN, RIGHT = range(4)
STEPS = ((0, 1), (-1, 0), (0, -1), (1, 0))
"""Change of column and row by up, left, down, right; row 0 is at the bottom."""


NOISE_KINDS = ("neighbour", "action")


def rooms_model(
    noise: float = 0.1,
    discount: float = 0.95,
    goal_reward: float = 10.0,
    noise_kind: str = "neighbour",
):
    """Four rooms on 7×7 cells with thin walls between them; `[50, 4]`.

    Cell `7·row + column`, row 0 at the bottom; state 49 is the end. Actions up, left, down,
    right. Walls lie above row 2 and right of column 2, with gates at 1 and 5. The start is
    (1, 1). `right` in the far corner (6, 6) is rewarded; both moves out of the grid there, and
    both in corner 0, lead to the end. Other blocked moves stay. With probability `noise` the
    agent goes to one of the other neighbouring cells instead or, with `noise_kind` "action", the
    action is drawn anew, uniformly.

    Source: the four-room task of Devidze et al., NeurIPS 2021, and its noise of NeurIPS 2022.
    """
    _check_probability("noise", noise)
    if noise_kind not in NOISE_KINDS:
        raise InputError(
            f"noise_kind {noise_kind!r} is unknown; choose one of {', '.join(NOISE_KINDS)}"
        )
    size, end = ROOM_SIZE, ROOM_SIZE**2

    def target(state: int, action: int) -> int:
        row, column = divmod(state, size)
        across, upward = STEPS[action]
        inside = 0 <= row + upward < size and 0 <= column + across < size
        if not inside:
            leads_out = (state == 0 and action in (LEFT, DOWN)) or (
                state == end - 1 and action in (UP, RIGHT)
            )
            return end if leads_out else state
        place, gate = (row, column) if upward else (column, row)
        forward = upward + across > 0
        crosses = place == (LAST_BEFORE_WALL if forward else LAST_BEFORE_WALL + 1)
        if crosses and gate not in ROOM_GATES:
            return state
        return (row + upward) * size + column + across

    def chances(state: int, action: int, targets: np.ndarray) -> np.ndarray:
        """The rest goes evenly to the neighbours other than the one aimed at, or to all moves."""
        if noise_kind == "action":
            return (1.0 - noise) * (np.arange(4) == action) + noise / 4.0
        result = np.zeros(4)
        result[action] = 1.0 - noise
        first = [int(np.flatnonzero(targets == place)[0]) for place in sorted(set(targets))]
        others = [a for a in first if targets[a] not in (state, targets[action])]
        result[others] += noise / len(others)
        return result

    reward = np.zeros((end + 1, 4))
    reward[end - 1, RIGHT] = goal_reward
    return TabularModel(
        transition=model_from_moves(target, num_states=end, num_actions=4, noise=chances),
        reward=reward,
        start=np.eye(end + 1)[size + 1],
        terminal=np.arange(end + 1) == end,
        discount=discount,
        action_names=("up", "left", "down", "right"),
        state_names=(*(f"({s % size}, {s // size})" for s in range(end)), "end"),
        grid_shape=(size, size),
        name="rooms",
    )


SQUARES = (0, 3, 4, 21, 28, 24, 31, 25, 32)
"""First cells of nine 3×3 squares that cover the rooms and overlap."""


def room_squares(model: TabularModel) -> np.ndarray:
    """Features of the rooms: membership in the `SQUARES`, then in the goal's cell; `[50, 10]`.

    Source: the state abstraction of Devidze et al., AAMAS 2024.
    """
    _, columns = model.grid_shape
    features = np.zeros((model.num_states, len(SQUARES) + 1))
    for index, first in enumerate(SQUARES):
        cells = first + columns * np.arange(3)[:, None] + np.arange(3)
        features[cells.reshape(-1), index] = 1.0
    features[model.reward_states[0], -1] = 1.0
    return features


def line_key_model(noise: float = 0.1, discount: float = 0.95, goal_reward: float = 10.0):
    """A line of 10 cells with a key in cell 1; `[21, 3]`.

    State `cell + 10·key`; state 20 is the end. Actions left, right, pick. The start is cell 4
    without the key. `right` in the last cell with the key is rewarded and ends; `left` in cell 0
    without the key ends; other moves over an edge stay. `pick` takes the key in cell 1 and else
    does nothing. With probability `noise` one of the other two actions happens instead.

    Source: the line-key task of Devidze et al., NeurIPS 2021 and AAMAS 2024, in tabular form.
    """
    _check_probability("noise", noise)
    cells, key_cell, end = 10, 1, 20

    def target(state: int, action: int) -> int:
        key, cell = divmod(state, cells)
        if action == 2:
            return cell + cells if cell == key_cell else state
        if action == 1 and cell == cells - 1:
            return end if key else state
        if action == 0 and cell == 0:
            return state if key else end
        return state + (1 if action == 1 else -1)

    reward = np.zeros((end + 1, 3))
    reward[end - 1, 1] = goal_reward
    return TabularModel(
        transition=model_from_moves(
            target,
            num_states=end,
            num_actions=3,
            noise=lambda state, action, _: np.where(
                np.arange(3) == action, 1.0 - noise, noise / 2.0
            ),
        ),
        reward=reward,
        start=np.eye(end + 1)[(cells - 1) // 2],
        terminal=np.arange(end + 1) == end,
        discount=discount,
        action_names=("left", "right", "pick"),
        state_names=tuple(
            [f"{s % cells}{' with key' if s >= cells else ''}" for s in range(end)] + ["end"]
        ),
        grid_shape=(2, cells),
        name="line-key",
    )


def chain_model(
    left_cells: int = 40,
    right_cells: int = 20,
    noise: float = 0.05,
    discount: float = 0.99,
    goal_reward: float = 1.0,
    distractor: float = 0.0,
    distractor_distance: int = 15,
):
    """A chain with a reward far to the right and, if wanted, a small one to the left.

    `[left_cells + right_cells + 2, 2]`; the last state is the end. Actions left, right. The start
    is cell `left_cells`. `right` in the last cell gives `goal_reward` again and again and does
    not end; `left` in cell 0 ends without reward; `left` in cell `left_cells -
    distractor_distance` gives `distractor`. With probability `noise` the action is drawn anew,
    uniformly.

    Source: the chain of Devidze et al., NeurIPS 2022.
    """
    _check_probability("noise", noise)
    if left_cells < 1 or right_cells < 1:
        raise InputError(f"a chain needs cells on both sides, got {left_cells} and {right_cells}")
    if not 0 <= distractor_distance <= left_cells:
        raise InputError(
            f"distractor_distance must lie in 0 ... {left_cells}, got {distractor_distance}"
        )
    end = left_cells + right_cells + 1

    def target(state: int, action: int) -> int:
        if action == 1:
            return min(state + 1, end - 1)
        return state - 1 if state else end

    reward = np.zeros((end + 1, 2))
    reward[left_cells - distractor_distance, 0] = distractor
    reward[end - 1, 1] = goal_reward
    return TabularModel(
        transition=model_from_moves(
            target,
            num_states=end,
            num_actions=2,
            noise=lambda state, action, _: (1.0 - noise) * (np.arange(2) == action) + noise / 2.0,
        ),
        reward=reward,
        start=np.eye(end + 1)[left_cells],
        terminal=np.arange(end + 1) == end,
        discount=discount,
        action_names=("left", "right"),
        state_names=(*map(str, range(end)), "end"),
        grid_shape=(1, end),
        name="chain",
    )


def _check_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise InputError(f"{name} must lie in [0, 1], got {value}")
