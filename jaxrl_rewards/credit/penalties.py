"""Shaping of token-level rewards: length penalties and KL to a reference policy."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def overlong_penalty(
    length: Float[Array, "..."],
    max_length: float,
    buffer_length: float,
    factor: float = 1.0,
) -> Float[Array, "..."]:
    """DAPO's soft penalty `min(−(length − (L_max − L_buf)) / L_buf · factor, 0)`.

    arXiv 2503.14476, eq. 13; not floored beyond `max_length`, as in verl's reward manager.
    """
    if buffer_length <= 0:
        raise ValueError(f"buffer_length must be positive, got {buffer_length}")
    excess = jnp.asarray(length, jnp.float32) - (max_length - buffer_length)
    return jnp.minimum(-excess / buffer_length * factor, 0.0)


def token_rewards(
    score: Float[Array, ""],
    log_prob: Float[Array, "T"],
    ref_log_prob: Float[Array, "T"],
    mask: Float[Array, "T"],
    coefficient: Float[Array, ""] | float,
) -> Float[Array, "T"]:
    """`r_t = score·1[t = last] − β (log π − log π_ref)_t` on the tokens of the mask, else 0."""
    keep = mask > 0
    position = jnp.arange(mask.shape[0])
    last = jnp.max(jnp.where(keep, position, -1))
    difference = jnp.where(keep, log_prob, 0.0) - jnp.where(keep, ref_log_prob, 0.0)
    return jnp.where(keep, jnp.where(position == last, score, 0.0) - coefficient * difference, 0.0)


def adaptive_coefficient(
    coefficient: Float[Array, ""] | float,
    kl: Float[Array, ""],
    target: float,
    horizon: float,
    count: float = 1.0,
) -> Float[Array, ""]:
    """`β ← β (1 + clip(KL / target − 1, ±0.2) · n / horizon)` (Ziegler et al. 2019)."""
    if target <= 0 or horizon <= 0:
        raise ValueError(f"target and horizon must be positive, got {target} and {horizon}")
    error = jnp.clip(kl / target - 1.0, -0.2, 0.2)
    return coefficient * (1.0 + error * count / horizon)
