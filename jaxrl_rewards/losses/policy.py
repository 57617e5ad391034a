"""Policy losses over importance ratios, for control steps and for tokens."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.losses.aggregate import aggregate

KINDS = ("ppo", "grpo", "dapo", "gspo", "cispo", "sapo", "reinforce")
LOG_RATIO_LIMIT = 20.0

_DEFAULT_AGGREGATION = {
    "grpo": "seq-mean-token-mean",
    "gspo": "seq-mean-token-mean",
    "sapo": "seq-mean-token-mean",
}


def policy_loss(
    log_prob: Float[Array, "..."],
    old_log_prob: Float[Array, "..."],
    advantages: Float[Array, "..."],
    mask: Float[Array, "..."] | None = None,
    *,
    kind: str = "ppo",
    clip_low: float | Float[Array, ""] = 0.2,
    clip_high: float | Float[Array, ""] = 0.2,
    dual_clip: float | None = None,
    ratio_limit: float | None = None,
    temperature_positive: float = 1.0,
    temperature_negative: float = 1.05,
    aggregation: str | None = None,
    norm: float | None = None,
    count_empty: bool = False,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """`(loss, metrics)` to minimise, with ρ = exp(log π − log π_old), its log clamped to ±20.

    ppo, grpo, dapo  −min(ρA, clip(ρ, 1 − clip_low, 1 + clip_high) A); they differ in the usual
                     aggregation and clip range only. `dual_clip` c bounds the loss by −cA for
                     A < 0 (arXiv 1912.09729); `ratio_limit` bounds ρ from above first.
    gspo             the same with one ratio per response, exp(mean of the log-ratios)
                     (arXiv 2507.18071), its gradient spread over the tokens
    cispo            −sg(clip(ρ)) A log π (arXiv 2506.13585)
    sapo             −A (4/τ) σ(τ(ρ − 1)), τ by the sign of A (arXiv 2511.20347)
    reinforce        −A log π

    Arrays are `[N]` (control steps) or `[B, T]` (tokens); `advantages` of rank one less are spread
    over the tokens. Default aggregation: "seq-mean-token-mean" for grpo, gspo and sapo of rank 2,
    "token-mean" else; `norm` and `count_empty` as in `aggregate`. Gradients flow into `advantages`
    (so that rewards can be tuned through an update); stop them where advantages depend on the
    parameters. Metrics: `clip_fraction`, `dual_clip_fraction`, `approx_kl` (mean of
    log π_old − log π), `ratio`. Values under mask 0 are ignored, NaN included, in the gradient too.
    """
    if kind not in KINDS:
        raise ValueError(f"policy loss {kind!r} is unknown; choose one of {', '.join(KINDS)}")
    if log_prob.shape != old_log_prob.shape:
        raise ValueError(
            f"log_prob {log_prob.shape} and old_log_prob {old_log_prob.shape} differ in shape"
        )
    if mask is not None and mask.shape != log_prob.shape:
        raise ValueError(f"log_prob {log_prob.shape} and mask {mask.shape} differ in shape")
    if dual_clip is not None and dual_clip <= 1.0:
        raise ValueError(f"dual_clip must exceed 1, got {dual_clip}; None turns it off")
    if advantages.shape == log_prob.shape[:-1]:
        advantages = advantages[..., None]
    elif advantages.shape != log_prob.shape:
        raise ValueError(
            f"advantages {advantages.shape} fit neither log_prob {log_prob.shape} nor its rows"
        )
    log_prob, old_log_prob, advantages = (
        x.astype(jnp.promote_types(x.dtype, jnp.float32))
        for x in (log_prob, old_log_prob, advantages)
    )
    advantages = jnp.broadcast_to(advantages, log_prob.shape)
    old_log_prob = jax.lax.stop_gradient(old_log_prob)
    if mask is not None:
        keep = mask > 0
        log_prob = jnp.where(keep, log_prob, 0.0)
        old_log_prob = jnp.where(keep, old_log_prob, 0.0)
        advantages = jnp.where(keep, advantages, 0.0)
    log_ratio = log_prob - old_log_prob
    if kind == "gspo":
        log_ratio = _sequence_log_ratio(log_prob, log_ratio, mask)
    ratio = jnp.exp(jnp.clip(log_ratio, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT))
    clipped_ratio = jnp.clip(ratio, 1.0 - clip_low, 1.0 + clip_high)

    dual_clipped = jnp.zeros_like(ratio, bool)
    if kind == "cispo":
        loss = -jax.lax.stop_gradient(clipped_ratio) * advantages * log_prob
        clipped = ratio != clipped_ratio
    elif kind == "sapo":
        tau = jnp.where(advantages > 0, temperature_positive, temperature_negative)
        loss = -advantages * (4.0 / tau) * jax.nn.sigmoid(tau * (ratio - 1.0))
        clipped = jnp.zeros_like(ratio, bool)
    elif kind == "reinforce":
        loss = -advantages * log_prob
        clipped = jnp.zeros_like(ratio, bool)
    else:
        limited = ratio if ratio_limit is None else jnp.minimum(ratio, ratio_limit)
        plain, bounded = -advantages * limited, -advantages * clipped_ratio
        loss = jnp.maximum(plain, bounded)
        clipped = bounded > plain
        if dual_clip is not None:
            highest = -dual_clip * advantages
            dual_clipped = (advantages < 0) & (loss > highest)
            loss = jnp.where(advantages < 0, jnp.minimum(loss, highest), loss)
    if aggregation is None:
        aggregation = (
            _DEFAULT_AGGREGATION.get(kind, "token-mean") if loss.ndim > 1 else "token-mean"
        )

    def mean(values: Array) -> Array:
        if mask is None:
            return jnp.mean(values.astype(jnp.float32))
        return aggregate(values.astype(jnp.float32), mask)

    plain_mean = mask is None and aggregation == "token-mean"
    total = (
        jnp.mean(loss)
        if plain_mean
        else aggregate(loss, mask, aggregation, norm, count_empty=count_empty)
    )
    metrics = {
        "clip_fraction": mean(clipped),
        "dual_clip_fraction": mean(dual_clipped),
        "approx_kl": mean(-log_ratio),
        "ratio": mean(ratio),
    }
    return total, jax.lax.stop_gradient(metrics)


def _sequence_log_ratio(log_prob: Array, log_ratio: Array, mask: Array | None) -> Array:
    """The response's mean log-ratio at every token, with the gradient of the token's log π."""
    if log_prob.ndim < 2:
        raise ValueError(f"gspo needs tokens [B, T], got shape {log_prob.shape}")
    weight = jnp.ones_like(log_ratio) if mask is None else (mask > 0).astype(log_ratio.dtype)
    length = jnp.maximum(jnp.sum(weight, axis=-1, keepdims=True), 1.0)
    mean = jnp.sum(log_ratio * weight, axis=-1, keepdims=True) / length
    return jax.lax.stop_gradient(mean) + log_prob - jax.lax.stop_gradient(log_prob)
