"""Finite Markov decision processes with a known model: records, checks and the file format."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.npz import read_npz

TOLERANCE = 1e-6
"""How far a row of probabilities may be from 1."""


@dataclasses.dataclass(frozen=True, eq=False)
class TabularModel:
    """A finite decision process; host arrays in float64, checked on construction.

    Terminal states must be absorbing and give no reward. InputError names the state, action and
    value at fault.
    """

    transition: np.ndarray
    """`T[s, a, s']`, float64 `[S, A, S]`, rows sum to 1."""
    reward: np.ndarray
    """`R[s, a]`, float64 `[S, A]`."""
    start: np.ndarray
    """Distribution of the first state, float64 `[S]`."""
    terminal: np.ndarray
    """Which states end the episode, bool `[S]`."""
    discount: float
    """γ in [0, 1)."""
    action_names: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()
    """Labels for people; numbers where empty."""
    grid_shape: tuple[int, int] | None = None
    """`(rows, columns)` where the first `rows · columns` states are cells, row 0 at the bottom."""
    name: str = "model"
    """What messages call it, e.g. the file."""

    def __post_init__(self):
        for field in ("transition", "reward", "start"):
            object.__setattr__(self, field, _array(self, field, np.float64))
        object.__setattr__(self, "terminal", _array(self, "terminal", bool))
        _check_model(self)

    @property
    def num_states(self) -> int:
        """S."""
        return self.transition.shape[0]

    @property
    def num_actions(self) -> int:
        """A."""
        return self.transition.shape[1]

    @functools.cached_property
    def terminal_state(self) -> int:
        """The terminal state; InputError where there is not exactly one."""
        states = np.flatnonzero(self.terminal)
        if len(states) != 1:
            raise InputError(
                f"{self.name}: {len(states)} terminal states, but exactly one is needed; merge them"
            )
        return int(states[0])

    @functools.cached_property
    def continuing(self) -> np.ndarray:
        """`T` with episodes that end: see `continuing_transition`."""
        return continuing_transition(self.transition, self.terminal)

    @functools.cached_property
    def reward_states(self) -> tuple[int, ...]:
        """States in which some action is rewarded."""
        return tuple(int(s) for s in np.flatnonzero(np.any(self.reward != 0.0, axis=1)))

    def state_name(self, state: int) -> str:
        """Label of a state."""
        return self.state_names[state] if self.state_names else str(state)

    def action_name(self, action: int) -> str:
        """Label of an action."""
        return self.action_names[action] if self.action_names else str(action)


def continuing_transition(transition: np.ndarray, terminal: np.ndarray | None) -> np.ndarray:
    """`T` `[S, A, S]` with 0 for every step into or from a terminal state (bool `[S]`, or None).

    The missing probability is the chance that the episode ends, so that the value of a terminal
    state is 0 in every backup, whatever a reward says there.
    """
    if terminal is None or not np.any(terminal):
        return transition
    ends = np.asarray(terminal, bool)
    return np.where(ends[:, None, None] | ends[None, None, :], 0.0, transition)


def load_tabular_model(path: str | os.PathLike[str], discount: float) -> TabularModel:
    """Read a simulator's tables from an `.npz` with `T`, `R`, `init` and `terminal`.

    `T` `[S, A, S]`, `R` `[S, A]`, `init` `[S]`, `terminal` bool `[S]` or the number(s) of the
    terminal state(s). InputError for a missing array, wrong shapes, NaN, rows that do not sum to
    1, a terminal state that can be left or rewarded, or a discount outside [0, 1).
    """
    name = Path(path).name
    arrays = read_npz(path, ("T", "R", "init", "terminal"))
    return TabularModel(
        transition=arrays["T"],
        reward=arrays["R"],
        start=arrays["init"],
        terminal=_terminal_flags(arrays["terminal"], arrays["T"].shape, name),
        discount=discount,
        name=name,
    )


def save_tabular_model(path: str | os.PathLike[str], model: TabularModel) -> None:
    """Write what `load_tabular_model` reads."""
    from jaxrl_rewards.core.files import atomic_path

    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(
            handle,
            T=model.transition,
            R=model.reward,
            init=model.start,
            terminal=model.terminal,
        )


def model_from_moves(
    moves: Callable[[int, int], int],
    *,
    num_states: int,
    num_actions: int,
    noise: Callable[[int, int, np.ndarray], np.ndarray],
) -> np.ndarray:
    """`T` `[S + 1, A, S + 1]` from the state that each action aims at; the last state is the end.

    `moves(s, a)` gives the target, `num_states` for the end. `noise(s, a, targets)` gives the
    probability of each of the `A` targets of `s` when `a` is chosen.
    """
    size = num_states + 1
    transition = np.zeros((size, num_actions, size))
    for state in range(num_states):
        targets = np.array([moves(state, action) for action in range(num_actions)])
        for action in range(num_actions):
            np.add.at(transition[state, action], targets, noise(state, action, targets))
    transition[num_states, :, num_states] = 1.0
    return transition


def _array(model: TabularModel, field: str, dtype: Any) -> np.ndarray:
    try:
        return np.array(getattr(model, field), dtype)
    except (TypeError, ValueError) as error:
        raise InputError(f"{model.name}: {field} is no array of numbers: {error}") from error


def _terminal_flags(value: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if not shape:
        raise InputError(f"{name}: T is a single number; it must be [S, A, S]")
    states = shape[0]
    if value.dtype == bool:
        return value
    numbers = np.atleast_1d(value)
    if not np.issubdtype(numbers.dtype, np.integer):
        raise InputError(f"{name}: terminal has dtype {value.dtype}; give flags or state numbers")
    if np.any((numbers < 0) | (numbers >= states)):
        raise InputError(f"{name}: terminal names state {numbers.max()} of only {states} states")
    flags = np.zeros(states, bool)
    flags[numbers] = True
    return flags


def _check_model(model: TabularModel) -> None:
    shape = model.transition.shape
    if len(shape) != 3 or shape[0] != shape[2] or 0 in shape:
        raise InputError(f"{model.name}: T has shape {shape}; it must be [S, A, S]")
    states, actions, _ = shape
    for field, short, expected in (
        ("reward", "R", (states, actions)),
        ("start", "init", (states,)),
        ("terminal", "terminal", (states,)),
    ):
        if getattr(model, field).shape != expected:
            raise InputError(
                f"{model.name}: {short} has shape {getattr(model, field).shape}, but T needs "
                f"{expected}"
            )
    for field, short in (("transition", "T"), ("reward", "R"), ("start", "init")):
        bad = np.argwhere(~np.isfinite(getattr(model, field)))
        if len(bad):
            where = ", ".join(map(str, bad[0]))
            raise InputError(f"{model.name}: {short}[{where}] is not finite; replace it")
    if not 0.0 <= model.discount < 1.0:
        raise InputError(
            f"{model.name}: the discount is {model.discount}; it must lie in [0, 1), for values "
            "are infinite sums"
        )
    _check_rows(model)
    _check_terminal(model)


def _check_rows(model: TabularModel) -> None:
    if np.any(model.transition < -TOLERANCE):
        state, action, _ = np.argwhere(model.transition < -TOLERANCE)[0]
        raise InputError(f"{model.name}: T of state {state}, action {action} has a negative entry")
    sums = model.transition.sum(axis=-1)
    bad = np.argwhere(np.abs(sums - 1.0) > TOLERANCE)
    if len(bad):
        state, action = bad[0]
        raise InputError(
            f"{model.name}: T of state {state}, action {action} sums to {sums[state, action]:.6g} "
            "instead of 1; normalise the row"
        )
    if np.any(model.start < 0) or abs(model.start.sum() - 1.0) > TOLERANCE:
        raise InputError(
            f"{model.name}: init sums to {model.start.sum():.6g} or has a negative entry; it must "
            "be a distribution"
        )


def _check_terminal(model: TabularModel) -> None:
    for state in np.flatnonzero(model.terminal):
        stay = model.transition[state, :, state]
        if np.any(stay < 1.0 - TOLERANCE):
            action = int(np.argmin(stay))
            raise InputError(
                f"{model.name}: terminal state {state} can be left by action {action}; let it stay "
                "with probability 1"
            )
        if np.any(model.reward[state] != 0.0):
            raise InputError(f"{model.name}: terminal state {state} is rewarded; set its R to 0")
