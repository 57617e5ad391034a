"""Means, variances and whitening over the entries where a mask is 1; any shape."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.credit.checks import at_least_float32, keep_where, same_shape


def masked_sum(values: Float[Array, "..."], mask: Float[Array, "..."]) -> Float[Array, ""]:
    """Sum where the mask is 1; whatever stands elsewhere is ignored, NaN included."""
    same_shape(values=values, mask=mask)
    (values,) = at_least_float32(values)
    return jnp.sum(jnp.where(mask > 0, values, 0.0))


def masked_mean(values: Float[Array, "..."], mask: Float[Array, "..."]) -> Float[Array, ""]:
    """Mean where the mask is 1; 0 when it is nowhere."""
    return masked_sum(values, mask) / jnp.maximum(jnp.sum(mask > 0), 1)


def masked_var(
    values: Float[Array, "..."], mask: Float[Array, "..."], *, ddof: int = 1
) -> Float[Array, ""]:
    """Variance where the mask is 1 with `ddof` degrees removed; 0 with `ddof` or fewer entries."""
    same_shape(values=values, mask=mask)
    (values,) = at_least_float32(values)
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

    As in verl the result is not masked again: entries outside the mask are shifted and scaled too
    (what is not finite there counts as 0). With one valid entry its deviation from itself is 0
    and so is everything else; with none, everything is 0.
    """
    same_shape(values=values, mask=mask)
    (values,) = at_least_float32(values)
    (values,) = keep_where((mask > 0) | jnp.isfinite(values), values)
    count = jnp.sum(mask > 0)
    mean = masked_mean(values, mask)
    scale = jnp.where(count > 1, 1.0 / jnp.sqrt(masked_var(values, mask) + epsilon), 0.0)
    whitened = (values - mean) * scale
    if not shift_mean:
        whitened = whitened + mean
    return jnp.where(count > 0, whitened, 0.0)
