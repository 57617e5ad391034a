"""95 % intervals over seeds: of a mean, a paired difference, a ratio of means, a share."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

Interval = tuple[float, float]


def bootstrap_interval(
    values: Any, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean over seeds; `values` float `[seeds]`.

    With one value the interval is that value twice. Raises ValueError on an empty input.
    """
    data = np.asarray(values, np.float64).reshape(-1)
    if data.size == 0:
        raise ValueError("bootstrap_interval needs at least one value, got none")
    index = np.random.default_rng(seed).integers(0, data.size, (resamples, data.size))
    return _quantiles(data[index].mean(axis=1), level)


def difference_interval(
    first: Any, second: Any, *, paired: bool = True, level: float = 0.95, seed: int = 0
) -> Interval:
    """Bootstrap interval of `mean(first) - mean(second)`.

    `paired=True` resamples seeds jointly (arms that share seeds); else each arm by itself.
    ValueError where paired arms differ in shape.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if paired:
        if one.shape != two.shape:
            raise ValueError(f"paired arms need equal shapes, got {one.shape} and {two.shape}")
        return bootstrap_interval(one - two, level=level, seed=seed)
    generator = np.random.default_rng(seed)
    means = [
        data[generator.integers(0, data.size, (10_000, data.size))].mean(axis=1)
        for data in (one, two)
    ]
    return _quantiles(means[0] - means[1], level)


def ratio_interval(
    first: Any,
    second: Any,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    floor: float = 0.0,
) -> Interval:
    """Bootstrap interval of `mean(first) / mean(second)` over seeds drawn jointly.

    Means of `second` count as `floor` at least. ValueError where the two differ in length or a
    resampled mean of `second` is not positive.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != two.shape or one.size == 0:
        raise ValueError(f"ratio_interval needs equal seeds, got {one.shape} and {two.shape}")
    index = np.random.default_rng(seed).integers(0, one.size, (resamples, one.size))
    below = np.maximum(two[index].mean(axis=1), floor)
    if not np.all(below > 0):
        raise ValueError("ratio_interval needs a second arm with positive values")
    return _quantiles(one[index].mean(axis=1) / below, level)


def share_interval(flags: Any, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of the share of seeds where `flags` `[seeds]` is true.

    Unlike a bootstrap it has a width where all seeds agree: 8 of 8 is [0.68, 1].
    ValueError on an empty input.
    """
    data = np.asarray(flags, bool).reshape(-1)
    if data.size == 0:
        raise ValueError("share_interval needs at least one seed, got none")
    count, share = data.size, float(data.mean())
    z = NormalDist().inv_cdf(0.5 + level / 2)
    scale = 1.0 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def _quantiles(values: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
