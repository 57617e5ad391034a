"""The training loop: compiled chunks of updates, and everything else between them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrl_rewards.core.extras import require_package
from jaxrl_rewards.core.mesh import place_hparams
from jaxrl_rewards.train import record
from jaxrl_rewards.train.checkpoint import FOLDER, Checkpoints
from jaxrl_rewards.train.distributed import agree_on_any, is_writer
from jaxrl_rewards.train.folder_lock import folder_lock
from jaxrl_rewards.train.host_part import HostPart
from jaxrl_rewards.train.logging import Row
from jaxrl_rewards.train.loop import Loop, NonFiniteUpdates, RunResult
from jaxrl_rewards.train.plan import Plan, make_plan
from jaxrl_rewards.train.signals import StopRequest

if TYPE_CHECKING:
    from jaxrl_rewards.learners.api import Learner, LearnerState

LOGS = ("jsonl", "curves", "tensorboard")


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
    initial_state: LearnerState | Callable[[], LearnerState] | None = None,
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
    between: HostPart | None = None,
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
      initial_state: start from this state instead of `learner.init`; it is copied. A function
        that makes it is called only where no checkpoint was restored.
      evaluate: `evaluate(state, key)` gives numbers (or `[num_seeds]`), logged under
        `evaluation/`; see `evaluation.make_evaluator`. It gets the state as it is, seed axis
        included, and a key that depends on the run's key and the update alone.
      evaluate_every: evaluate at the first chunk boundary at or after each multiple of this, and
        after the last update; a tenth of the run when None. Interruptions change nothing.
      checkpoint_every: save likewise; a tenth of the run when None.
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
      between: what the host does between chunks; see `train.HostPart`. One process only.

    On SIGTERM, SIGINT or SIGHUP, however often, the chunk at work is finished, saved, and the
    result says `interrupted`. The folder is held for this process alone (see `folder_lock`). A run
    that was killed goes on from its newest sound checkpoint to the same results, on a CPU to the
    bit.

    Returns:
      A `RunResult`.

    Raises:
      ValueError: a number is out of range, or the learner does not keep its state's structure.
      InputError: `out_dir` holds a run and `resume` is False, or is in use by another process; the
        resumed run differs in a named field; no checkpoint can be read; tensorboardX is missing.
      WriteError: a disk is full, or a folder cannot be written.
      NonFiniteUpdates: the last chunks, 10 updates at least, refused every update, or a parameter
        is no longer finite. The files are complete up to there.
    """
    hparams = learner.hparams if hparams is None else hparams
    hparams = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), hparams)
    plan = make_plan(
        total_updates=total_updates,
        chunk_updates=chunk_updates,
        num_seeds=num_seeds,
        vmap_hparams=vmap_hparams,
        evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every,
        keep=keep,
        best_metric=best_metric,
        time_limit=time_limit,
        title=title,
    )
    _check(plan, log, mesh, learner, between)
    loop = Loop(
        learner=learner,
        hparams=place_hparams(hparams, mesh, learner, seeds=vmap_hparams),
        key=key,
        plan=plan,
        evaluate=evaluate,
        stop_when=stop_when,
        between=between,
        mesh=mesh,
        out_dir=None if out_dir is None else Path(out_dir),
    )
    with StopRequest() as stop, _held(loop.out_dir), contextlib.closing(loop):
        if loop.out_dir is not None:
            _claim_folder(loop, record.facts(config, hparams, key, num_seeds, vmap_hparams), resume)
        loop.prepare(initial_state, resume=resume)
        loop.open_logs(log, progress, tuple(show))
        return loop.train(stop)


def _held(folder: Path | None) -> Any:
    """The run's folder for this process alone; the process that writes holds it for all."""
    return folder_lock(folder) if folder and is_writer() else contextlib.nullcontext()


def _claim_folder(loop: Loop, facts: dict[str, Any], resume: bool) -> None:
    """Refuse a folder that must not be written; write what the run is; open its checkpoints."""
    plan = loop.plan
    settings = {
        "total_updates": plan.total,
        "chunk_updates": plan.length,
        "samples_per_update": loop.learner.samples_per_update,
        "evaluate_every": plan.evaluate_every if loop.evaluate else None,
        "checkpoint_every": plan.checkpoint_every,
        "keep": plan.keep,
        "best_metric": plan.best_metric,
        "devices": 1 if loop.mesh is None else int(loop.mesh.devices.size),
        "processes": jax.process_count(),
    }
    loop.found_run = record.check_folder(loop.out_dir, resume=resume, facts=facts)
    agree_on_any(False, loop.mesh)  # nobody writes before everybody has looked
    if is_writer():
        record.write(loop.out_dir, facts, settings)
    agree_on_any(False, loop.mesh)
    loop.checkpoints = Checkpoints(loop.out_dir, keep=plan.keep)


def _check(
    plan: Plan,
    log: Sequence[str],
    mesh: Mesh | None,
    learner: Learner,
    between: HostPart | None,
) -> None:
    for name in log:
        if name not in LOGS:
            raise ValueError(f"unknown log {name!r}; choose among {LOGS}")
    if "tensorboard" in log:
        require_package("tensorboardX", "the log 'tensorboard'")
    if plan.vmap_hparams and plan.num_seeds is None:
        raise ValueError("vmap_hparams needs num_seeds: the length of the hyper-parameters' axis")
    if jax.process_count() > 1 and mesh is None:
        raise ValueError("a run of several processes needs mesh=make_mesh()")
    if between is not None and jax.process_count() > 1:
        raise ValueError("between needs a run of one process; leave it out, or use one process")
    if between is not None and learner.receive is None:
        raise ValueError(
            "between needs a learner that takes what the host gives: set Learner.receive, or wrap "
            "it with learners.from_host.takes_from_host"
        )


__all__ = ["FOLDER", "NonFiniteUpdates", "RunResult", "run"]
