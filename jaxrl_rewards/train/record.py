"""The written record of a run: `config.json`, and whether a folder may be used."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_json, jsonable, refuse_file
from jaxrl_rewards.core.json_files import read_json
from jaxrl_rewards.train.fingerprint import static_parts

CONFIG = "config.json"
TRACES = (CONFIG, "metrics.jsonl", "checkpoints")
"""Any of these in a folder means that it holds a run."""
COMPARED = ("config", "hparams", "static", "key", "num_seeds", "vmap_hparams")
"""What must be the same for a run to be resumed."""
_DISTRIBUTIONS = ("jaxrl-rewards", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_SMALL = 64


def facts(
    config: Any, hparams: Any, key: jax.Array, num_seeds: int | None, vmap_hparams: bool
) -> dict[str, Any]:
    """What determines a run's results, as plain JSON values."""
    leaves = jax.tree_util.tree_leaves_with_path(hparams)
    value = {
        "config": jsonable(config),
        "hparams": {
            jax.tree_util.keystr(path).lstrip("."): _summary(leaf) for path, leaf in leaves
        },
        "static": static_parts(hparams),
        "key": {
            "implementation": str(jax.random.key_impl(key)),
            "data": np.asarray(jax.random.key_data(key)).tolist(),
        },
        "num_seeds": num_seeds,
        "vmap_hparams": vmap_hparams,
    }
    return json.loads(json.dumps(value))


def write(folder: Path, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    """Write `config.json`: the facts, the runner's settings and the versions."""
    atomic_write_json(folder / CONFIG, {**facts, "run": settings, "versions": versions()})


def read(folder: str | Path) -> dict[str, Any]:
    """Read a run's `config.json`.

    Raises:
      InputError: it is missing or no JSON object.
    """
    path = Path(folder) / CONFIG
    if not path.exists():
        raise InputError(f"{folder} holds no run: there is no {CONFIG} in it")
    try:
        return read_json(path, dict, finite=False)
    except InputError as error:
        raise InputError(f"{error} or restore it") from None


def check_usable(folder: Path, *, resume: bool) -> bool:
    """Whether `folder` holds a run already.

    Raises:
      InputError: it is a file, or holds a run and `resume` is False.
    """
    refuse_file(folder)
    holds_run = any((folder / name).exists() for name in TRACES)
    if holds_run and not resume:
        raise InputError(
            f"{folder} already holds a run; resume it (resume=True, --resume) or choose another "
            "folder"
        )
    return holds_run


def check_folder(folder: Path, *, resume: bool, facts: dict[str, Any]) -> bool:
    """Whether `folder` holds a run already; refuses what must not be overwritten or mixed.

    Raises:
      InputError: as `check_usable`; or the run there differs, in the first field that is named.
    """
    if not check_usable(folder, resume=resume):
        return False
    stored = read(folder)
    for name in COMPARED:
        difference = first_difference(stored.get(name), facts[name], name)
        if difference is not None:
            path, before, now = difference
            raise InputError(
                f"{folder} was made with {path} = {before}, now it is {now}; resume with the same "
                "settings or choose another folder"
            )
    return True


def first_difference(before: Any, now: Any, path: str) -> tuple[str, str, str] | None:
    """Dotted path and both values of the first place where two JSON values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*now, *before]):
            where = f"{path}.{name}"
            if name not in before or name not in now:
                return (
                    where,
                    _short(before.get(name, "(absent)")),
                    _short(now.get(name, "(absent)")),
                )
            difference = first_difference(before[name], now[name], where)
            if difference is not None:
                return difference
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (old, new) in enumerate(zip(before, now, strict=True)):
            difference = first_difference(old, new, f"{path}[{index}]")
            if difference is not None:
                return difference
        return None
    return None if before == now else (path, _short(before), _short(now))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the results."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _summary(leaf: Any) -> Any:
    """Small arrays as values, large ones as shape, dtype and digest."""
    if isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    if array.size <= _SMALL:
        return jsonable(array.tolist())
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}


def _short(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 80 else text[:77] + "..."
