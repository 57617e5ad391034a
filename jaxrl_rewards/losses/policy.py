"""Policy losses over importance ratios ρ = exp(log π - log π_old), one function per method.

All have one signature, `loss(log_prob, old_log_prob, advantages, mask, clip)`, and give the loss of
every token; an aggregate (`losses.aggregate`) makes one number of them, of the KL penalty too.
Arrays are `[N]` (control steps) or `[B, T]` (tokens); advantages of rank one less are spread over
the tokens. Gradients flow into the advantages, so that rewards can be tuned through an update; stop
them where advantages depend on the parameters. Values under mask 0 are ignored, NaN included, in
the gradient too. log ρ is clamped to ±20.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.losses.aggregate import token_mean

LOG_RATIO_LIMIT = 20.0

Clip = tuple[float | Array, float | Array]
"""How far ρ may fall below and rise above 1."""


class TokenLosses(NamedTuple):
    """What a policy loss says of every token."""

    loss: Float[Array, "..."]
    """0 under mask 0."""
    log_ratio: Float[Array, "..."]
    """log ρ as the method uses it, without gradient; 0 under mask 0."""
    clipped: Bool[Array, "..."]
    """Where the clip range took the gradient."""
    dual_clipped: Bool[Array, "..."]


PolicyLoss = Callable[..., TokenLosses]


def clipped_surrogate(
    log_prob: Float[Array, "..."],
    old_log_prob: Float[Array, "..."],
    advantages: Float[Array, "..."],
    mask: Float[Array, "..."] | None = None,
    clip: Clip = (0.2, 0.2),
    *,
    dual_clip: float | None = None,
    ratio_limit: float | None = None,
) -> TokenLosses:
    """−min(ρA, clip(ρ, 1 − low, 1 + high) A): PPO (arXiv 1707.06347), GRPO, DAPO.

    `dual_clip` c bounds the loss by −cA for A < 0 (arXiv 1912.09729); `ratio_limit` bounds ρ from
    above first.
    """
    log_prob, old, advantages = _prepared(log_prob, old_log_prob, advantages, mask)
    return _surrogate(log_prob - old, advantages, clip, dual_clip, ratio_limit)


def sequence_surrogate(
    log_prob: Float[Array, "B T"],
    old_log_prob: Float[Array, "B T"],
    advantages: Float[Array, "..."],
    mask: Float[Array, "B T"] | None = None,
    clip: Clip = (0.2, 0.2),
) -> TokenLosses:
    """The clipped surrogate with one ratio per response, exp(mean of the log-ratios), its gradient
    spread over the tokens: GSPO (arXiv 2507.18071)."""
    if log_prob.ndim < 2:
        raise ValueError(f"sequence_surrogate needs tokens [B, T], got shape {log_prob.shape}")
    log_prob, old, advantages = _prepared(log_prob, old_log_prob, advantages, mask)
    weight = jnp.ones_like(log_prob) if mask is None else (mask > 0).astype(log_prob.dtype)
    length = jnp.maximum(jnp.sum(weight, axis=-1, keepdims=True), 1.0)
    mean = jnp.sum((log_prob - old) * weight, axis=-1, keepdims=True) / length
    log_ratio = jax.lax.stop_gradient(mean) + log_prob - jax.lax.stop_gradient(log_prob)
    return _surrogate(log_ratio, advantages, clip)


def clipped_importance(
    log_prob: Float[Array, "..."],
    old_log_prob: Float[Array, "..."],
    advantages: Float[Array, "..."],
    mask: Float[Array, "..."] | None = None,
    clip: Clip = (0.2, 0.2),
) -> TokenLosses:
    """−sg(clip(ρ)) A log π: CISPO (arXiv 2506.13585)."""
    log_prob, old, advantages = _prepared(log_prob, old_log_prob, advantages, mask)
    ratio = _ratio(log_prob - old)
    bounded = jnp.clip(ratio, 1.0 - clip[0], 1.0 + clip[1])
    loss = -jax.lax.stop_gradient(bounded) * advantages * log_prob
    return _told(loss, log_prob - old, ratio != bounded)


def soft_gate(
    log_prob: Float[Array, "..."],
    old_log_prob: Float[Array, "..."],
    advantages: Float[Array, "..."],
    mask: Float[Array, "..."] | None = None,
    clip: Clip = (0.2, 0.2),
    *,
    temperature_positive: float = 1.0,
    temperature_negative: float = 1.05,
) -> TokenLosses:
    """−A (4/τ) σ(τ(ρ − 1)), τ by the sign of A; `clip` is not used: SAPO (arXiv 2511.20347)."""
    log_prob, old, advantages = _prepared(log_prob, old_log_prob, advantages, mask)
    tau = jnp.where(advantages > 0, temperature_positive, temperature_negative)
    gate = (4.0 / tau) * jax.nn.sigmoid(tau * (_ratio(log_prob - old) - 1.0))
    return _told(-advantages * gate, log_prob - old)


def score_function(
    log_prob: Float[Array, "..."],
    old_log_prob: Float[Array, "..."],
    advantages: Float[Array, "..."],
    mask: Float[Array, "..."] | None = None,
    clip: Clip = (0.2, 0.2),
) -> TokenLosses:
    """−A log π; `clip` is not used: REINFORCE (Williams 1992)."""
    log_prob, old, advantages = _prepared(log_prob, old_log_prob, advantages, mask)
    return _told(-advantages * log_prob, log_prob - old)


def policy_metrics(
    losses: TokenLosses, mask: Float[Array, "..."] | None = None
) -> dict[str, Float[Array, ""]]:
    """`clip_fraction`, `dual_clip_fraction`, `approx_kl` (mean of log π_old − log π), `ratio`."""
    values = {
        "clip_fraction": losses.clipped.astype(jnp.float32),
        "dual_clip_fraction": losses.dual_clipped.astype(jnp.float32),
        "approx_kl": -losses.log_ratio,
        "ratio": _ratio(losses.log_ratio),
    }
    return {name: token_mean(value, mask) for name, value in values.items()}


def _prepared(
    log_prob: Array, old_log_prob: Array, advantages: Array, mask: Array | None
) -> tuple[Array, Array, Array]:
    """The inputs in one shape and at least float32, 0 under the mask, the old policy fixed."""
    if log_prob.shape != old_log_prob.shape:
        raise ValueError(
            f"log_prob {log_prob.shape} and old_log_prob {old_log_prob.shape} differ in shape"
        )
    if mask is not None and mask.shape != log_prob.shape:
        raise ValueError(f"log_prob {log_prob.shape} and mask {mask.shape} differ in shape")
    if advantages.shape == log_prob.shape[:-1]:
        advantages = advantages[..., None]
    elif advantages.shape != log_prob.shape:
        raise ValueError(
            f"advantages {advantages.shape} fit neither log_prob {log_prob.shape} nor its rows"
        )
    advantages = jnp.broadcast_to(advantages, log_prob.shape)
    wide = (
        x.astype(jnp.promote_types(x.dtype, jnp.float32))
        for x in (log_prob, jax.lax.stop_gradient(old_log_prob), advantages)
    )
    if mask is None:
        return tuple(wide)
    return tuple(jnp.where(mask > 0, x, 0.0) for x in wide)


def _ratio(log_ratio: Array) -> Array:
    return jnp.exp(jnp.clip(log_ratio, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT))


def _surrogate(
    log_ratio: Array,
    advantages: Array,
    clip: Clip,
    dual_clip: float | None = None,
    ratio_limit: float | None = None,
) -> TokenLosses:
    if dual_clip is not None and dual_clip <= 1.0:
        raise ValueError(f"dual_clip must exceed 1, got {dual_clip}; None turns it off")
    ratio = _ratio(log_ratio)
    limited = ratio if ratio_limit is None else jnp.minimum(ratio, ratio_limit)
    plain = -advantages * limited
    bounded = -advantages * jnp.clip(ratio, 1.0 - clip[0], 1.0 + clip[1])
    loss = jnp.maximum(plain, bounded)
    if dual_clip is None:
        return _told(loss, log_ratio, bounded > plain)
    highest = -dual_clip * advantages
    too_high = (advantages < 0) & (loss > highest)
    loss = jnp.where(advantages < 0, jnp.minimum(loss, highest), loss)
    return _told(loss, log_ratio, bounded > plain, too_high)


def _told(
    loss: Array, log_ratio: Array, clipped: Array | None = None, dual: Array | None = None
) -> TokenLosses:
    nowhere = jnp.zeros_like(loss, bool)
    return TokenLosses(
        loss=loss,
        log_ratio=jax.lax.stop_gradient(log_ratio),
        clipped=nowhere if clipped is None else clipped,
        dual_clipped=nowhere if dual is None else dual,
    )
