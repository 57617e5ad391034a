"""Per-token estimators of the KL divergence to a reference policy (Schulman 2020)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

KINDS = ("k1", "k2", "k3", "k3+", "abs")


def kl_estimate(
    log_prob: Float[Array, "..."],
    ref_log_prob: Float[Array, "..."],
    kind: str = "k3",
    mask: Float[Array, "..."] | None = None,
    *,
    log_ratio_limit: float | None = None,
    value_limit: float | None = None,
) -> Float[Array, "..."]:
    """Estimate KL(π ‖ π_ref) from samples of π, with d = log π − log π_ref.

    k1   d (unbiased, any sign)
    k2   d²/2 (its gradient is that of the KL in expectation)
    k3   e^{−d} − 1 + d (≥ 0, unbiased in value, not in gradient)
    k3+  the value of k3 with the gradient of k2
    abs  |d|

    `log_ratio_limit` clamps d of k3, `value_limit` clamps the estimate (verl: 20 and 10 for k3).
    Where `mask` is 0 the estimate is 0 whatever stands there, NaN included; without it a NaN under
    a later mask would reach the gradient. Without limits, d is still kept within ±80 inside the
    exponential so that nothing overflows.
    """
    if kind not in KINDS:
        raise ValueError(f"KL estimator {kind!r} is unknown; choose one of {', '.join(KINDS)}")
    if log_prob.shape != ref_log_prob.shape:
        raise ValueError(f"log_prob {log_prob.shape} and reference {ref_log_prob.shape} differ")
    if mask is not None:
        if mask.shape != log_prob.shape:
            raise ValueError(f"log_prob {log_prob.shape} and mask {mask.shape} differ in shape")
        log_prob, ref_log_prob = (jnp.where(mask > 0, x, 0.0) for x in (log_prob, ref_log_prob))
    wide = jnp.promote_types(jnp.promote_types(log_prob.dtype, ref_log_prob.dtype), jnp.float32)
    difference = log_prob.astype(wide) - ref_log_prob.astype(wide)
    if kind == "k1":
        value = difference
    elif kind == "abs":
        value = difference * jnp.sign(difference)  # its gradient at 0 is 0, that of jnp.abs is 1
    elif kind == "k2":
        value = 0.5 * jnp.square(difference)
    else:
        limit = 80.0 if log_ratio_limit is None else log_ratio_limit
        bounded = jnp.clip(difference, -limit, limit)
        value = jnp.expm1(-bounded) + bounded
    if value_limit is not None:
        value = jnp.clip(value, -value_limit, value_limit)
    if kind == "k3+":  # after the limits: they bound the value, the gradient stays that of k2
        squared = 0.5 * jnp.square(difference)
        value = jax.lax.stop_gradient(value) + (squared - jax.lax.stop_gradient(squared))
    return value
