"""What a run is to do: its numbers, checked."""

from __future__ import annotations

import dataclasses
import time

EVALUATION = "evaluation/"
"""How the names of an evaluation's metrics begin in a row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is to do; see `run` for the fields."""

    total: int
    length: int
    """Updates in a whole chunk."""
    num_seeds: int | None
    vmap_hparams: bool
    evaluate_every: int
    checkpoint_every: int
    keep: int
    best_metric: str | None
    deadline: float | None
    """On the clock of `time.perf_counter`."""
    title: str

    @property
    def hparam_axis(self) -> int | None:
        """Axis of the hyper-parameters under the `vmap` over seeds."""
        return 0 if self.vmap_hparams else None

    @property
    def scored_by_evaluation(self) -> bool:
        """Whether the best checkpoint goes by an evaluation."""
        return (self.best_metric or "").lstrip("-").startswith(EVALUATION)


def make_plan(
    *,
    total_updates: int,
    chunk_updates: int,
    num_seeds: int | None,
    vmap_hparams: bool,
    evaluate_every: int | None,
    checkpoint_every: int | None,
    keep: int,
    best_metric: str | None,
    time_limit: float | None,
    title: str,
) -> Plan:
    """The plan that `run`'s arguments ask for; ValueError names a number that is out of range."""
    numbers = {
        "total_updates": total_updates,
        "chunk_updates": chunk_updates,
        "evaluate_every": evaluate_every,
        "checkpoint_every": checkpoint_every,
        "keep": keep,
        "num_seeds": num_seeds,
    }
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"time_limit must be above 0 seconds, got {time_limit}")
    length = min(chunk_updates, total_updates)
    tenth = max(length, total_updates // 10)
    return Plan(
        total=total_updates,
        length=length,
        num_seeds=num_seeds,
        vmap_hparams=vmap_hparams,
        evaluate_every=evaluate_every or tenth,
        checkpoint_every=checkpoint_every or tenth,
        keep=keep,
        best_metric=best_metric,
        deadline=None if time_limit is None else time.perf_counter() + time_limit,
        title=title,
    )
