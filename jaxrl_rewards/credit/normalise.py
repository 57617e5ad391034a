"""Means, variances and whitening over the entries where a mask is 1; any shape."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def masked_sum(values: Float[Array, "..."], mask: Float[Array, "..."]) -> Float[Array, ""]:
    """Sum where the mask is 1; whatever stands elsewhere is ignored, NaN included."""
    return jnp.sum(jnp.where(mask > 0, values, 0.0))


def masked_mean(values: Float[Array, "..."], mask: Float[Array, "..."]) -> Float[Array, ""]:
    """Mean where the mask is 1; 0 when it is nowhere."""
    return masked_sum(values, mask) / jnp.maximum(jnp.sum(mask > 0), 1)


def masked_var(
    values: Float[Array, "..."], mask: Float[Array, "..."], *, ddof: int = 1
) -> Float[Array, ""]:
    """Variance where the mask is 1 with `ddof` degrees removed; 0 with `ddof` or fewer entries."""
    count = jnp.sum(mask > 0)
    centred = jnp.where(mask > 0, values - masked_mean(values, mask), 0.0)
    variance = jnp.sum(jnp.square(centred)) / jnp.maximum(count - ddof, 1)
    return jnp.where(count > ddof, variance, 0.0)


def masked_whiten(
    values: Float[Array, "..."],
    mask: Float[Array, "..."],
    *,
    shift_mean: bool = True,
    epsilon: float = 1e-8,
) -> Float[Array, "..."]:
    """`(x − mean) / sqrt(var + ε)` over the mask, ddof 1; `shift_mean=False` adds the mean back.

    As in verl the result is not masked again: unmasked entries are shifted and scaled too. With
    one valid entry it becomes 0 (its deviation from itself); with none, everything is 0.
    """
    count = jnp.sum(mask > 0)
    mean = masked_mean(values, mask)
    scale = jnp.where(count > 1, 1.0 / jnp.sqrt(masked_var(values, mask) + epsilon), 0.0)
    whitened = (values - mean) * scale
    if not shift_mean:
        whitened = whitened + mean
    return jnp.where(count > 0, whitened, 0.0)
