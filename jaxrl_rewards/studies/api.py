"""The contract of a study: arms with equal budgets, a claim, and a verdict with intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a claim held, with what was measured and what was required."""

    passed: bool
    measured: dict[str, Any]
    required: dict[str, str]
    seeds: int
    interval: dict[str, tuple[float, float]]
    """95 % bootstrap interval per measured quantity (differences where the claim compares)."""
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """Measured numbers of all arms: `arms[arm][metric]` is a list with one number per seed."""

    arms: dict[str, dict[str, list[float]]]
    curves: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """`curves[metric][arm]` is an array `[seeds, points]`; `curves[metric]["x"]` its axis."""
    budget: dict[str, Any] = dataclasses.field(default_factory=dict)
    figures: dict[str, Callable[[Any], None]] = dataclasses.field(default_factory=dict)
    """Further pictures: file name (with .png) to a function that draws on a matplotlib figure."""
    files: dict[str, Callable[[Path], None]] = dataclasses.field(default_factory=dict)
    """Further files: name to a function that writes it at a given (temporary) path."""


@dataclasses.dataclass(frozen=True)
class Study:
    """A published claim in miniature.

    `config` is a frozen dataclass (every field sweepable from the command line);
    `run(config, report)` returns a `StudyResult` (`report(text, fraction)` shows progress);
    `claim(result, config)` judges it.
    """

    slug: str
    title: str
    paper: str
    claims: tuple[str, ...]
    config: Any
    run: Callable[[Any, Callable[[str, float], None]], StudyResult]
    claim: Callable[[StudyResult, Any], Verdict]
    functions: tuple[str, ...] = ()
    """Dotted names of the public functions that hold the paper's mathematics."""
    worlds: tuple[str, ...] = ()


def bootstrap_interval(
    values: Any, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over seeds; `values` float `[seeds]`.

    With one value the interval is that value twice. Raises ValueError on an empty input.
    """
    data = np.asarray(values, np.float64).reshape(-1)
    if data.size == 0:
        raise ValueError("bootstrap_interval needs at least one value, got none")
    generator = np.random.default_rng(seed)
    index = generator.integers(0, data.size, (resamples, data.size))
    low, high = np.quantile(data[index].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def difference_interval(
    first: Any, second: Any, *, paired: bool = True, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of `mean(first) - mean(second)`.

    `paired=True` resamples seeds jointly (arms that share seeds); else each arm by itself.
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
    low, high = np.quantile(means[0] - means[1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
