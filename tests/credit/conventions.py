"""Generalised advantages as other libraries compute them, for comparison with theirs."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.credit.checks import at_least_float32, same_shape
from jaxrl_rewards.credit.gae import _backward, gae


def gae_single_done(
    rewards: Float[Array, "T"],
    values: Float[Array, "T"],
    last_value: Float[Array, ""],
    done: Float[Array, "T"],
    discount: Float[Array, ""],
    trace_decay: Float[Array, ""],
) -> tuple[Float[Array, "T"], Float[Array, "T"]]:
    """`(advantages, targets)` with one end flag: truncation treated as termination.

    What PureJaxRL and rejax compute; for comparison only, since it bootstraps 0 at time limits.
    """
    following = jnp.concatenate([values[1:], last_value[None]])
    return gae(rewards, values, following, done, done, discount, trace_decay)


def gae_brax(
    rewards: Float[Array, "T"],
    values: Float[Array, "T"],
    bootstrap_value: Float[Array, ""],
    termination: Float[Array, "T"],
    truncation: Float[Array, "T"],
    discount: Float[Array, ""],
    trace_decay: Float[Array, ""],
) -> tuple[Float[Array, "T"], Float[Array, "T"]]:
    """`(value targets, advantages)` as brax computes them; for comparison.

    Truncated steps are dropped (δ and A are 0 there), the successor's value is `values[t+1]`, and
    A_t = r_t + γ (1 − termination_t) vs_{t+1} − V_t with vs the λ-return.
    """
    same_shape(rewards=rewards, values=values, termination=termination, truncation=truncation)
    rewards, values, termination, truncation = at_least_float32(
        rewards, values, termination, truncation
    )
    keep, going_on = 1.0 - truncation, 1.0 - termination
    following = jnp.concatenate([values[1:], bootstrap_value[None]])
    delta = (rewards + discount * going_on * following - values) * keep
    targets = _backward(discount * going_on * keep * trace_decay, delta) + values
    targets_next = jnp.concatenate([targets[1:], bootstrap_value[None]])
    advantages = (rewards + discount * going_on * targets_next - values) * keep
    return targets, advantages
