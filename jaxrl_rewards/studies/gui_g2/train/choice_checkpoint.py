"""Checkpoints of the choice among candidates: one npz of at most 100 kB."""

from __future__ import annotations

import dataclasses
import io
import json
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.gui.candidate_features import FEATURES, NAMES

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_bytes, jsonable
from jaxrl_rewards.core.npz import read_npz
from jaxrl_rewards.networks.candidate_policy import candidate_policy_init

SHIPPED = "gui_choice.npz"
LIMIT_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True)
class ChoiceCheckpoint:
    """Parameters (float32), what is added to the logit of "not found", and what is known of it."""

    params: Any
    bias: float
    metadata: dict


def save_choice(path, params: Any, bias: float, metadata: dict) -> None:
    """Write parameters as float16, the bias and metadata; the file replaces `path` whole."""
    arrays = {
        f"{layer}/{name}": np.asarray(leaf, np.float16)
        for layer, part in params.items()
        for name, leaf in part.items()
    }
    told = {"bias": float(bias), "features": list(NAMES), **metadata}
    text = json.dumps(jsonable(told), indent=1, allow_nan=False)
    arrays["metadata"] = np.frombuffer(text.encode("utf-8"), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    atomic_write_bytes(path, buffer.getvalue())


def load_choice(path=None) -> ChoiceCheckpoint:
    """Read a checkpoint; None gives the one that ships with the package.

    Raises `InputError` for a file that is missing, damaged, or made for other features.
    """
    if path is None:
        shipped = resources.files("jaxrl_rewards").joinpath("assets", SHIPPED)
        with resources.as_file(shipped) as place:
            arrays = read_npz(place, limit_bytes=LIMIT_BYTES)
        name = SHIPPED
    else:
        arrays, name = read_npz(path, limit_bytes=LIMIT_BYTES), str(path)
    try:
        metadata = json.loads(np.asarray(arrays.pop("metadata"), np.uint8).tobytes().decode())
        bias, names = float(metadata.pop("bias")), metadata.pop("features")
        if not np.isfinite(bias):
            raise ValueError("bias")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(
            f"{name} is not a checkpoint of the choice among candidates, or it is damaged; train "
            "it again (`train gui choice`) or copy it anew"
        ) from None
    if names != list(NAMES):
        raise InputError(
            f"{name} was trained on {len(names)} other features than today's {FEATURES}; train it "
            "again"
        )
    return ChoiceCheckpoint(_restore(arrays, name), bias, metadata)


def _restore(arrays: dict[str, np.ndarray], name: str) -> Any:
    hidden = arrays["each/bias"].shape[0] if arrays.get("each/bias", np.zeros(())).ndim else 1
    template = jax.eval_shape(lambda: candidate_policy_init(jax.random.key(0), FEATURES, hidden))
    params: dict[str, dict] = {}
    for layer, part in template.items():
        for key, leaf in part.items():
            found = arrays.get(f"{layer}/{key}")
            if found is None or found.shape != leaf.shape or not np.isfinite(found).all():
                raise InputError(
                    f"{name}: parameter {layer}/{key} is missing, not finite or of another shape "
                    f"than {leaf.shape}; train it again"
                )
            params.setdefault(layer, {})[key] = jnp.asarray(found, jnp.float32)
    return params
