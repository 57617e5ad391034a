"""Value-function losses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.losses.aggregate import Aggregate, token_mean


def value_loss(
    values: Float[Array, "..."],
    returns: Float[Array, "..."],
    mask: Float[Array, "..."] | None = None,
    *,
    old_values: Float[Array, "..."] | None = None,
    clip: float | Float[Array, ""] | None = None,
    aggregate: Aggregate = token_mean,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """`(loss, metrics)`: 0.5 · mean max((v − R)², (clip(v, v_old ± ε) − R)²).

    Without `clip` the second term is left out. Returns and old values carry no gradient; values
    under mask 0 are ignored. Metric: `value_clip_fraction`.
    """
    if (clip is None) != (old_values is None):
        raise ValueError("clip and old_values go together: give both, or neither")
    if values.shape != returns.shape:
        raise ValueError(f"values {values.shape} and returns {returns.shape} differ in shape")
    if mask is not None and mask.shape != values.shape:
        raise ValueError(f"values {values.shape} and mask {mask.shape} differ in shape")
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    returns = jax.lax.stop_gradient(returns)
    if mask is not None:
        values, returns = (jnp.where(mask > 0, x, 0.0) for x in (values, returns))
    error = jnp.square(values - returns)
    clipped = jnp.zeros_like(error, bool)
    if clip is not None:
        old_values = jax.lax.stop_gradient(old_values)
        if mask is not None:
            old_values = jnp.where(mask > 0, old_values, 0.0)
        bounded = jnp.clip(values, old_values - clip, old_values + clip)
        bounded_error = jnp.square(bounded - returns)
        clipped = bounded_error > error
        error = jnp.maximum(error, bounded_error)

    fraction = jax.lax.stop_gradient(token_mean(clipped.astype(jnp.float32), mask))
    return 0.5 * aggregate(error, mask), {"value_clip_fraction": fraction}
