"""Names and conventions of the vectors of Clip and Delta."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards import credit
from tests.reference.vectors import number_array


def _f32(value: Any) -> jax.Array:
    return jnp.asarray(number_array(value), jnp.float32)


def _scores(x):
    return _f32(x["prm"]), _f32(x["step_mask"])


def _eta_mean(x):
    names, group = np.unique(np.asarray(x["group"]), return_inverse=True)
    return {"eta": credit.eta_from_batch(*_scores(x), jnp.asarray(group), len(names))}


def _dense_reward(x):
    rewards, mask, correct = (_f32(x[k]) for k in ("step_reward", "step_mask", "correct"))
    dense = credit.dense_step_reward(rewards, correct, mask, x["alpha"])
    return {"reward": dense, "returns": credit.reward_to_go(dense, mask)}


ADAPTERS = {
    "eta_mean": _eta_mean,
    "clip": lambda x: {"reward": credit.clip_reward(*_scores(x), x["eta"])},
    "delta": lambda x: {"reward": credit.delta_reward(*_scores(x))},
    "clip_delta": lambda x: {"reward": credit.clip_delta_reward(*_scores(x), x["eta"])},
    "dense_reward": _dense_reward,
}
