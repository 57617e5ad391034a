"""The moving parts of one run: compiled chunks, and everything else between them.

The state is donated from chunk to chunk. While a chunk computes, the host logs and saves the one
before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.mesh import replicate, replicated, state_sharding
from jaxrl_rewards.train.checkpoint import Checkpoints, abstract_state
from jaxrl_rewards.train.chunk import Health, compile_chunk, first_state, same_structure
from jaxrl_rewards.train.distributed import agree_on_any, is_writer
from jaxrl_rewards.train.host_part import HostPart
from jaxrl_rewards.train.logging import (
    JsonlLog,
    Progress,
    Row,
    TensorBoardLog,
    history,
)
from jaxrl_rewards.train.plan import EVALUATION, Plan
from jaxrl_rewards.train.plots import learning_curves
from jaxrl_rewards.train.signals import StopRequest

if TYPE_CHECKING:
    from jaxrl_rewards.learners.api import Learner, LearnerState

REFUSED_LIMIT = 10
"""A run ends with an error when whole chunks of updates, this many at least, were refused."""
_EVALUATION_STREAM = 0x7E57


class NonFiniteUpdates(FloatingPointError):
    """Every update of the last chunks was refused, or a parameter is no longer finite."""


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What `run` hands back."""

    state: LearnerState
    """The last state; leaves lead with the seed axis where `num_seeds` was given."""
    history: dict[str, np.ndarray]
    """Logged columns by name, float64 `[rows]` or `[rows, seeds]`, of resumed parts too."""
    out_dir: Path | None
    updates: int
    """Updates done in all."""
    interrupted: bool
    """Whether a signal, the time limit or `stop_when` ended the run early; it can be resumed."""
    signal_number: int | None
    """That signal (a command exits with 128 + it), when this process received it."""
    seconds: float
    """Training time of this call, without compilation and evaluation."""
    compile_seconds: float
    samples_per_second: float
    """Over `seconds`, all seeds together."""


@dataclasses.dataclass(frozen=True)
class _Restored:
    """What a checkpoint's record says besides the state."""

    log_bytes: int
    seconds: float
    between: dict[str, Any]


FirstState = Any
"""A `LearnerState`, or a function without arguments that makes one."""


@dataclasses.dataclass(kw_only=True)
class Loop:
    """One run at work."""

    learner: Learner
    hparams: Any
    key: jax.Array
    plan: Plan
    evaluate: Callable | None
    stop_when: Callable[[Row], bool] | None
    between: HostPart | None
    mesh: Mesh | None
    out_dir: Path | None
    checkpoints: Checkpoints | None = None
    found_run: bool = False
    restored: _Restored | None = None
    writers: list[Any] = dataclasses.field(default_factory=list)
    jsonl: JsonlLog | None = None
    bar: Progress | None = None
    rows: list[Row] = dataclasses.field(default_factory=list)
    refused_in_a_row: int = 0
    compile_seconds: float = 0.0
    seconds: float = 0.0
    """Training time of this call so far."""
    interrupted: bool = False

    def prepare(self, initial_state: FirstState | None, *, resume: bool) -> None:
        """Compile, and find or make the first state: `initial_state` only where none is found."""
        began = time.perf_counter()
        plan = self.plan
        single = self.hparams
        if plan.vmap_hparams:
            single = jax.tree.map(lambda leaf: leaf[0], self.hparams)
        shapes = abstract_state(self.learner, single, plan.num_seeds)
        shardings = None
        if self.mesh is not None:
            shardings = state_sharding(
                shapes, self.mesh, learner=self.learner, num_seeds=plan.num_seeds
            )
            shapes = jax.tree.map(
                lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
                shapes,
                shardings,
            )
        self._copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree), out_shardings=shardings)
        self.state, self.done = None, 0
        if resume and self.checkpoints is not None:
            self._restore(shapes)
        places = (plan.num_seeds, plan.hparam_axis, self.mesh, shardings)
        if self.state is None:
            self.state = initial_state() if callable(initial_state) else initial_state
        if self.state is None:
            self.state = first_state(self.learner, self.hparams, self.key, *places)
        # orbax may hand out buffers that the loop must not donate; a copy is ours for certain
        self.state = self._copy(self.state)
        if self.done < plan.total:  # a finished run that is resumed has nothing left to compute
            self._chunk = compile_chunk(
                self.learner, self.state, self.hparams, plan.length, *places
            )
        jax.block_until_ready(self.state)
        self.compile_seconds = time.perf_counter() - began
        where = None if self.mesh is None else replicated(self.mesh)
        self.skipped = np.asarray(jax.jit(jnp.copy, out_shardings=where)(self.state.skipped))

    def _restore(self, shapes: Any) -> None:
        found = self.checkpoints.restore(shapes)
        if found is None:
            return
        self.state, self.done, record = found
        self.restored = _Restored(
            int(record["log_bytes"]), float(record["seconds"]), dict(record.get("between") or {})
        )
        if self.done > self.plan.total:
            raise InputError(
                f"{self.out_dir} is already at update {self.done}, beyond the "
                f"{self.plan.total} asked for; raise the total"
            )
        if self.between is not None:
            self.between.load_state_dict(self.restored.between)

    def open_logs(self, log: Sequence[str], progress: bool, show: tuple[str, ...]) -> None:
        """Open the files at the place where the checkpoint left them."""
        self.bar = Progress(
            self.plan.total,
            self.done,
            enabled=progress and is_writer(),
            title=self.plan.title,
            show=show,
        )
        self.seconds_before = 0.0
        self.draw_curves = "curves" in log
        if self.out_dir is None:
            return
        position = 0
        if self.restored is not None:
            position = self.restored.log_bytes
            self.seconds_before = self.restored.seconds
            self.bar.note(f"resuming {self.out_dir} at update {self.done} of {self.plan.total}")
        elif self.found_run:
            self.bar.note(f"no checkpoint in {self.out_dir} yet: starting from the beginning")
        if not is_writer():
            return
        if "jsonl" in log:
            path = self.out_dir / "metrics.jsonl"
            self.jsonl = JsonlLog(path, position=position, update=self.done)
            self.writers.append(self.jsonl)
            self.rows = self.jsonl.rows
        if "tensorboard" in log:
            folder = self.out_dir / "tensorboard"
            self.writers.append(TensorBoardLog(folder, from_update=self.done + 1))

    def train(self, stop: StopRequest) -> RunResult:
        """Run the chunks."""
        first = self.done
        self.interrupted = agree_on_any(bool(stop), self.mesh)  # before the first chunk
        begins = self.done < self.plan.total and not self.interrupted
        flight = self._launch() if begins else None
        while flight is not None:
            row, before, trouble = self._land(flight)  # waits for the chunk
            ends = agree_on_any(bool(stop) or self._late(), self.mesh)
            if trouble is None:
                self._exchange()
                row |= self._evaluate(before, ends)
                self._check_best_metric(row)
                ends = self._ends(row, ends)
            snapshot = None if trouble else self._snapshot(before, ends)
            at = self.done
            flight = None if trouble or ends else self._launch()
            self._write(row)  # from here on the next chunk computes
            if snapshot is not None:
                self._save(at, snapshot, row)
            if trouble is not None:
                self._finish_files()
                raise NonFiniteUpdates(trouble)
        self._finish_files()
        return self._result(first, stop)

    def _ends(self, row: Row, ends: bool) -> bool:
        """Whether the run ends after this chunk, for whatever reason."""
        if ends or self.done >= self.plan.total:
            self.interrupted = ends
            return True
        if self.stop_when is not None:
            self.interrupted = agree_on_any(bool(self.stop_when(row)), self.mesh)
        return self.interrupted

    def _result(self, first: int, stop: StopRequest) -> RunResult:
        plan = self.plan
        samples = (self.done - first) * self.learner.samples_per_update * (plan.num_seeds or 1)
        return RunResult(
            state=self.state,
            history=history(self.rows),
            out_dir=self.out_dir,
            updates=self.done,
            interrupted=self.interrupted and self.done < plan.total,
            signal_number=stop.signal_number,
            seconds=self.seconds,
            compile_seconds=self.compile_seconds,
            samples_per_second=samples / self.seconds if samples else 0.0,
        )

    def close(self) -> None:
        """Close files, threads and the bar, all of them whatever becomes of one."""
        with contextlib.ExitStack() as rest:
            if self.checkpoints is not None:
                rest.callback(self.checkpoints.close)
            for writer in self.writers:
                rest.callback(writer.close)
            if self.bar is not None:
                rest.callback(self.bar.close)

    def _late(self) -> bool:
        return self.plan.deadline is not None and time.perf_counter() > self.plan.deadline

    def _launch(self) -> tuple[int, Any, Health]:
        plan = self.plan
        count = min(plan.length - self.done % plan.length, plan.total - self.done)
        self.launched = time.perf_counter()
        self.state, metrics, health = self._chunk(self.state, self.hparams, np.int32(count))
        return count, metrics, health

    def _land(self, flight: tuple[int, Any, Health]) -> tuple[Row, int, str | None]:
        """The row of a chunk, the updates before it, and what ends the run with an error."""
        count, *results = flight
        metrics, health = jax.tree.map(np.asarray, results)
        before, self.done = self.done, self.done + count
        chunk_seconds = time.perf_counter() - self.launched
        self.seconds += chunk_seconds
        row = self._row(count, metrics, health.skipped, chunk_seconds)
        trouble = self._refused(count, health)
        if not health.finite.all():
            trouble = (
                f"a parameter is no longer finite after update {self.done}; lower the learning "
                "rate, or look for a reward or observation that is not finite"
            )
        return row, before, trouble

    def _row(
        self,
        count: int,
        metrics: Any,
        skipped: np.ndarray,
        chunk_seconds: float,
    ) -> Row:
        samples = self.learner.samples_per_update * (self.plan.num_seeds or 1)
        row: Row = {
            "update": self.done,
            "samples": self.done * self.learner.samples_per_update,
            "seconds": self.seconds_before + self.seconds,
            "samples_per_second": count * samples / max(chunk_seconds, 1e-9),
            "skipped_total": skipped.tolist(),
        }
        for name, values in metrics.items():
            row[name] = _mean_of_known(values[:count]).tolist()
        return row

    def _refused(self, count: int, health: Health) -> str | None:
        """Warn of refused steps; the message that ends a run of nothing else."""
        refused = health.skipped - self.skipped
        self.skipped = health.skipped
        if refused.max() > 0:
            where = ""
            if self.plan.num_seeds is not None:
                where = f" in {int((refused > 0).sum())} seeds"
            self.bar.note(
                f"warning: {int(refused.max())} optimiser steps in updates {self.done - count + 1} "
                f"to {self.done} were refused{where}: a gradient or rate was not finite"
            )
        idle = health.idle.min() == count
        self.refused_in_a_row = self.refused_in_a_row + count if idle else 0
        if self.refused_in_a_row < min(REFUSED_LIMIT, self.plan.total):
            return None
        return (
            f"every one of the last {self.refused_in_a_row} updates up to update {self.done} was "
            "refused because a gradient or learning rate was not finite; lower the learning rate, "
            "clip gradients, or look for a reward or observation that is not finite"
        )

    def _exchange(self) -> None:
        """Let the host's part hear and give."""
        if self.between is None:
            return
        given = self.between.exchange(self.done, jax.tree.map(np.asarray, self.state.summary))
        if given is None:
            return
        received = self.learner.receive(self.state, jax.tree.map(jnp.asarray, given))
        same_structure(self.state, received)
        self.state = received

    def _due(self, before: int, every: int) -> bool:
        """Whether a multiple of `every` was reached: a function of the update alone, so that
        interruptions change nothing."""
        return self.done // every > before // every or self.done >= self.plan.total

    def _evaluate(self, before: int, ends: bool) -> Row:
        """The evaluation's columns, where one is due."""
        self.evaluated = self.evaluate is not None and self._due(before, self.plan.evaluate_every)
        if not self.evaluated:
            return {}
        key = jax.random.fold_in(jax.random.fold_in(self.key, _EVALUATION_STREAM), self.done)
        if self.mesh is not None and jax.process_count() > 1:
            key = replicate(key, self.mesh)
        values = self.evaluate(self.state, key)
        return {EVALUATION + name: np.asarray(value).tolist() for name, value in values.items()}

    def _snapshot(self, before: int, ends: bool) -> Any:
        """A copy of the state where a checkpoint is due; None else."""
        if self.checkpoints is None:
            return None
        scored = self.evaluated and self.plan.scored_by_evaluation
        if not (ends or scored or self._due(before, self.plan.checkpoint_every)):
            return None
        self.told_between = None if self.between is None else self.between.state_dict()
        return self._copy(self.state)

    def _check_best_metric(self, row: Row) -> None:
        name = (self.plan.best_metric or "").lstrip("-")
        evaluated = name.startswith(EVALUATION) and self.evaluate is not None
        if name and name not in row and (not evaluated or any(EVALUATION in key for key in row)):
            raise ValueError(f"best_metric {name!r} is not logged; choose among {sorted(row)}")

    def _save(self, update: int, snapshot: Any, row: Row) -> None:
        name = self.plan.best_metric or ""
        values = np.asarray(row.get(name.lstrip("-"), np.nan), np.float64)
        score = float(values.mean()) if np.isfinite(values).all() else None  # of all seeds
        if score is not None and name.startswith("-"):
            score = -score
        position = self.jsonl.position() if self.jsonl is not None else 0
        details = {"log_bytes": position, "seconds": self.seconds_before + self.seconds}
        if self.between is not None:
            details["between"] = self.told_between
        self.checkpoints.save(update, snapshot, details, score)

    def _write(self, row: Row) -> None:
        self.rows.append(row)
        for writer in self.writers:
            writer.write(row)
        self.bar.update(row)

    def _finish_files(self) -> None:
        if self.out_dir is not None and self.draw_curves and is_writer():
            columns = history(self.rows)
            learning_curves(self.out_dir / "curves.png", columns, title=self.plan.title)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the updates, leaving out NaN ("nothing to report"); NaN where none is left."""
    values = values.astype(np.float64)
    known = ~np.isnan(values)
    count = known.sum(0)
    with np.errstate(invalid="ignore"):
        total = np.where(known, values, 0.0).sum(0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)
