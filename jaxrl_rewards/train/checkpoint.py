"""Saving and restoring whole runs (orbax), and parameters alone (npz)."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.errors import InputError, WriteError
from jaxrl_rewards.core.files import atomic_path, shown_path
from jaxrl_rewards.core.json_files import read_json
from jaxrl_rewards.learners.api import seed_axes
from jaxrl_rewards.train.manifest import check_manifest, sealed, unsealed, write_manifest

PyTree = Any

FOLDER = "checkpoints"
"""Name of the checkpoint folder within a run's folder."""
_TRASH = "trash"
_UNREADABLE = "unreadable"
_MANIFEST = Path("record") / "files.json"
_FACTS = ("update", "step", "state", "score", "record")
_LONGEST_RECORD = 1 << 30
"""Bytes: a host's part may keep whole networks in it."""


class Checkpoints:
    """The checkpoints of one run: the newest `keep`, and the best one where a metric is given.

    Saving is asynchronous: `save` returns when the values are copied, the files appear under a
    temporary name and are renamed when they are complete, so a killed process leaves no half
    checkpoint behind. Each checkpoint holds the state and a JSON record, with a checksum of each:
    whatever is damaged in it, it is refused as a whole, and never gives other values.
    """

    def __init__(self, run_dir: str | os.PathLike[str], *, keep: int = 3, read_only: bool = False):
        """Open (and unless `read_only` create and tidy) the checkpoints of the run in `run_dir`.

        The checkpoint with the highest metric, where any has one, is kept besides the newest
        `keep`.
        """
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        import orbax.checkpoint as ocp

        self.folder = Path(run_dir).absolute() / FOLDER
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file; move it away or choose another folder")
        self._ocp = ocp
        self._read_only = read_only
        self._scores: dict[int, float | None] = {}
        self._saving = 0
        logging.getLogger("absl").addFilter(_not_of_orbax)
        if not read_only:
            self._empty_trash()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_Keep(1_000_000 if read_only else keep, self._score),
            cleanup_tmp_directories=not read_only,
            todelete_subdir=None if read_only else _TRASH,
            create=not read_only,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._finished),
        )
        with self._writing("the checkpoints"):
            self._manager = ocp.CheckpointManager(self.folder, options=options)

    def steps(self) -> list[int]:
        """Update numbers of the complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def save(
        self, update: int, state: PyTree, record: dict[str, Any], metric: float | None = None
    ) -> None:
        """Save `state` as of `update`, with a JSON `record` and the metric that "best" goes by.

        `state` must not be donated before `wait` returns: pass a copy. WriteError where this save,
        or the one before, cannot be written; the older checkpoints are as they were.
        """
        score = None if metric is None or not np.isfinite(metric) else float(metric)
        facts = {
            "update": update,
            "step": _step_of(state),
            "state": checksum(state),
            "score": score,
            "record": record,
        }
        items = self._ocp.args.Composite(
            state=self._ocp.args.StandardSave(_filled(state)),
            record=self._ocp.args.JsonSave(sealed(facts)),
        )
        self.wait()  # for the save before, which may still be moving files into the trash
        self._empty_trash()
        self._scores[update], self._saving = score, update
        with self._writing(f"the checkpoint of update {update}"):
            self._manager.save(update, args=items, force=True)

    def restore(self, abstract: PyTree) -> tuple[PyTree, int, dict[str, Any]] | None:
        """The newest sound checkpoint as `(state, update, record)`; None where there is none at
        all.

        Args:
          abstract: `jax.ShapeDtypeStruct`s of the state, with shardings where wanted.

        Checkpoints that cannot be read are named in a warning and, once an older one has been
        read, moved to the folder `unreadable`.

        Raises:
          InputError: there are checkpoints but none can be read into this state.
        """
        broken: list[tuple[int, Exception]] = []
        for step in reversed(self.steps()):
            try:
                state, record = self.restore_step(step, abstract)
            except Exception as error:  # whatever the reader meets, an older one may do
                broken.append((step, error))
                continue
            self._set_aside(broken, step)
            return state, step, record
        if broken:
            step, error = broken[0]
            raise InputError(
                f"none of the {len(broken)} checkpoints in {self.folder} can be read into this "
                f"learner (update {step}: {_first_line(error)}); start afresh in another folder"
            )
        return None

    def restore_step(self, step: int, abstract: PyTree) -> tuple[PyTree, dict[str, Any]]:
        """The checkpoint of update `step`; raises whatever the reader meets."""
        facts = self._facts(step)
        args = self._ocp.args.Composite(
            state=self._ocp.args.StandardRestore(_filled(abstract)),
        )
        state = _emptied(self._manager.restore(step, args=args)["state"], abstract)
        _check_state(state, facts)
        return state, facts["record"]

    def raw(self, step: int) -> PyTree:
        """The state of update `step` as nested dicts and lists of arrays, whatever its type, and
        however many devices it was saved from; raises whatever the reader meets."""
        facts = self._facts(step)
        args = self._ocp.args
        stored = self._ocp.StandardCheckpointHandler().metadata(self._path(step) / "state")
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        wanted = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), stored.tree
        )
        items = self._manager.restore(step, args=args.Composite(state=args.StandardRestore(wanted)))
        _check_state(items["state"], facts)
        return items["state"]

    def best_step(self) -> int | None:
        """Update of the checkpoint with the highest metric; None where no metric was given."""
        return _best({step: self._score(step) for step in self.steps()})

    def wait(self) -> None:
        """Block until the files of the last `save` are complete; WriteError where they cannot be
        written."""
        with self._writing("the last checkpoint"):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait and release the background threads."""
        try:
            self.wait()
        finally:
            self._manager.close()
            self._empty_trash()
            logging.getLogger("absl").removeFilter(_not_of_orbax)

    def _finished(self) -> None:
        """List the files of a checkpoint that are all there, before it gets its final name."""
        if jax.process_index() == 0:
            for folder in self.folder.glob(f"{self._saving}.*tmp*"):
                write_manifest(folder, folder / _MANIFEST)

    def _path(self, step: int) -> Path:
        """Where the checkpoint of an update lies."""
        return self.folder / str(step)

    def _facts(self, step: int) -> dict[str, Any]:
        """The record of an update's checkpoint, with the numbers it must agree with."""
        folder = self._path(step)
        check_manifest(folder, folder / _MANIFEST)
        path = folder / "record" / "metadata"
        stored = read_json(path, finite=False, limit_bytes=_LONGEST_RECORD)
        facts = unsealed(stored, *_FACTS)
        if facts["update"] != step:
            raise ValueError(f"its record is that of update {facts['update']}")
        return facts

    def _score(self, step: int) -> float | None:
        """The metric of a checkpoint; None where it has none or cannot be read."""
        if step not in self._scores:
            try:
                self._scores[step] = self._facts(step)["score"]
            except Exception:  # it is found out, and told, when it is restored
                return None
        return self._scores[step]

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """A WriteError in one sentence for whatever stops the writing: orbax and its compiled
        parts tell of a full disk by errors of many kinds."""
        try:
            yield
        except Exception as error:
            raise WriteError(
                f"{what} in {shown_path(self.folder)} cannot be written ({_reason(error)}); free "
                "space or allow writing there, then resume: older checkpoints are whole"
            ) from error

    def _empty_trash(self) -> None:
        if not self._read_only and jax.process_index() == 0:
            shutil.rmtree(self.folder / _TRASH, ignore_errors=True)

    def _set_aside(self, broken: list[tuple[int, Exception]], used: int) -> None:
        for step, error in broken:
            warnings.warn(
                f"checkpoint of update {step} in {self.folder} cannot be read "
                f"({_first_line(error)}); going on from update {used}",
                RuntimeWarning,
                stacklevel=3,
            )
            if not self._read_only and jax.process_index() == 0:
                with self._writing("the folder of unreadable checkpoints"):
                    self._move_away(step)
        if broken and not self._read_only:
            self._manager.reload()

    def _move_away(self, step: int) -> None:
        target = self.folder.parent / _UNREADABLE / str(step)
        target.parent.mkdir(exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        for path in self.folder.iterdir():  # it may be called 007, be a file or a dead link
            if path.name.isdecimal() and int(path.name) == step:
                os.replace(path, target)


@dataclasses.dataclass(frozen=True)
class _Keep:
    """Which checkpoints stay: the newest `count`, and the best one."""

    count: int
    score: Callable[[int], float | None]

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """What orbax asks after every save."""
        steps = [info.step for info in checkpoints]
        kept = {*sorted(steps)[-self.count :], _best({step: self.score(step) for step in steps})}
        return [step in kept for step in steps]


def _not_of_orbax(record: logging.LogRecord) -> bool:
    """A filter of log records: what orbax tells with a traceback is told here in one sentence."""
    return "orbax" not in Path(record.pathname).parts or record.levelno < logging.ERROR


def _best(scores: dict[int, float | None]) -> int | None:
    """The step with the highest score, the last one of equals; None where none has any."""
    known = {step: score for step, score in scores.items() if score is not None}
    return max(known, key=lambda step: (known[step], step)) if known else None


def _step_of(state: PyTree) -> list[int] | None:
    """The learner's own count of updates, where the state has one and this process sees it."""
    found = state.get("step") if isinstance(state, dict) else getattr(state, "step", None)
    if found is None or not getattr(found, "is_fully_replicated", True):
        return None
    return np.asarray(found).reshape(-1).tolist()


def _check_state(state: PyTree, facts: dict[str, Any]) -> None:
    """ValueError where a state is not the one that the record is about."""
    if facts["state"] is not None and checksum(state) not in (None, facts["state"]):
        raise ValueError("the stored values do not match their checksum")
    step = _step_of(state)
    if None not in (step, facts["step"]) and step != facts["step"]:
        raise ValueError(f"the state is that of step {step}, its record that of {facts['step']}")


def _reason(error: BaseException) -> str:
    """What the operating system says, as far as it can be found among the causes of an error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return _first_line(error)


def _filled(tree: PyTree) -> PyTree:
    """The tree with one zero for every leaf without elements, which orbax refuses to store."""

    def fill(leaf: Any) -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct) and 0 in leaf.shape:
            return jax.ShapeDtypeStruct((1,), leaf.dtype)
        if isinstance(leaf, jax.Array) and 0 in leaf.shape:
            return jnp.zeros((1,), leaf.dtype)
        return leaf

    return jax.tree.map(fill, tree)


def _emptied(tree: PyTree, abstract: PyTree) -> PyTree:
    """The tree with the leaves of `abstract` that have no elements put back."""

    def empty(leaf: Any, wanted: Any) -> Any:
        if 0 not in getattr(wanted, "shape", ()):
            return leaf
        made = jnp.zeros(wanted.shape, wanted.dtype)
        return made if wanted.sharding is None else jax.device_put(made, wanted.sharding)

    return jax.tree.map(empty, tree, abstract)


def checksum(tree: PyTree) -> int | None:
    """CRC-32 over the names and bytes of all leaves, by name; None where this process sees only a
    part. A tree and its form as nested dicts and lists have the same."""
    parts: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(_filled(tree)):
        if isinstance(leaf, jax.Array):
            if not (leaf.is_fully_addressable or leaf.is_fully_replicated):
                return None
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
        host = np.ascontiguousarray(np.asarray(leaf))
        about = f"{host.dtype.str}{host.shape}".encode()
        parts[_name(path)] = zlib.crc32(host.reshape(-1).view(np.uint8), zlib.crc32(about))
    return zlib.crc32(json.dumps(sorted(parts.items())).encode())


def load_state(
    run_dir: str | os.PathLike[str],
    learner: Any,
    hparams: Any = None,
    *,
    which: str | int = "latest",
    num_seeds: int | None = None,
) -> tuple[Any, int]:
    """The `LearnerState` of a finished or running run, and its update number.

    Args:
      run_dir: the run's folder.
      learner: the learner it was trained with.
      hparams: its hyper-parameters; `learner.hparams` when None. Only shapes matter.
      which: "latest", "best" (by the run's best metric) or an update number.
      num_seeds: as in the run; leaves then lead with the seed axis.

    Raises:
      InputError: no such checkpoint, or none that fits the learner.
    """
    hparams = learner.hparams if hparams is None else hparams
    abstract = abstract_state(learner, hparams, num_seeds)
    checkpoints = _open(run_dir)
    try:
        if which == "latest":
            found = checkpoints.restore(abstract)
            assert found is not None  # _open has seen at least one
            return found[0], found[1]
        step = _choose(checkpoints, which)
        try:
            return checkpoints.restore_step(step, abstract)[0], step
        except Exception as error:
            raise InputError(
                f"checkpoint of update {step} in {checkpoints.folder} cannot be read into this "
                f"learner ({_first_line(error)}); choose another or check the configuration"
            ) from error
    finally:
        checkpoints.close()


def load_params(run_dir: str | os.PathLike[str], *, which: str | int = "latest") -> PyTree:
    """Parameters of a checkpoint as nested dicts (lists for sequences) of NumPy arrays.

    Needs no learner. `which` as in `load_state`.

    Raises:
      InputError: no such checkpoint, or it cannot be read.
    """
    checkpoints = _open(run_dir)
    try:
        steps = reversed(checkpoints.steps())
        candidates = list(steps) if which == "latest" else [_choose(checkpoints, which)]
        for step in candidates:
            try:
                params = checkpoints.raw(step)["params"]
            except Exception as error:
                warnings.warn(
                    f"checkpoint of update {step} in {checkpoints.folder} cannot be read "
                    f"({_first_line(error)})",
                    RuntimeWarning,
                    stacklevel=2,
                )
                continue
            return jax.tree.map(np.asarray, params)
        raise InputError(f"no checkpoint in {checkpoints.folder} can be read; train again")
    finally:
        checkpoints.close()


def abstract_state(
    learner: Any, hparams: Any, num_seeds: int | None = None, shardings: Any = None
) -> Any:
    """Shapes and dtypes of the learner's state, with shardings (default: the first device)."""
    keys = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    init = learner.init
    if num_seeds is not None:
        keys = jax.ShapeDtypeStruct((num_seeds,), keys.dtype)
        init = jax.vmap(init, in_axes=(0, None), out_axes=seed_axes())
    shapes = jax.eval_shape(init, keys, hparams)
    if shardings is None:
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        shardings = jax.tree.map(lambda _: device, shapes)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )


def write_params(path: str | os.PathLike[str], params: PyTree) -> None:
    """Write a pytree of arrays to a compressed `.npz`; entry names are the paths, `a/b/kernel`.

    Raises:
      ValueError: the file name does not end in .npz, or two leaves have the same path.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"parameters are written as .npz, got {os.fspath(path)!r}")
    leaves = jax.tree_util.tree_leaves_with_path(params)
    arrays = {_name(key_path): np.asarray(leaf) for key_path, leaf in leaves}
    if len(arrays) != len(leaves):
        raise ValueError("two parameters have the same path; rename one of them")
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_params(path: str | os.PathLike[str], like: PyTree = None) -> PyTree:
    """Read `write_params`' file: as nested dicts, or in the structure of `like`.

    Raises:
      InputError: the file is missing, is not such a file, or does not fit `like`.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"no parameter file {os.fspath(path)}; check the path") from None
    except Exception as error:
        raise InputError(
            f"{os.fspath(path)} is not a readable .npz of parameters ({_first_line(error)}); "
            "export it again"
        ) from error
    if like is None:
        return _nest(arrays)
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    wanted = {_name(key_path): leaf for key_path, leaf in leaves}
    for name, leaf in wanted.items():
        if name not in arrays:
            raise InputError(f"{os.fspath(path)} has no parameter {name!r}; use a matching network")
        if arrays[name].shape != tuple(leaf.shape):
            raise InputError(
                f"{os.fspath(path)}: parameter {name!r} has shape {arrays[name].shape}, the "
                f"network needs {tuple(leaf.shape)}; use a matching network"
            )
    extra = sorted(set(arrays) - set(wanted))
    if extra:
        raise InputError(
            f"{os.fspath(path)}: parameter {extra[0]!r} is unknown to the network; "
            "use a matching network"
        )
    values = [jnp.asarray(arrays[name], leaf.dtype) for name, leaf in wanted.items()]
    return jax.tree_util.tree_unflatten(structure, values)


def _open(run_dir: str | os.PathLike[str]) -> Checkpoints:
    folder = Path(run_dir)
    if not (folder / FOLDER).is_dir():
        raise InputError(f"{folder} holds no run with checkpoints; give the folder of a run")
    checkpoints = Checkpoints(folder, read_only=True)
    if not checkpoints.steps():
        checkpoints.close()
        raise InputError(f"{folder} holds no complete checkpoint yet; train for longer")
    return checkpoints


def _choose(checkpoints: Checkpoints, which: str | int) -> int:
    steps = checkpoints.steps()
    if which == "latest":
        return steps[-1]
    if which == "best":
        best = checkpoints.best_step()
        if best is None:
            raise InputError(
                f"the run of {checkpoints.folder} named no best metric; choose 'latest' or an "
                f"update among {steps}"
            )
        return best
    if isinstance(which, int) and which in steps:
        return which
    raise InputError(f"no checkpoint {which!r} in {checkpoints.folder}; choose among {steps}")


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/") or "value"


def _nest(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for name, array in arrays.items():
        *parents, last = name.split("/")
        node = root
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = array
    return root


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
