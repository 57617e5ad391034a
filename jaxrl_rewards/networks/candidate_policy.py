"""A small policy over a set of candidates and "none of them".

Each candidate's features pass one layer; the maximum and the mean over the set, through a second
layer, tell each candidate what the others are like. The order of candidates does not matter. The
first feature is how badly a candidate fits; scores start from minus it, times a learnt number.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.networks.actor_critic import ActorCritic, without_memory
from jaxrl_rewards.networks.mlp import dense, dense_init

ABSENT = -1e9
"""Logit of a candidate that is not there."""
STRICTNESS = 2.0
"""Of a fresh policy: logits per unit of the first feature."""


def candidate_policy_init(key: jax.Array, features: int, hidden: int = 48) -> dict[str, Any]:
    """Parameters for sets of candidates with `features` numbers each, float32."""
    keys = jax.random.split(key, 5)
    gain = 2.0**0.5
    return {
        "each": dense_init(keys[0], features, hidden, gain),
        "set": dense_init(keys[1], 2 * hidden, hidden, gain),
        "both": dense_init(keys[2], 2 * hidden, hidden, gain),
        "score": dense_init(keys[3], hidden, 1, 0.1),
        "none": dense_init(keys[4], hidden, 1, 0.1),
        "misfit": {"scale": jnp.full((1,), STRICTNESS, jnp.float32)},
    }


def candidate_logits(
    params: dict[str, Any], features: Float[Array, "... K F"], present: Float[Array, "... K"]
) -> Float[Array, "... K+1"]:
    """Logits of the K candidates, then of "none of them".

    Args:
        params: from `candidate_policy_init`.
        features: float32, anything where `present` is 0.
        present: float32, 1 for a candidate, 0 for padding (its logit is `ABSENT`); with no
            candidate at all only "none" is left.
    """
    there = present[..., None] > 0
    features = jnp.where(there, features, 0.0)
    each = jax.nn.relu(dense(params["each"], features))
    most = jnp.max(jnp.where(there, each, 0.0), axis=-2)
    count = jnp.maximum(jnp.sum(present, axis=-1, keepdims=True), 1.0)
    mean = jnp.sum(jnp.where(there, each, 0.0), axis=-2) / count
    whole = jax.nn.relu(dense(params["set"], jnp.concatenate([most, mean], axis=-1)))
    spread = jnp.broadcast_to(whole[..., None, :], each.shape)
    both = jax.nn.relu(dense(params["both"], jnp.concatenate([each, spread], axis=-1)))
    score = dense(params["score"], both) - params["misfit"]["scale"] * features[..., :1]
    score = jnp.where(there, score, ABSENT)[..., 0]
    return jnp.concatenate([score, dense(params["none"], whole)], axis=-1)


def candidate_actor_critic(features: int, hidden: int = 48) -> ActorCritic:
    """The policy as an actor-critic over `{"features", "present"}`; its critic says 0."""

    def init(key: jax.Array) -> dict[str, Any]:
        return candidate_policy_init(key, features, hidden)

    def logits(params: Any, obs: dict[str, Array]) -> Array:
        return candidate_logits(params, obs["features"], obs["present"])

    def critic(params: Any, obs: dict[str, Array], carry: Any = ()) -> Array:
        return jnp.zeros(obs["present"].shape[:-1])

    def actor(params: Any, obs: dict[str, Array], carry: Any = ()) -> tuple[Array, Any]:
        return logits(params, obs), carry

    def apply(params: Any, obs: dict[str, Array], carry: Any = ()) -> tuple[Array, Array, Any]:
        return logits(params, obs), critic(params, obs), carry

    return without_memory(init, apply, actor, critic)
