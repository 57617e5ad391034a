"""The records of grid worlds."""

from __future__ import annotations

from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import Record, record
from jaxrl_rewards.rewards.base import Reward


@record
class GridWorldParams(Record):
    """Numbers of the task."""

    slip: Float[Array, ""]
    """Probability that a move turns to one of the two perpendicular directions, in [0, 1]."""
    slip_on_ice: Float[Array, ""]
    """The same on slippery cells."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class GridWorldState(Record):
    """Where the agent is and what the last move did."""

    cell: Int[Array, ""]
    """Number of the cell, row by row."""
    keys: Int[Array, ""]
    """Bit set of the keys held."""
    entered: Int[Array, ""]
    """The cell that the last move led to, before a pit may send the agent back."""
    at_goal: Bool[Array, ""]
    fell: Bool[Array, ""]
    """Whether the last move led into a pit."""
    time: Int[Array, ""]
