"""Logged episodes as input, and learned weights as output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.files import atomic_path
from jaxrl_rewards.core.npz import read_npz
from jaxrl_rewards.reward_design.barfi import AlignedReward, Episodes, check_episodes

COLUMNS = ("episode", "obs", "action", "r_p")


def read_episodes(
    path: str | Path,
    features: Callable[[Any], Float[Array, "D"]],
    *,
    actions: int,
    horizon: int | None = None,
) -> tuple[Episodes, tuple[str, ...]]:
    """Read logged steps from an `.npz` file: padded episodes, and the auxiliary terms' names.

    The file holds one row per step, in order: `episode` integers `[N]` (equal within an episode),
    `obs` `[N, ...]`, `action` integers `[N]` below `actions`, `r_p` `[N]`, and one column `[N]` per
    auxiliary term, called `r_aux` or `r_aux_<name>`. Episodes are padded to `horizon` steps (the
    longest one by default). InputError names the file and what does not fit: a missing column, a
    wrong length, an action out of range, a number that is not finite, an episode that is split or
    longer than `horizon`.
    """
    path = Path(path)
    columns = _columns(path)
    names = tuple(sorted(name for name in columns if name.startswith("r_aux")))
    if not names:
        raise InputError(f"{path} has no auxiliary column; name one 'r_aux' or 'r_aux_<term>'")
    _check_columns(path, columns, names, actions)
    starts, lengths = _episode_lengths(path, columns["episode"])
    horizon = int(lengths.max()) if horizon is None else horizon
    if lengths.max() > horizon:
        raise InputError(
            f"{path}: an episode has {lengths.max()} steps, more than the horizon of {horizon}"
        )
    count = len(columns["r_p"])
    place = (
        np.repeat(np.arange(len(starts)), lengths),
        np.arange(count) - np.repeat(starts, lengths),
    )

    def padded(values: np.ndarray, dtype: Any = np.float32) -> jax.Array:
        out = np.zeros((len(starts), horizon, *values.shape[1:]), dtype)
        out[place] = values
        return jnp.asarray(out)

    seen = np.asarray(jax.vmap(features)(jnp.asarray(columns["obs"])))
    episodes = Episodes(
        features=padded(seen),
        actions=padded(columns["action"], np.int32),
        primary=padded(columns["r_p"]),
        auxiliary=padded(np.stack([columns[name] for name in names], axis=-1)),
        mask=padded(np.ones(count)),
    )
    check_episodes(episodes, str(path))
    return episodes, names


def _check_columns(
    path: Path, columns: dict[str, np.ndarray], names: tuple[str, ...], actions: int
) -> None:
    """InputError for a column that is not one finite number per step, or a wrong action."""
    count = len(columns["r_p"])
    for name in (*COLUMNS, *names):
        shape = columns[name].shape
        if shape[:1] != (count,) or (name != "obs" and len(shape) != 1):
            raise InputError(
                f"{path}: column {name!r} has shape {shape}; expected {count} rows, one per step"
            )
        if not np.issubdtype(columns[name].dtype, np.number):
            raise InputError(f"{path}: column {name!r} must hold numbers")
        if not np.all(np.isfinite(columns[name])):
            row = int(np.argwhere(~np.isfinite(columns[name]))[0][0])
            raise InputError(f"{path}: column {name!r} is not finite in row {row}")
    if count == 0:
        raise InputError(f"{path} holds no step")
    action = columns["action"]
    wrong = (action < 0) | (action >= actions) | (action != np.floor(action))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{path}: action {action[row]} in row {row} is not an integer from 0 to {actions - 1}"
        )


def _episode_lengths(path: Path, episode: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first rows of the episodes, and their lengths."""
    starts = np.flatnonzero(np.append(True, np.diff(episode) != 0))
    if len(np.unique(episode)) != len(starts):
        raise InputError(f"{path}: rows of one episode must follow one another")
    return starts, np.diff(np.append(starts, len(episode)))


def write_episodes(
    path: str | Path,
    obs: np.ndarray,
    episodes: Episodes,
    names: Sequence[str] = ("r_aux",),
) -> None:
    """Write episodes in the form that `read_episodes` reads; `obs` is `[B, H, ...]`.

    InputError when a name does not begin with `r_aux` or their number is not that of the columns.
    """
    if len(names) != episodes.auxiliary.shape[-1] or not all(n.startswith("r_aux") for n in names):
        raise InputError(
            f"names {list(names)} must be {episodes.auxiliary.shape[-1]}, each beginning 'r_aux'"
        )
    used = np.asarray(episodes.mask) > 0
    columns = {
        "episode": np.broadcast_to(np.arange(used.shape[0])[:, None], used.shape)[used],
        "obs": np.asarray(obs)[used],
        "action": np.asarray(episodes.actions)[used],
        "r_p": np.asarray(episodes.primary)[used],
    }
    for index, name in enumerate(names):
        columns[name] = np.asarray(episodes.auxiliary)[used][:, index]
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **columns)


def weight_table(
    phi: AlignedReward,
    states: Float[Array, "N ..."],
    features: Callable[[Any], Float[Array, "D"]],
    terms: Sequence[str],
) -> list[dict[str, Any]]:
    """Rows `{"term", "state", "weight"}`: the weight of every term in every given state.

    The free term φ_0 is called "free". `terms` names the auxiliary columns; InputError when their
    number does not fit.
    """
    names = ("free", *terms)
    if len(names) != phi.bias.shape[0]:
        raise InputError(
            f"{len(terms)} names given for {phi.bias.shape[0] - 1} auxiliary terms: {list(terms)}"
        )
    weights = np.asarray(phi.weights(jax.vmap(features)(jnp.asarray(states))))
    listed = np.asarray(states).tolist()
    return [
        {"term": name, "state": state, "weight": float(weights[row, column])}
        for column, name in enumerate(names)
        for row, state in enumerate(listed)
    ]


def _columns(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise InputError(f"there is no file {path}")
    columns = read_npz(path, limit_bytes=1 << 30)
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}; it has {', '.join(columns)}")
    return columns
