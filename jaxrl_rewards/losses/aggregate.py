"""From per-token losses `[B, T]` to one number."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

MODES = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm")


def aggregate(
    loss: Float[Array, "B T"],
    mask: Float[Array, "B T"] | None,
    mode: str = "token-mean",
    norm: float | Float[Array, ""] | None = None,
    *,
    count_empty: bool = False,
) -> Float[Array, ""]:
    """Reduce masked token losses.

    token-mean               Σ m·L / Σ m (DAPO, BNPO)
    seq-mean-token-mean      mean over responses of Σ_t m·L / length (the first GRPO, GSPO)
    seq-mean-token-sum       mean over responses of Σ_t m·L
    seq-mean-token-sum-norm  Σ m·L / norm (Dr.GRPO); `norm` is T unless given

    Responses without a valid token do not count as responses (verl, OpenRLHF) unless `count_empty`
    is set: the sequence means then divide by B (TRL). A fully masked batch gives 0. Values
    under mask 0 are ignored, NaN included, in the gradient too. Sums are float32 or wider.
    """
    if mode not in MODES:
        raise ValueError(f"aggregation mode {mode!r} is unknown; choose one of {', '.join(MODES)}")
    if loss.ndim < 2 and mode != "token-mean":
        raise ValueError(f"mode {mode!r} needs losses [B, T], got shape {loss.shape}")
    if mask is None:
        mask = jnp.ones_like(loss)
    if mask.shape != loss.shape:
        raise ValueError(f"loss {loss.shape} and mask {mask.shape} must have one shape")
    if isinstance(norm, (int, float)) and norm <= 0:
        raise ValueError(f"norm must be positive, got {norm}")
    keep = mask > 0
    loss = loss.astype(jnp.promote_types(loss.dtype, jnp.float32))
    loss = jnp.where(keep, loss, 0.0)
    if mode == "token-mean":
        return jnp.sum(loss) / jnp.maximum(jnp.sum(keep), 1)
    if mode == "seq-mean-token-sum-norm":
        return jnp.sum(loss) / (loss.shape[-1] if norm is None else norm)
    lengths = jnp.sum(keep, axis=-1)
    sequences = loss.shape[0] if count_empty else jnp.maximum(jnp.sum(lengths > 0), 1)
    per_sequence = jnp.sum(loss, axis=-1)
    if mode == "seq-mean-token-mean":
        per_sequence = per_sequence / jnp.maximum(lengths, 1)
    return jnp.sum(per_sequence) / sequences
