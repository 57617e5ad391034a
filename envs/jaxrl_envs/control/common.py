"""What the control worlds share: the end of a step, angles, and safe actions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import TimeStep


def finish_step(
    prev: Any, action: Any, nxt: Any, obs: Any, terminated: Bool[Array, ""], params: Any
) -> TimeStep:
    """Score the step with `params.reward` and cut the episode at `params.max_steps`.

    `prev` and `nxt` are state records with an int32 `time`; `action` is the action as applied.
    """
    out = params.reward.evaluate(prev, action, nxt)
    return TimeStep(
        obs=obs,
        reward=out.total,
        terms=out.terms,
        applicable=out.applicable,
        terminated=terminated,
        truncated=nxt.time >= params.max_steps,
        final_obs=obs,
        info={},
    )


def float_scalar(value: float) -> Float[Array, ""]:
    """A float32 scalar leaf (never weakly typed)."""
    return jnp.asarray(value, jnp.float32)


def step_limit(value: int) -> Int[Array, ""]:
    """An int32 scalar leaf; ValueError when it is below 1."""
    if value < 1:
        raise ValueError(f"max_steps must be at least 1, got {value}")
    return jnp.asarray(value, jnp.int32)


def start_time() -> Int[Array, ""]:
    """The time of a fresh episode."""
    return jnp.zeros((), jnp.int32)


def wrap_angle(angle: Float[Array, "..."]) -> Float[Array, "..."]:
    """The same angle in [-π, π), radians; gradient 1."""
    turns = jnp.floor((angle + np.float32(np.pi)) * np.float32(1.0 / (2.0 * np.pi)))
    return angle - np.float32(2.0 * np.pi) * jax.lax.stop_gradient(turns)


def safe_scalar_action(
    action: Float[Array, "..."], limit: Float[Array, ""] | float
) -> Float[Array, ""]:
    """A one-element action as a scalar in ±`limit`; non-finite actions count as 0."""
    value = jnp.reshape(jnp.asarray(action, jnp.float32), ())
    return jnp.clip(jnp.where(jnp.isfinite(value), value, 0.0), -limit, limit)
