"""The training loop: compiled chunks of updates, and everything else between them.

A chunk is one compiled loop over a learner's update with a *run-time* number of turns, so chunks
of every length run the same machine code: results do not depend, to the bit, on where chunks end,
how many there are, or where a run was interrupted and resumed. The state is donated from chunk to
chunk. While a chunk computes, the host logs and saves the one before.
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

from jaxrl_rewards.core.compiling import jit_program
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.jsonl import read_jsonl
from jaxrl_rewards.core.mesh import replicate, replicated, state_sharding
from jaxrl_rewards.train import record
from jaxrl_rewards.train.checkpoint import FOLDER, Checkpoints, abstract_state
from jaxrl_rewards.train.distributed import agree_on_any, is_writer
from jaxrl_rewards.train.logging import (
    BOOKKEEPING,
    JsonlLog,
    Progress,
    Row,
    TensorBoardLog,
    history,
    mean,
)
from jaxrl_rewards.train.plots import learning_curves
from jaxrl_rewards.train.signals import StopRequest

if TYPE_CHECKING:
    from jaxrl_rewards.learners.api import Learner, LearnerState

LOGS = ("jsonl", "curves", "tensorboard")
REFUSED_LIMIT = 10
"""A run ends with an error when whole chunks of updates, this many at least, were refused."""


class NonFiniteUpdates(FloatingPointError):
    """Every update of the last chunk(s) was refused because a gradient was not finite."""


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


def run(
    learner: Learner,
    hparams: Any = None,
    *,
    key: jax.Array,
    total_updates: int,
    out_dir: str | Path | None = None,
    chunk_updates: int = 10,
    resume: bool = False,
    num_seeds: int | None = None,
    vmap_hparams: bool = False,
    initial_state: LearnerState | None = None,
    evaluate: Callable[[LearnerState, jax.Array], dict[str, Any]] | None = None,
    evaluate_every: int | None = None,
    checkpoint_every: int | None = None,
    keep: int = 3,
    best_metric: str | None = None,
    config: Any = None,
    mesh: Mesh | None = None,
    progress: bool = True,
    show: Sequence[str] = (),
    log: Sequence[str] = ("jsonl", "curves"),
    title: str = "training",
    time_limit: float | None = None,
    stop_when: Callable[[Row], bool] | None = None,
) -> RunResult:
    """Train `learner` for `total_updates` updates.

    Args:
      learner: `init` and `update` are compiled here; `samples_per_update` scales the rates.
      hparams: its hyper-parameters; `learner.hparams` when None.
      key: typed key of the whole run. With `num_seeds`, seed `i` is initialised from
        `jax.random.split(key, num_seeds)[i]`.
      total_updates: updates in all, those before a resumption among them.
      out_dir: folder of the results; nothing is written when None. It gets `config.json`,
        `metrics.jsonl`, `curves.png`, `checkpoints/` and, if asked for, `tensorboard/`.
      chunk_updates: updates per logged row. It changes the rows, never the training.
      resume: go on from the newest readable checkpoint in `out_dir`; from the beginning where
        there is none. The configuration, key, hyper-parameters and seeds must be the same.
      num_seeds: train that many seeds under one `vmap`; metrics become `[num_seeds]`.
      vmap_hparams: with `num_seeds`, the leaves of `hparams` lead with the seed axis too (a sweep).
      initial_state: start from this state instead of `learner.init`; it is copied.
      evaluate: `evaluate(state, key)` gives numbers (or `[num_seeds]`), logged under
        `evaluation/`; see `evaluation.make_evaluator`. It gets the state as it is, seed axis
        included, and a key that depends on the run's key and the update alone.
      evaluate_every: updates between evaluations, at the next chunk boundary, and after the last
        update; a tenth of the run when None.
      checkpoint_every: updates between checkpoints, likewise; a tenth of the run when None.
      keep: newest checkpoints to keep.
      best_metric: name of a logged metric; the checkpoint with its highest mean over seeds is
        kept as well. With a leading "-", the lowest. If it is an evaluation's, every evaluation
        is followed by a checkpoint.
      config: what made the learner (a dataclass, dict, ...); stored, and compared on resume.
      mesh: devices to spread over, see `core.mesh`; needed for several processes.
      progress: whether to show progress on stderr (a bar on a terminal, else lines).
      show: metrics in the progress line.
      log: of "jsonl", "curves" and "tensorboard".
      title: name of the run in the progress line and above the curves.
      time_limit: end after the chunk in which this many seconds, counted from the call on, are
        over; the run is saved as on a signal and can be resumed.
      stop_when: end, saved likewise, after the first logged row for which this is true.

    On SIGTERM or SIGINT the chunk at work is finished, saved, and the result says `interrupted`.

    Returns:
      A `RunResult`.

    Raises:
      ValueError: a number is out of range, or the learner does not keep its state's structure.
      InputError: `out_dir` holds a run and `resume` is False; the resumed run differs in a named
        field; no checkpoint can be read; tensorboardX is missing.
      NonFiniteUpdates: the last chunks, 10 updates at least, refused every update. The files are
        complete up to there.
    """
    began = time.perf_counter()
    _check(total_updates, chunk_updates, evaluate_every, checkpoint_every, keep, num_seeds, log)
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"time_limit must be above 0 seconds, got {time_limit}")
    if vmap_hparams and num_seeds is None:
        raise ValueError("vmap_hparams needs num_seeds: the length of the hyper-parameters' axis")
    if jax.process_count() > 1 and mesh is None:
        raise ValueError("a run of several processes needs mesh=make_mesh()")
    hparams = learner.hparams if hparams is None else hparams
    hparams = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), hparams)
    chunk_updates = min(chunk_updates, total_updates)
    tenth = max(chunk_updates, total_updates // 10)
    loop = _Loop(
        learner=learner,
        hparams=hparams if mesh is None else replicate(hparams, mesh),
        key=key,
        total=total_updates,
        length=chunk_updates,
        num_seeds=num_seeds,
        vmap_hparams=vmap_hparams,
        evaluate=evaluate,
        evaluate_every=evaluate_every or tenth,
        checkpoint_every=checkpoint_every or tenth,
        best_metric=best_metric,
        mesh=mesh,
        out_dir=None if out_dir is None else Path(out_dir),
        title=title,
        deadline=None if time_limit is None else began + time_limit,
        stop_when=stop_when,
    )
    loop.restored = None
    if loop.out_dir is not None:
        facts = record.facts(config, hparams, key, num_seeds, vmap_hparams)
        settings = {
            "total_updates": total_updates,
            "chunk_updates": chunk_updates,
            "samples_per_update": learner.samples_per_update,
            "evaluate_every": loop.evaluate_every if evaluate else None,
            "checkpoint_every": loop.checkpoint_every,
            "keep": keep,
            "best_metric": best_metric,
            "devices": 1 if mesh is None else int(mesh.devices.size),
            "processes": jax.process_count(),
        }
        existing = record.check_folder(loop.out_dir, resume=resume, facts=facts)
        agree_on_any(False, mesh)  # nobody writes before everybody has looked
        if is_writer():
            record.make_folder(loop.out_dir)
            record.write(loop.out_dir, facts, settings)
        agree_on_any(False, mesh)
        loop.checkpoints = Checkpoints(loop.out_dir, keep=keep, best=best_metric is not None)
        loop.found_run = existing
    try:
        loop.prepare(initial_state, resume=resume)
        loop.open_logs(log, progress, tuple(show))
        with StopRequest() as stop:
            return loop.train(stop)
    finally:
        loop.close()


@dataclasses.dataclass(kw_only=True)
class _Loop:
    """The moving parts of one `run`."""

    learner: Learner
    hparams: Any
    key: jax.Array
    total: int
    length: int
    num_seeds: int | None
    vmap_hparams: bool
    evaluate: Callable | None
    evaluate_every: int
    checkpoint_every: int
    best_metric: str | None
    mesh: Mesh | None
    out_dir: Path | None
    title: str
    deadline: float | None = None
    stop_when: Callable[[Row], bool] | None = None
    checkpoints: Checkpoints | None = None
    found_run: bool = False
    restored: dict[str, Any] | None = None
    writers: list[Any] = dataclasses.field(default_factory=list)
    jsonl: JsonlLog | None = None
    bar: Progress | None = None
    rows: list[Row] = dataclasses.field(default_factory=list)
    refused_in_a_row: int = 0
    compile_seconds: float = 0.0

    def prepare(self, initial_state: LearnerState | None, *, resume: bool) -> None:
        """Compile, and find or make the first state."""
        began = time.perf_counter()
        axes = 0 if self.vmap_hparams else None
        single_hparams = (
            jax.tree.map(lambda leaf: leaf[0], self.hparams) if self.vmap_hparams else self.hparams
        )
        shapes = abstract_state(self.learner, single_hparams, self.num_seeds)
        shardings = None
        if self.mesh is not None:
            shardings = state_sharding(shapes, self.mesh, num_seeds=self.num_seeds)
            shapes = jax.tree.map(
                lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
                shapes,
                shardings,
            )
        self._copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree), out_shardings=shardings)
        self.state, self.done = None, 0
        if resume and self.checkpoints is not None:
            found = self.checkpoints.restore(shapes)
            if found is not None:
                self.state, self.restored = found
                self.done = int(self.restored["update"])
                if self.done > self.total:
                    raise InputError(
                        f"{self.out_dir} is already at update {self.done}, beyond the "
                        f"{self.total} asked for; raise the total"
                    )
        if self.state is None:
            self.state = self._first_state(initial_state, axes, shardings)
        # orbax may hand out buffers that the loop must not donate; a copy is ours for certain
        self.state = self._copy(self.state)
        self._chunk = self._compile_chunk(axes, shardings)
        jax.block_until_ready(self.state)
        self.compile_seconds = time.perf_counter() - began
        where = None if self.mesh is None else replicated(self.mesh)
        self.skipped = np.asarray(jax.jit(jnp.copy, out_shardings=where)(self.state.skipped))

    def _first_state(self, initial_state: Any, axes: int | None, shardings: Any) -> Any:
        if initial_state is not None:
            return initial_state
        key = self.key if self.mesh is None else replicate(self.key, self.mesh)

        def init(key: jax.Array, hparams: Any) -> Any:
            if self.num_seeds is None:
                state = self.learner.init(key, hparams)
            else:
                keys = jax.random.split(key, self.num_seeds)
                state = jax.vmap(self.learner.init, in_axes=(0, axes))(keys, hparams)
            return jax.tree.map(_strong, state)

        return jax.jit(init, out_shardings=shardings)(key, self.hparams)

    def _compile_chunk(self, axes: int | None, shardings: Any) -> Callable:
        update = self.learner.update
        if self.num_seeds is not None:
            update = jax.vmap(update, in_axes=(0, axes))
        after, metric_shapes = jax.eval_shape(update, self.state, self.hparams)
        _same_structure(self.state, after)
        for name in BOOKKEEPING:
            if name in metric_shapes:
                raise ValueError(f"the learner's metric {name!r} has a name that the log needs")
        length = self.length

        def chunk(state: Any, hparams: Any, count: jax.Array) -> tuple[Any, Any, tuple]:
            buffers = jax.tree.map(
                lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), metric_shapes
            )

            def body(index: jax.Array, carry: tuple) -> tuple:
                before, buffers, idle = carry
                state, metrics = update(before, hparams)
                idle = idle + _refused_whole(before, state).astype(jnp.int32)
                # keeps the storing of metrics, whose size is the chunk's, out of the arithmetic
                metrics = jax.lax.optimization_barrier(metrics)
                buffers = jax.tree.map(
                    lambda buffer, value: buffer.at[index].set(value), buffers, metrics
                )
                return jax.tree.map(_strong, state), buffers, idle

            start = (state, buffers, jnp.zeros_like(state.skipped))
            state, buffers, idle = jax.lax.fori_loop(0, count, body, start)
            return state, buffers, (state.skipped, idle)

        outputs = None
        if self.mesh is not None:
            outputs = (shardings, replicated(self.mesh), replicated(self.mesh))
        jitted = jit_program(chunk, donate_argnums=0, out_shardings=outputs)
        seeds_are_split = (
            self.mesh is not None
            and self.num_seeds is not None
            and self.num_seeds % self.mesh.shape["data"] == 0
        )
        # batches made within an update ask for this mesh, unless whole seeds have taken it
        inner = self.mesh is not None and not seeds_are_split
        with jax.set_mesh(self.mesh) if inner else contextlib.nullcontext():
            return jitted.lower(self.state, self.hparams, np.int32(1)).compile()

    def open_logs(self, log: Sequence[str], progress: bool, show: tuple[str, ...]) -> None:
        """Open the files at the place where the checkpoint left them."""
        self.bar = Progress(
            self.total,
            self.done,
            enabled=progress and is_writer(),
            title=self.title,
            show=show,
        )
        self.seconds_before = 0.0
        self.draw_curves = "curves" in log
        if self.out_dir is None:
            return
        position = 0
        if self.restored is not None:
            position = int(self.restored["log_bytes"])
            self.seconds_before = float(self.restored["seconds"])
            self.bar.note(f"resuming {self.out_dir} at update {self.done} of {self.total}")
        elif self.found_run:
            self.bar.note(f"no checkpoint in {self.out_dir} yet: starting from the beginning")
        if not is_writer():
            return
        if "jsonl" in log:
            self.jsonl = JsonlLog(self.out_dir / "metrics.jsonl", position=position)
            self.writers.append(self.jsonl)
            self.rows = read_jsonl(self.jsonl.path)
        if "tensorboard" in log:
            folder = self.out_dir / "tensorboard"
            self.writers.append(TensorBoardLog(folder, from_update=self.done + 1))

    def train(self, stop: StopRequest) -> RunResult:
        """Run the chunks."""
        first, seconds = self.done, 0.0
        evaluated = saved = self.done
        flight = self._launch() if self.done < self.total else None
        interrupted = agree_on_any(bool(stop), self.mesh) and flight is None
        while flight is not None:
            count, *results = flight
            metrics, (skipped, idle) = jax.tree.map(np.asarray, results)  # waits for the chunk
            self.done += count
            chunk_seconds = time.perf_counter() - self.launched
            seconds += chunk_seconds
            interrupted = agree_on_any(bool(stop) or self._late(), self.mesh)
            last = interrupted or self.done >= self.total
            row = self._row(count, metrics, skipped, seconds, chunk_seconds)
            stuck = self._all_refused(count, skipped, idle)
            evaluation_due = self.evaluate is not None and (
                self.done - evaluated >= self.evaluate_every or self.done >= self.total
            )
            if evaluation_due and not stuck:
                row |= self._evaluate()
                evaluated = self.done
            self._check_best_metric(row)
            if not last and self.stop_when is not None:
                interrupted = last = agree_on_any(bool(self.stop_when(row)), self.mesh)
            save_due = (
                last
                or self.done - saved >= self.checkpoint_every
                or (evaluation_due and (self.best_metric or "").lstrip("-").startswith(EVALUATION))
            ) and self.checkpoints is not None
            snapshot = None
            if save_due and not stuck:
                snapshot, saved = self._copy(self.state), self.done
            at = self.done
            flight = None if last or stuck else self._launch()
            self._write(row)  # from here on the next chunk computes
            if snapshot is not None:
                self._save(at, snapshot, row, seconds)
            if stuck:
                self._finish_files()
                raise NonFiniteUpdates(
                    f"every one of the last {self.refused_in_a_row} updates up to update {at} was "
                    "refused because a gradient was not finite; lower the learning rate, clip "
                    "gradients, or look for a reward or observation that is not finite"
                )
        self._finish_files()
        samples = (self.done - first) * self.learner.samples_per_update * (self.num_seeds or 1)
        return RunResult(
            state=self.state,
            history=history(self.rows),
            out_dir=self.out_dir,
            updates=self.done,
            interrupted=interrupted and self.done < self.total,
            signal_number=stop.signal_number,
            seconds=seconds,
            compile_seconds=self.compile_seconds,
            samples_per_second=samples / seconds if samples else 0.0,
        )

    def close(self) -> None:
        """Close files, threads and the bar."""
        if self.bar is not None:
            self.bar.close()
        for writer in self.writers:
            writer.close()
        if self.checkpoints is not None:
            self.checkpoints.close()

    def _late(self) -> bool:
        return self.deadline is not None and time.perf_counter() > self.deadline

    def _launch(self) -> tuple[int, Any, Any]:
        count = min(self.length - self.done % self.length, self.total - self.done)
        self.launched = time.perf_counter()
        self.state, metrics, counters = self._chunk(self.state, self.hparams, np.int32(count))
        return count, metrics, counters

    def _row(
        self,
        count: int,
        metrics: Any,
        skipped: np.ndarray,
        seconds: float,
        chunk_seconds: float,
    ) -> Row:
        samples = self.learner.samples_per_update * (self.num_seeds or 1)
        row: Row = {
            "update": self.done,
            "samples": self.done * self.learner.samples_per_update,
            "seconds": self.seconds_before + seconds,
            "samples_per_second": count * samples / max(chunk_seconds, 1e-9),
            "skipped_total": skipped.tolist(),
        }
        for name, values in metrics.items():
            row[name] = _mean_of_known(values[:count]).tolist()
        return row

    def _all_refused(self, count: int, skipped: np.ndarray, idle: np.ndarray) -> bool:
        refused = skipped - self.skipped
        self.skipped = skipped
        if refused.max() > 0:
            where = "" if self.num_seeds is None else f" in {int((refused > 0).sum())} seeds"
            self.bar.note(
                f"warning: {int(refused.max())} optimiser steps in updates {self.done - count + 1} "
                f"to {self.done} were refused{where}: a gradient was not finite"
            )
        self.refused_in_a_row = self.refused_in_a_row + count if idle.min() == count else 0
        return self.refused_in_a_row >= min(REFUSED_LIMIT, self.total)

    def _evaluate(self) -> Row:
        key = jax.random.fold_in(jax.random.fold_in(self.key, _EVALUATION_STREAM), self.done)
        if self.mesh is not None and jax.process_count() > 1:
            key = replicate(key, self.mesh)
        values = self.evaluate(self.state, key)
        return {EVALUATION + name: np.asarray(value).tolist() for name, value in values.items()}

    def _check_best_metric(self, row: Row) -> None:
        name = (self.best_metric or "").lstrip("-")
        evaluated = name.startswith(EVALUATION) and self.evaluate is not None
        if name and name not in row and (not evaluated or any(EVALUATION in key for key in row)):
            raise ValueError(f"best_metric {name!r} is not logged; choose among {sorted(row)}")

    def _save(self, update: int, snapshot: Any, row: Row, seconds: float) -> None:
        name = self.best_metric or ""
        score = mean(row.get(name.lstrip("-")))
        if score is not None and name.startswith("-"):
            score = -score
        position = self.jsonl.position() if self.jsonl is not None else 0
        details = {"log_bytes": position, "seconds": self.seconds_before + seconds}
        self.checkpoints.save(update, snapshot, details, score)

    def _write(self, row: Row) -> None:
        self.rows.append(row)
        for writer in self.writers:
            writer.write(row)
        self.bar.update(row)

    def _finish_files(self) -> None:
        if self.out_dir is not None and self.draw_curves and is_writer():
            columns = history(self.rows)
            learning_curves(self.out_dir / "curves.png", columns, title=self.title)


EVALUATION = "evaluation/"
_EVALUATION_STREAM = 0x7E57


def _strong(leaf: jax.Array) -> jax.Array:
    """The same values without JAX's weak typing, so that a state has one type for ever."""
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        return leaf
    return jax.lax.convert_element_type(leaf, leaf.dtype)


def _refused_whole(before: LearnerState, after: LearnerState) -> jax.Array:
    """Whether an update was refused in full: `skipped` has grown and no parameter has moved.

    Per seed where `skipped` has a seed axis. (A learner may count optimiser steps, of which one
    update takes several, so the growth alone does not tell.)
    """
    grown = after.skipped > before.skipped
    for old, new in zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True):
        same = old == new
        grown &= jnp.all(same, axis=tuple(range(grown.ndim, same.ndim)))
    return grown


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the updates, leaving out NaN ("nothing to report"); NaN where none is left."""
    values = values.astype(np.float64)
    known = ~np.isnan(values)
    count = known.sum(0)
    with np.errstate(invalid="ignore"):
        total = np.where(known, values, 0.0).sum(0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _same_structure(before: Any, after: Any) -> None:
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise ValueError(
            "the learner's update changes the structure of its state: "
            f"{jax.tree.structure(before)} becomes {jax.tree.structure(after)}"
        )
    leaves = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, old), new in leaves:
        if old.shape != new.shape or old.dtype != new.dtype:
            raise ValueError(
                f"the learner's update changes state{jax.tree_util.keystr(path)} from "
                f"{old.dtype}{list(old.shape)} to {new.dtype}{list(new.shape)}"
            )


def _check(
    total: int,
    chunk: int,
    evaluate_every: int | None,
    checkpoint_every: int | None,
    keep: int,
    num_seeds: int | None,
    log: Sequence[str],
) -> None:
    numbers = {
        "total_updates": total,
        "chunk_updates": chunk,
        "evaluate_every": evaluate_every,
        "checkpoint_every": checkpoint_every,
        "keep": keep,
        "num_seeds": num_seeds,
    }
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for name in log:
        if name not in LOGS:
            raise ValueError(f"unknown log {name!r}; choose among {LOGS}")


__all__ = ["FOLDER", "NonFiniteUpdates", "RunResult", "run"]
