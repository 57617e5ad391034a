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
    Without limits, d is still kept within ±80 inside the exponential so that nothing overflows.
    """
    if kind not in KINDS:
        raise ValueError(f"KL estimator {kind!r} is unknown; choose one of {KINDS}")
    if log_prob.shape != ref_log_prob.shape:
        raise ValueError(f"log_prob {log_prob.shape} and reference {ref_log_prob.shape} differ")
    difference = log_prob - ref_log_prob
    if kind == "k1":
        value = difference
    elif kind == "abs":
        value = jnp.abs(difference)
    elif kind == "k2":
        value = 0.5 * jnp.square(difference)
    else:
        limit = 80.0 if log_ratio_limit is None else log_ratio_limit
        bounded = jnp.clip(difference, -limit, limit)
        value = jnp.expm1(-bounded) + bounded
        if kind == "k3+":
            squared = 0.5 * jnp.square(difference)
            value = squared + jax.lax.stop_gradient(value - squared)
    if value_limit is not None:
        value = jnp.clip(value, -value_limit, value_limit)
    return value
