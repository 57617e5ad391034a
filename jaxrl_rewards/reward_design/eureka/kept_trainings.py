"""Trainings on file: a search that goes on does not train again what it has trained."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_path
from jaxrl_rewards.core.npz import read_npz
from jaxrl_rewards.reward_design.eureka.trainer import Runs

_NAMES = tuple(field.name for field in dataclasses.fields(Runs))


class KeptTrainings:
    """A trainer (`CandidateTrainer`, `CandidateWorkers`) whose results are kept in `folder`.

    A file's name is a digest of programs, keys and weights, so that only the same trainings are
    taken from it; a file that is damaged is trained anew and replaced. One folder serves one
    configuration of the trainer.
    """

    def __init__(self, trainer: Any, folder: str | Path):
        self.trainer, self.folder = trainer, Path(folder)

    def train(
        self, programs: Any, keys: Array, *, success_weight: float | np.ndarray = 0.0
    ) -> Runs:
        """As the trainer's `train`."""
        path = self.folder / f"{_digest(programs, keys, success_weight)}.npz"
        kept = _read(path, keys.shape[0])
        if kept is not None:
            return kept
        runs = self.trainer.train(programs, keys, success_weight=success_weight)
        with atomic_path(path) as temporary:
            np.savez(temporary, **{name: np.asarray(getattr(runs, name)) for name in _NAMES})
        return runs


def _read(path: Path, count: int) -> Runs | None:
    """What was kept; None where there is nothing that can be used."""
    if not path.exists():
        return None
    try:
        arrays = read_npz(path, _NAMES)
    except InputError:
        return None
    ranks = {"fitness": 1, "success": 2, "reward": 2, "terms": 3}
    if any(
        arrays[name].shape[:1] != (count,) or arrays[name].ndim != ranks[name] for name in ranks
    ):
        return None
    return Runs(**arrays)


def _digest(programs: Any, keys: Array, success_weight: Any) -> str:
    found = hashlib.sha256()
    leaves = (*jax.tree.leaves(programs), jax.random.key_data(keys), np.float32(success_weight))
    for leaf in map(np.asarray, leaves):
        found.update(f"{leaf.dtype.str}{leaf.shape}".encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()[:32]
