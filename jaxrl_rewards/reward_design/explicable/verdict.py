"""Does a designed reward keep what is optimal? Answered by a solver that shares no code with it.

The design is a linear programme over gap matrices. Here values are found by value iteration and
sparse equations over the states in which an episode goes on, and every action is looked at.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.tabular import TabularModel

WORSE = 1e-8
"""An action is worse than the best where it loses more than this share of the values' scale."""
UNSEEN = 1e-20
"""Scales are at least this share of the largest: where no reward can be reached, rounding leaves
about 1e-32 of it instead of 0."""
SWEEPS = 8
"""Of value iteration before each exact evaluation."""
ROUNDS = 2_000


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether every policy that is optimal under a reward is optimal for the task."""

    kept: bool
    state: int | None = None
    """The state at fault."""
    action: int | None = None
    """What the reward makes (or may make) optimal there, though the task says it is worse."""
    loss: float = 0.0
    """What that action loses by the task's own reward."""


def check_design(model: TabularModel, reward: np.ndarray) -> Verdict:
    """Solve a model under its own reward and under `reward` `[S, A]`, and compare.

    Kept where each action that is worse for the task is clearly worse under `reward`, too, in
    every state that is not terminal. Differences that rounding could hide count against it. An
    episode ends on reaching a terminal state. InputError for a reward of another shape, with
    entries that are not finite, or paid in a terminal state.
    """
    reward = np.asarray(reward, np.float64)
    if reward.shape != model.reward.shape or not np.all(np.isfinite(reward)):
        raise InputError(f"{model.name}: a reward must be finite and {model.reward.shape}")
    if np.any(reward[model.terminal]):
        raise InputError(f"{model.name}: the reward pays in a terminal state; set it to 0 there")
    going = np.flatnonzero(~model.terminal)
    if not len(going):
        return Verdict(kept=True)
    own, own_scale = _losses(model, model.reward, going)
    new, new_scale = _losses(model, reward, going)
    worse = own > WORSE * own_scale[:, None]
    rounding = _rounding(model.discount) * new_scale + WORSE * UNSEEN * new_scale.max()
    unclear = new <= rounding[:, None]
    changed = worse & unclear
    if not np.any(changed):
        return Verdict(kept=True)
    share = np.where(changed, own / np.where(own_scale > 0.0, own_scale, 1.0)[:, None], -1.0)
    row, action = np.unravel_index(int(np.argmax(share)), share.shape)
    return Verdict(False, int(going[row]), int(action), float(own[row, action]))


def _losses(
    model: TabularModel, reward: np.ndarray, going: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`V* − Q*` `[G, A]` in the states where episodes go on, and the scale of the values `[G]`."""
    step = model.transition[going][:, :, going]
    paid = reward[going]
    scale = _best_values(step, np.abs(paid), model.discount, None)
    scale = scale + UNSEEN * scale.max()
    values = _best_values(step, paid, model.discount, scale)
    q_values = paid + model.discount * step @ values
    return q_values.max(axis=1)[:, None] - q_values, scale


def _best_values(
    step: np.ndarray, paid: np.ndarray, discount: float, scale: np.ndarray | None
) -> np.ndarray:
    """`V*` by sweeps of value iteration, each few followed by equations for the greedy policy."""
    from scipy.sparse import csr_matrix, identity
    from scipy.sparse.linalg import spsolve

    count, actions, _ = step.shape
    flat = csr_matrix(step.reshape(count * actions, count))
    values, rows = np.zeros(count), None
    for _ in range(ROUNDS):
        for _ in range(SWEEPS):
            q_values = paid + discount * (flat @ values).reshape(count, actions)
            values = q_values.max(axis=1)
        before, rows = rows, np.arange(count) * actions + q_values.argmax(axis=1)
        chosen = paid.reshape(-1)[rows]
        system = (identity(count) - discount * flat[rows]).tocsc()
        values = np.atleast_1d(spsolve(system, chosen))
        values = values + np.atleast_1d(spsolve(system, chosen - system @ values))
        q_values = paid + discount * (flat @ values).reshape(count, actions)
        room = np.abs(q_values).max(axis=1) if scale is None else scale
        gain = q_values.max(axis=1) - values
        if np.array_equal(rows, before) or np.all(gain <= _rounding(discount) * room):
            return values
    raise InputError("the check of a designed reward found no optimal values; lower the discount")


def _rounding(discount: float) -> float:
    """Differences below this share of the values' scale may be rounding errors."""
    return 1e-14 / (1.0 - discount)
