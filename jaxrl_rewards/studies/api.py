"""The contract of a study: arms with equal budgets, a claim, and a verdict with intervals."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.studies.shared.intervals import bootstrap_interval, difference_interval

__all__ = [
    "Study",
    "StudyResult",
    "Train",
    "Verdict",
    "bootstrap_interval",
    "difference_interval",
    "judge",
]

HOLDS, FAILS, TOO_FEW = "holds", "does NOT hold", "too few seeds to judge"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a claim held, with what was measured and what was required."""

    passed: bool
    """Whether every line that decides was met by what was measured, on however few seeds."""
    measured: dict[str, Any]
    required: dict[str, str]
    seeds: int
    interval: dict[str, tuple[float, float]]
    """95 % interval per measured quantity (of differences where the claim compares)."""
    notes: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    """Names of the lines that were not met."""
    needs: int = 1
    """Seeds from which on the claim can be judged."""

    @property
    def state(self) -> str:
        """ "holds", "does NOT hold", or "too few seeds to judge" whatever was measured."""
        if self.seeds < self.needs:
            return TOO_FEW
        return HOLDS if self.passed else FAILS


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
class Train:
    """What `train COMMAND` and `evaluate RUN` do for a study: the real thing beside the miniature.

    It stands as `TRAIN` in `studies/<slug>/train.py`, whose imports stay light (no jax): the
    command line reads it to list the tasks.
    """

    command: str
    """The word after `train`."""
    summary: str
    main: Callable[[Sequence[str]], int]
    """Takes the arguments after the word and returns the exit code."""
    owns: Callable[[Path, dict[str, Any]], bool] = lambda folder, stored: False
    """Whether a run's folder is of this kind; `stored` is its `config.json`, {} without one."""
    evaluate: Callable[[Path | None, Any], int] | None = None
    """`evaluate(folder, options)`; folder None stands for a policy that ships with the package."""
    ships: bool = False
    """Whether `evaluate COMMAND` works without a run."""
    flags: Callable[[argparse.ArgumentParser], None] | None = None
    """Adds flags of its own to `evaluate`."""


@dataclasses.dataclass(frozen=True)
class Study:
    """A published claim in miniature.

    `config` is a frozen dataclass (every field sweepable from the command line) with the field
    `root_key`, from which all that is random comes; `run(config, report)` returns a `StudyResult`
    (`report(text, fraction)` shows progress); `claim(result, config)` judges it.
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
    needs: int = 8
    """Seeds from which on the claim can be judged."""
    quick: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    """Fields of the configuration for a first look in seconds (`reproduce SLUG --quick`)."""
    train: Train | None = None


def judge(study: Study, result: StudyResult, config: Any) -> Verdict:
    """The study's verdict, which knows how many seeds the claim needs."""
    verdict = study.claim(result, config)
    return dataclasses.replace(verdict, needs=max(verdict.needs, study.needs))
