"""Intrinsic rewards from labelled messages, divided by how often the episode has heard them.

Source: Zheng et al. 2024 (ONI), arXiv 2410.23022: `r = c_e r_ext + c_i r_int(m) / N_ep(m)^β`.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.rewards.base import RewardTerm


def count_penalty(
    counts: Float[Array, "..."], beta: Float[Array, ""] | float
) -> Float[Array, "..."]:
    """`1 / N^β` for `N` occurrences in the episode, the present one included.

    InputError for a count below 1 that is known outside a compiled program; inside one it is
    taken as 1.
    """
    if not isinstance(counts, jax.core.Tracer) and np.any(np.asarray(counts) < 1):
        raise InputError("episodic counts include the present message, so none may be below 1")
    return jnp.maximum(jnp.asarray(counts, jnp.float32), 1.0) ** (-jnp.asarray(beta, jnp.float32))


def retrieval_reward(
    labels: Float[Array, "V"],
    known: Bool[Array, "V"],
    message: Int[Array, "..."],
    counts: Float[Array, "..."],
    beta: Float[Array, ""] | float,
) -> Float[Array, "..."]:
    """The label of each message over `count^β`; 0 without a label and for id 0, the empty one.

    An id outside the table is read as the nearest one.
    """
    message = jnp.asarray(message)
    label = jnp.asarray(labels, jnp.float32).at[message].get(mode="clip")
    has_label = jnp.asarray(known, bool).at[message].get(mode="clip") & (message > 0)
    return jnp.where(has_label, label, 0.0) * count_penalty(counts, beta)


def total_reward(
    extrinsic: Float[Array, "..."],
    intrinsic: Float[Array, "..."],
    extrinsic_coefficient: Float[Array, ""] | float,
    intrinsic_coefficient: Float[Array, ""] | float,
) -> Float[Array, "..."]:
    """`c_e r_ext + c_i r_int`, the intrinsic part already divided by its count."""
    extrinsic = jnp.asarray(extrinsic, jnp.float32)
    return extrinsic_coefficient * extrinsic + intrinsic_coefficient * jnp.asarray(intrinsic)


def classification_reward(
    logits: Float[Array, "B 2"], threshold: Float[Array, ""] | float = 0.5
) -> tuple[Float[Array, "B"], Float[Array, "B"]]:
    """`(1[p > η], p)` with `p = softmax(logits)_1`; the inequality is strict."""
    logits = jnp.asarray(logits, jnp.float32)
    if logits.ndim < 1 or logits.shape[-1] != 2:
        raise InputError(f"logits must end in an axis of 2 classes, got shape {logits.shape}")
    _finite("threshold", threshold)
    helpful = jax.nn.softmax(logits, axis=-1)[..., 1]
    return (helpful > threshold).astype(jnp.float32), helpful


def ranking_reward(
    raw: Float[Array, "..."],
    mean: Float[Array, ""],
    var: Float[Array, ""],
    threshold: Float[Array, ""] | float,
    counts: Float[Array, "..."],
    beta: Float[Array, ""] | float,
) -> Float[Array, "..."]:
    """`z · 1[z > η] / count^β` with `z = (raw − mean) / sqrt(var)`; η is compared with z."""
    return ranking_score(raw, mean, var, threshold) * count_penalty(counts, beta)


def ranking_score(
    raw: Float[Array, "..."],
    mean: Float[Array, ""],
    var: Float[Array, ""],
    threshold: Float[Array, ""] | float = -0.5,
) -> Float[Array, "..."]:
    """`z · 1[z > η]`; a variance of 0 counts as the smallest float, so nothing divides by 0."""
    _finite("threshold", threshold)
    variance = jnp.maximum(jnp.asarray(var, jnp.float32), jnp.finfo(jnp.float32).tiny)
    z = (jnp.asarray(raw, jnp.float32) - mean) * jax.lax.rsqrt(variance)
    return jnp.where(z > threshold, z, 0.0)


@record
class MessageReward(RewardTerm):
    """The retrieval reward of a world whose state has `message` and `counts`.

    Labels are leaves: replacing them between updates changes the reward without a new compile.
    A classifier or ranker is used by writing its scores of all V texts into `labels`.
    """

    labels: Float[Array, "V"]
    known: Bool[Array, "V"]
    beta: Any = 3.0
    name = "message"

    def value(self, prev: Any, action: Any, nxt: Any) -> Float[Array, ""]:
        """The label of the step's message over its count in the episode to the power β."""
        count = nxt.counts[nxt.message]
        return retrieval_reward(
            self.labels, self.known, nxt.message, jnp.maximum(count, 1), self.beta
        )


def unlabelled(size: int, beta: float = 3.0) -> MessageReward:
    """A reward over `size` message ids of which none has a label yet."""
    if size < 1:
        raise InputError(f"a message table needs at least one id, got {size}")
    return MessageReward(
        labels=jnp.zeros((size,), jnp.float32),
        known=jnp.zeros((size,), bool),
        beta=jnp.asarray(beta, jnp.float32),
    )


def _finite(name: str, value: Any) -> None:
    if isinstance(value, (int, float)) and not math.isfinite(value):
        raise InputError(f"{name} must be finite, got {value}")
