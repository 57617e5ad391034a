"""Generalised advantage estimation for one trajectory; batch with `vmap`.

Termination and truncation are told apart: a terminated step has no successor value, a truncated
one bootstraps from the value of its true successor (`next_values`, taken before any auto-reset),
and both cut the trace.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.credit.checks import at_least_float32, keep_where, same_shape


def _backward(decay: Float[Array, "T"], value: Float[Array, "T"]) -> Float[Array, "T"]:
    """`x_t = value_t + decay_t · x_{t+1}` with `x_T = 0`."""

    def step(following, inputs):
        factor, own = inputs
        following = own + factor * following
        return following, following

    return jax.lax.scan(step, jnp.zeros_like(value[0]), (decay, value), reverse=True)[1]


def gae(
    rewards: Float[Array, "T"],
    values: Float[Array, "T"],
    next_values: Float[Array, "T"],
    terminated: Float[Array, "T"],
    truncated: Float[Array, "T"],
    discount: Float[Array, ""] | float,
    trace_decay: Float[Array, ""] | float,
    mask: Float[Array, "T"] | None = None,
) -> tuple[Float[Array, "T"], Float[Array, "T"]]:
    """`(advantages, returns)` (Schulman et al. 2016, arXiv 1506.02438, eq. 16).

    δ_t = r_t + γ (1 − terminated_t) V(s'_t) − V(s_t)
    A_t = δ_t + γ λ (1 − max(terminated, truncated)_t) A_{t+1},  returns = A + V

    `next_values` are values of the true successors. Steps with `mask` 0 get advantage 0 and return
    0, and pass nothing back; whatever stands there is ignored, NaN included, as is `next_values`
    of terminated steps.
    """
    same_shape(
        rewards=rewards,
        values=values,
        next_values=next_values,
        terminated=terminated,
        truncated=truncated,
        mask=mask,
    )
    inputs = at_least_float32(rewards, values, next_values, terminated, truncated)
    if mask is not None:
        inputs = keep_where(mask > 0, *inputs)
    rewards, values, next_values, terminated, truncated = inputs
    # `where`, not a product: a terminal step's successor value may be anything.
    bootstrap = jnp.where(terminated > 0, 0.0, next_values)
    delta = rewards + discount * bootstrap - values
    decay = discount * trace_decay * (1.0 - jnp.maximum(terminated, truncated))
    if mask is not None:
        delta, decay = keep_where(mask > 0, delta, decay)
    advantages = _backward(decay, delta)
    return advantages, advantages + values


def lambda_returns(
    rewards: Float[Array, "T"],
    next_values: Float[Array, "T"],
    terminated: Float[Array, "T"],
    truncated: Float[Array, "T"],
    discount: Float[Array, ""] | float,
    trace_decay: Float[Array, ""] | float,
    mask: Float[Array, "T"] | None = None,
) -> Float[Array, "T"]:
    """λ-returns `G_t = r_t + γ (1 − terminated_t) [(1 − λ_t) V(s'_t) + λ_t G_{t+1}]`.

    λ_t is λ inside an episode and 0 where it was truncated and at the last step, so those
    bootstrap from V(s') (Sutton and Barto 2018, eq. 12.18). Masked steps return 0.
    """
    same_shape(
        rewards=rewards,
        next_values=next_values,
        terminated=terminated,
        truncated=truncated,
        mask=mask,
    )
    inputs = at_least_float32(rewards, next_values, terminated, truncated)
    if mask is not None:
        inputs = keep_where(mask > 0, *inputs)
    rewards, next_values, terminated, truncated = inputs
    going_on = 1.0 - terminated
    last = jnp.arange(rewards.shape[0]) == rewards.shape[0] - 1
    inside = jnp.where((truncated > 0) | last, 0.0, 1.0)
    if mask is not None:
        following = jnp.concatenate([mask[1:] > 0, jnp.zeros((1,), bool)])
        inside = jnp.where(following, inside, 0.0)
    weight = trace_decay * inside
    bootstrap = jnp.where(going_on > 0, next_values, 0.0)
    own = rewards + discount * going_on * (1.0 - weight) * bootstrap
    decay = discount * going_on * weight
    if mask is not None:
        own, decay = keep_where(mask > 0, own, decay)
    return _backward(decay, own)


def token_gae(
    rewards: Float[Array, "T"],
    values: Float[Array, "T"],
    mask: Float[Array, "T"],
    discount: Float[Array, ""] | float,
    trace_decay: Float[Array, ""] | float,
) -> tuple[Float[Array, "T"], Float[Array, "T"]]:
    """`(advantages, returns)` over the tokens of one response, forced tokens skipped.

    The recursion of `gae` without ends; positions with mask 0 (tool output, padding) are stepped
    over: the next value and the running advantage are carried across them undiscounted, and the
    bootstrap after the last token is 0. At masked positions the advantage is the carried one and
    the return adds the value that stands there (NaN counts as 0), as in verl; multiply by the
    mask where they are used.
    """
    same_shape(rewards=rewards, values=values, mask=mask)
    rewards, values = at_least_float32(rewards, values)
    (rewards,) = keep_where(mask > 0, rewards)
    (values,) = keep_where((mask > 0) | jnp.isfinite(values), values)

    def step(carry, inputs):
        next_value, advantage = carry
        reward, value, keep = inputs
        delta = reward + discount * next_value - value
        fresh = delta + discount * trace_decay * advantage
        advantage = jnp.where(keep > 0, fresh, advantage)
        next_value = jnp.where(keep > 0, value, next_value)
        return (next_value, advantage), advantage

    zero = jnp.zeros_like(values[0])
    _, advantages = jax.lax.scan(step, (zero, zero), (rewards, values, mask), reverse=True)
    return advantages, advantages + values
