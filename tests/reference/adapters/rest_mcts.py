"""Names and conventions of the vectors of tree values and MCTS*; without a sample: None."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards import credit
from jaxrl_rewards.rollout import search
from tests.reference.vectors import number_array


def _f32(value: Any) -> jax.Array:
    return jnp.asarray(number_array(value), jnp.float32)


def _ints(value: Any) -> jax.Array:
    return jnp.asarray(value, jnp.int32)


def _sampled(values: Any, has_sample: Any) -> list:
    pairs = zip(np.asarray(values).tolist(), np.asarray(has_sample).tolist(), strict=True)
    return [value if given else None for value, given in pairs]


def _infer_values(x):
    flags = (jnp.asarray(x[k], bool) for k in ("end_leaf", "correct"))
    found = credit.infer_tree_values(_ints(x["parent"]), *flags)
    return {
        "min_steps": found.steps,
        "hard_estimate": found.right.astype(jnp.int32),
        "value": _sampled(found.value, found.has_sample),
    }


def _weighted_reward(x):
    value, distance, wrong = (_f32(x[k]) for k in ("v_prev", "m", "r"))
    weighted = credit.weighted_reward(value, distance, wrong)
    return {"w": weighted, "v": jnp.maximum(value + weighted, 0.0)}


def _ucb(x):
    scores = search.ucb_scores(
        _f32(x["V"]),
        _ints(x["visits"]),
        _ints(x["parent_visits"]),
        x["exploration_constant"],
        x["inf_base"],
    )
    best = np.asarray(scores) >= np.max(scores)
    return {"scores": scores, "argmax": np.flatnonzero(best).tolist()}


def _backprop(x):
    values, visits = search.backup(
        _ints(x["parent"]), _f32(x["V"]), _ints(x["visits"]), _ints(x["leaf"])
    )
    return {"V": values, "visits": visits}


def _simple_values(x):
    return {"value": _sampled(*credit.route_values(_ints(x["parent"]), _ints(x["leaf"])))}


ADAPTERS = {
    "infer_values": _infer_values,
    "weighted_reward": _weighted_reward,
    "ucb": _ucb,
    "backprop": _backprop,
    "simple_values": _simple_values,
}
