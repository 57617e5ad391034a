"""What GRPO does with the rewards of a group, in NumPy: for looking at rewards outside a trainer.

The same as `credit.group_advantages` and `credit.multi_reward_advantages` inside compiled programs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GROUP_MODES = ("grpo", "dr_grpo", "rloo")


def normalise_groups(
    rewards: Sequence[float] | np.ndarray,
    group_size: int,
    mode: str = "grpo",
    epsilon: float = 1e-4,
) -> np.ndarray:
    """Advantages float64 `[N]` of rewards `[N]` (None or NaN: not applicable, advantage 0).

    Answers to one prompt stand together, `group_size` each. "grpo": `(r - mean) / (std + epsilon)`
    with the sample deviation; "dr_grpo": `r - mean`; "rloo": `r - mean of the others`. An
    all-equal group and an answer alone get exactly 0.
    """
    if mode not in GROUP_MODES:
        raise ValueError(f"mode is {mode!r}; use {', '.join(GROUP_MODES)}")
    values = _groups(rewards, group_size)
    known = np.isfinite(values)
    count = known.sum(axis=1, keepdims=True)
    clean = np.where(known, values, 0.0)
    mean = clean.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    centred = np.where(known, values - mean, 0.0)
    if mode == "grpo":
        variance = (centred**2).sum(axis=1, keepdims=True) / np.maximum(count - 1, 1)
        centred = centred / (np.sqrt(variance) + epsilon)
    elif mode == "rloo":
        centred = centred * count / np.maximum(count - 1, 1)
    highest = np.max(np.where(known, values, -np.inf), axis=1, keepdims=True)
    lowest = np.min(np.where(known, values, np.inf), axis=1, keepdims=True)
    return np.where(known & (highest > lowest), centred, 0.0).reshape(-1)


def sum_normalised(
    rewards: Sequence[Sequence[float]] | np.ndarray,
    weights: Sequence[float],
    group_size: int,
    epsilon: float = 1e-4,
) -> np.ndarray:
    """Advantages `[N]` of several rewards `[N, K]`: each normalised in its group, then summed.

    Rewards of different size cannot cancel each other so. The sum is standardised over the batch;
    an answer to which no reward applies gets 0.
    """
    values = np.asarray(rewards, np.float64)
    if values.ndim != 2 or values.shape[1] != len(weights):
        raise ValueError(f"rewards {values.shape} do not fit {len(weights)} weights")
    columns = [normalise_groups(column, group_size, epsilon=epsilon) for column in values.T]
    total = np.stack(columns, axis=1) @ np.asarray(weights, np.float64)
    known = np.isfinite(values).any(axis=1)
    if known.sum() < 2:
        return np.zeros(len(total))
    spread = total[known].std(ddof=1)
    return np.where(known, (total - total[known].mean()) / (spread + epsilon), 0.0)


def teaching_share(rewards: Sequence[float] | np.ndarray, group_size: int) -> float:
    """The share of groups whose rewards differ: those that teach anything."""
    values = _groups(rewards, group_size)
    known = np.isfinite(values)
    highest = np.max(np.where(known, values, -np.inf), axis=1)
    return float(np.mean(highest > np.min(np.where(known, values, np.inf), axis=1)))


def _groups(rewards: Sequence[float] | np.ndarray, group_size: int) -> np.ndarray:
    values = np.asarray([np.nan if r is None else r for r in rewards], np.float64)
    if group_size < 1 or values.ndim != 1 or len(values) % group_size:
        raise ValueError(f"{len(values)} rewards do not divide into groups of {group_size}")
    return values.reshape(-1, group_size)
