"""Hyper-parameters at one update: schedules become numbers, once."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrl_rewards.rewards.base import resolve_schedules, weight_at

H = TypeVar("H")

UNTOUCHED = ("env_params", "initial_params", "data")
"""Fields that are no numbers of the learner's own: they keep their dtypes."""


def hparam_at(value: Any, step: Array | int) -> Array:
    """The float32 number that a hyper-parameter (a number or a schedule) stands for at `step`."""
    return jnp.asarray(weight_at(value, step), jnp.float32)


def _number(leaf: Any, step: Array | int) -> Any:
    dtype = getattr(leaf, "dtype", None)
    if dtype is None or dtype in (jnp.float32, jnp.float64):
        return hparam_at(leaf, step)
    return leaf


def at_step(hparams: H, step: Array | int) -> H:
    """`hparams` with every schedule replaced by its value at update `step`.

    The learner's own numbers become float32 (None stays None); arrays of integers, booleans, keys
    or narrow floats stay as they are, and so do the world's params, whose rewards' schedules are
    resolved.
    """
    numbers = {
        field.name: jax.tree.map(
            lambda leaf: _number(leaf, step),
            getattr(hparams, field.name),
            is_leaf=lambda leaf: hasattr(leaf, "is_schedule"),
        )
        for field in dataclasses.fields(hparams)
        if field.name not in UNTOUCHED and field.metadata.get("pytree_node", True)
    }
    if hasattr(hparams, "env_params"):
        numbers["env_params"] = resolve_schedules(hparams.env_params, step)
    return hparams.replace(**numbers)
