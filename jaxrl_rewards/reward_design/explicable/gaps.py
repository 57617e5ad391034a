"""Gap matrices: linear maps from a reward to by how much the target policy is better.

Devidze et al., NeurIPS 2021, section 3: with `I*` sending `(s, a)` to `(s, π*(s))` and `P*` to
`(s', π*(s'))`, row `(s, a)` of `A·R` is `Q(s, π*(s)) − Q(s, a)`, over the infinite horizon or
over `h + 1` steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design.explicable.planning import check_discount


def policy_matrices(transition: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(I*, P*)`, float64 `[S·A, S·A]` each; rows and columns in the order `s·A + a`."""
    states, count, _ = transition.shape
    size = states * count
    chosen = np.arange(states) * count + np.asarray(actions)
    same = np.zeros((size, size))
    same[np.arange(size), np.repeat(chosen, count)] = 1.0
    move = np.zeros((size, size))
    move[:, chosen] = transition.reshape(size, states)
    return same, move


def gap_matrix(transition: np.ndarray, discount: float, actions: np.ndarray) -> np.ndarray:
    """`A_∞ = (I* − I)(I − γP*)⁻¹`, float64 `[S·A, S·A]`; InputError for γ outside [0, 1)."""
    check_discount(discount)
    same, move = policy_matrices(transition, actions)
    identity = np.eye(len(move))
    return np.linalg.solve((identity - discount * move).T, (same - identity).T).T


def finite_gap_matrices(
    transition: np.ndarray, discount: float, actions: np.ndarray, horizons: Sequence[int]
) -> np.ndarray:
    """`A_h = (I* − I) Σ_{k=0}^{h} (γP*)^k` for every `h`; float64 `[H, S·A, S·A]`."""
    if not len(horizons) or min(horizons) < 0:
        raise InputError(f"horizons must be one or more numbers from 0 on, got {list(horizons)}")
    same, move = policy_matrices(transition, actions)
    power = same - np.eye(len(move))
    total = np.zeros_like(move)
    found = {}
    for step in range(max(horizons) + 1):
        total = total + power
        power = discount * power @ move
        if step in horizons:
            found[step] = total
    return np.stack([found[horizon] for horizon in horizons])
