"""How a next token is drawn from logits: temperature, top-k, top-p, min-p, repetition penalty."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record

OUT = -1e9
"""Logit of a token that is out of the question."""


@record
class Sampling:
    """Sweepable numbers, scalars or one per prompt `[P]`; what is None costs nothing.

    They apply in the order of the fields (that of Hugging Face's generation), after a constraint.
    """

    repetition_penalty: Any = None
    """Above 1: logits of tokens that the text has are divided by it where positive and multiplied
    where negative (Keskar et al. 2019)."""
    temperature: Any = 1.0
    """Divides the logits; 0 takes the likeliest token."""
    top_k: Any = None
    """Only the k likeliest tokens; 0 for all."""
    top_p: Any = None
    """Only the likeliest tokens that together reach this probability (Holtzman et al. 2020)."""
    min_p: Any = None
    """Only tokens with this share of the likeliest one's probability (Nguyen et al. 2024)."""


def penalised(
    logits: Float[Array, "B V"], seen: Bool[Array, "B V"], penalty: Float[Array, "B 1"]
) -> Float[Array, "B V"]:
    """Logits of tokens that were `seen`, divided by `penalty` where positive, else multiplied."""
    return jnp.where(seen, jnp.where(logits > 0, logits / penalty, logits * penalty), logits)


def tempered(logits: Float[Array, "B V"], temperature: Float[Array, "B 1"]) -> Array:
    """Logits divided by a temperature; as they are where it is 0."""
    return logits / jnp.where(temperature > 0, temperature, 1.0)


def truncated(logits: Float[Array, "B V"], sampling: Sampling) -> Float[Array, "B V"]:
    """Logits with all but the likeliest tokens out of the question; ties at the edge stay in.

    At least one token stays, whatever the numbers.
    """
    if sampling.top_k is not None or sampling.top_p is not None:
        ordered = jnp.sort(logits, axis=-1, descending=True)
    if sampling.top_k is not None:
        last = jnp.clip(jnp.asarray(sampling.top_k, jnp.int32), 0, logits.shape[-1])
        last = jnp.where(last == 0, logits.shape[-1], last) - 1
        edge = jnp.take_along_axis(ordered, jnp.broadcast_to(last, (len(logits), 1)), axis=-1)
        logits = jnp.where(logits >= edge, logits, OUT)
        ordered = jnp.where(ordered >= edge, ordered, OUT)
    if sampling.top_p is not None:
        share = jax.nn.softmax(ordered, axis=-1)
        inside = jnp.cumsum(share, axis=-1) - share < sampling.top_p
        inside = inside.at[:, 0].set(True)
        edge = jnp.min(jnp.where(inside, ordered, jnp.inf), axis=-1, keepdims=True)
        logits = jnp.where(logits >= edge, logits, OUT)
    if sampling.min_p is not None:
        edge = jnp.max(logits, axis=-1, keepdims=True) + jnp.log(jnp.minimum(sampling.min_p, 1.0))
        logits = jnp.where(logits >= edge, logits, OUT)
    return logits


def draw(
    noise: Float[Array, "B V"], logits: Float[Array, "B V"], temperature: Float[Array, "B 1"]
) -> Int[Array, "B"]:
    """The token that standard Gumbel noise stands for; the likeliest where the temperature is 0."""
    shaken = logits + jnp.where(temperature > 0, noise, 0.0)
    return jnp.argmax(shaken, axis=-1).astype(jnp.int32)


def log_prob_of(logits: Float[Array, "B V"], token: Int[Array, "B"]) -> Float[Array, "B"]:
    """Log-probability of a token under a softmax."""
    chosen = jnp.take_along_axis(logits, token[:, None], axis=-1)[:, 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)
