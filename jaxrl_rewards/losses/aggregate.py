"""From per-token losses `[B, T]` to one number."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

Aggregate = Callable[[Array, Array | None], Array]
"""`(loss, mask) -> scalar`. Values under mask 0 are ignored, NaN included, in the gradient too; a
fully masked batch gives 0. Sums are float32 or wider."""


def token_mean(
    loss: Float[Array, "..."], mask: Float[Array, "..."] | None = None
) -> Float[Array, ""]:
    """Σ m·L / Σ m (DAPO, BNPO); any shape."""
    if mask is None:
        return jnp.mean(loss.astype(jnp.promote_types(loss.dtype, jnp.float32)))
    loss, keep = _kept(loss, mask)
    return jnp.sum(loss) / jnp.maximum(jnp.sum(keep), 1)


def sequence_mean(
    loss: Float[Array, "B T"],
    mask: Float[Array, "B T"] | None = None,
    *,
    count_empty: bool = False,
) -> Float[Array, ""]:
    """Mean over responses of Σ_t m·L / length (the first GRPO, GSPO).

    Responses without a valid token do not count as responses (verl, OpenRLHF) unless `count_empty`
    is set: then the mean is over all B (TRL).
    """
    loss, keep = _rows(loss, mask, "sequence_mean")
    lengths = jnp.sum(keep, axis=-1)
    per_sequence = jnp.sum(loss, axis=-1) / jnp.maximum(lengths, 1)
    return jnp.sum(per_sequence) / _responses(lengths, count_empty)


def sequence_sum(
    loss: Float[Array, "B T"],
    mask: Float[Array, "B T"] | None = None,
    *,
    count_empty: bool = False,
) -> Float[Array, ""]:
    """Mean over responses of Σ_t m·L; `count_empty` as in `sequence_mean`."""
    loss, keep = _rows(loss, mask, "sequence_sum")
    return jnp.sum(loss) / _responses(jnp.sum(keep, axis=-1), count_empty)


def normed_sum(
    loss: Float[Array, "B T"],
    mask: Float[Array, "B T"] | None = None,
    *,
    norm: float | Float[Array, ""] | None = None,
) -> Float[Array, ""]:
    """Σ m·L / norm (Dr.GRPO); `norm` is T unless given."""
    if isinstance(norm, (int, float)) and norm <= 0:
        raise ValueError(f"norm must be positive, got {norm}")
    loss, _ = _rows(loss, mask, "normed_sum")
    return jnp.sum(loss) / (loss.shape[-1] if norm is None else norm)


AGGREGATES: dict[str, Callable] = {
    "token-mean": token_mean,
    "seq-mean-token-mean": sequence_mean,
    "seq-mean-token-sum": sequence_sum,
    "seq-mean-token-sum-norm": normed_sum,
}
"""The names that other trainers use for them."""


def _kept(loss: Array, mask: Array) -> tuple[Array, Array]:
    if mask.shape != loss.shape:
        raise ValueError(f"loss {loss.shape} and mask {mask.shape} must have one shape")
    keep = mask > 0
    loss = loss.astype(jnp.promote_types(loss.dtype, jnp.float32))
    return jnp.where(keep, loss, 0.0), keep


def _rows(loss: Array, mask: Array | None, name: str) -> tuple[Array, Array]:
    if loss.ndim < 2:
        raise ValueError(f"{name} needs losses [B, T], got shape {loss.shape}")
    return _kept(loss, jnp.ones_like(loss) if mask is None else mask)


def _responses(lengths: Array, count_empty: bool) -> Array | int:
    return lengths.shape[0] if count_empty else jnp.maximum(jnp.sum(lengths > 0), 1)
