"""A trained avatar in one small file: what driving it needs, without the motions or the run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_path
from jaxrl_rewards.core.npz import read_npz

FILE = "avatar.npz"
FORMAT = 2
_LAYER = ("kernel", "bias")


@dataclasses.dataclass(frozen=True, eq=False)
class Avatar:
    """The policy of one character, and the poses in which it can start."""

    character: str
    """Name, or path of a user's MJCF file."""
    layers: list[dict[str, np.ndarray]]
    """The actor's MLP; its last layer gives the mean action."""
    mean: np.ndarray
    """float32 [features]: moments with which observations are standardised."""
    deviation: np.ndarray
    qpos: np.ndarray
    """float32 [S, nq]: poses of the training motions."""
    qvel: np.ndarray
    sensed: dict[str, np.ndarray]
    """position [S, 3, 3], rotation [S, 3, 4], velocity [S, 3, 3] in those poses."""
    action_scale: float
    damping: float
    """Of the servos, kd / kp in seconds at the human's size."""

    def act(self, features: jax.Array) -> jax.Array:
        """The action for one observation of the actor, `[features]`."""
        from jaxrl_rewards.networks.mlp import mlp

        seen = jnp.clip((features - self.mean) / self.deviation, -10.0, 10.0)
        return mlp(self.layers, seen, activate="elu")


def avatar_of(world: Any, params: Any, state: Any, character: str, damping: float) -> Avatar:
    """The avatar of a learner's state."""
    from jaxrl_rewards.rollout.normalise import standard_deviation

    moments = state.normaliser.obs
    library = params.library
    rows = [
        (clip, frame)
        for clip in range(library.qpos.shape[0])
        for frame in range(int(library.starts[clip]))
    ]
    clip, frame = (np.asarray(column) for column in zip(*rows, strict=True))
    take = lambda leaf: np.asarray(leaf)[clip, frame]  # noqa: E731
    return Avatar(
        character=character,
        layers=jax.device_get(state.params["actor"]["mean"]),
        mean=np.asarray(moments.mean["actor"]),
        deviation=np.asarray(standard_deviation(moments)["actor"]),
        qpos=take(library.qpos),
        qvel=take(library.qvel),
        sensed={
            name: take(getattr(library.sensed, name))
            for name in ("position", "rotation", "velocity")
        },
        action_scale=float(params.action_scale),
        damping=damping,
    )


def save_avatar(folder: Path, avatar: Avatar) -> Path:
    """Write `avatar.npz` into a folder. The path of a user's MJCF file is stored from the root of
    the file system, so that the avatar can be driven from any folder."""
    arrays: dict[str, Any] = {
        f"layer_{index}_{name}": layer[name]
        for index, layer in enumerate(avatar.layers)
        for name in _LAYER
    }
    arrays |= {name: getattr(avatar, name) for name in ("mean", "deviation", "qpos", "qvel")}
    arrays |= {f"sensed_{name}": value for name, value in avatar.sensed.items()}
    facts = {
        "format": FORMAT,
        "character": absolute_character(avatar.character),
        "layers": len(avatar.layers),
        "action_scale": avatar.action_scale,
        "damping": avatar.damping,
    }
    path = Path(folder) / FILE
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, facts=np.asarray(json.dumps(facts)), **arrays)
    return path


def load_avatar(path: Path, character: str | None = None) -> Avatar:
    """Read an avatar from its file or its run's folder; InputError says what is wrong with it.

    A user's MJCF file is looked for where it was in training, then from the avatar's folder, then
    in it; `character` replaces what is stored.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(
            f"there is no avatar at {path}; give the folder of a `train retarget` run that has "
            f"ended, or its {FILE}"
        )
    try:
        arrays = read_npz(path)
    except InputError as error:
        raise InputError(f"{path} cannot be read as an avatar ({error}); train it anew") from error
    try:
        facts = json.loads(str(arrays.pop("facts")))
        if facts["format"] != FORMAT:
            raise InputError(f"{path} has format {facts['format']}; this version reads {FORMAT}")
        layers = [
            {name: arrays[f"layer_{index}_{name}"] for name in _LAYER}
            for index in range(facts["layers"])
        ]
        return Avatar(
            character=character or _found(facts["character"], path.parent),
            layers=layers,
            sensed={
                name: arrays[f"sensed_{name}"] for name in ("position", "rotation", "velocity")
            },
            action_scale=float(facts["action_scale"]),
            damping=float(facts["damping"]),
            **{name: arrays[name] for name in ("mean", "deviation", "qpos", "qvel")},
        )
    except InputError:
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise InputError(f"{path} cannot be read as an avatar ({error}); train it anew") from error


def _is_file_name(character: str) -> bool:
    return Path(character).suffix.lower() in (".xml", ".mjcf")


def absolute_character(character: str) -> str:
    """A user's MJCF file by its path from the root; the name of a character of ours as it is."""
    return str(Path(character).absolute()) if _is_file_name(character) else character


def _found(character: str, folder: Path) -> str:
    """A character that is a name, or the path at which its MJCF file lies now."""
    if not _is_file_name(character):
        return character
    for path in (Path(character), folder / character, folder / Path(character).name):
        if path.is_file():
            return str(path)
    raise InputError(
        f"the avatar in {folder} was trained with the MJCF file {character}, which is not there; "
        "run from the folder it was trained in, or pass --character PATH"
    )
