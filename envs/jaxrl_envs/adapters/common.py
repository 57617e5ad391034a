"""What the adapters share: lazy imports, the state of a foreign world, and strong types."""

from __future__ import annotations

import importlib
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import InputError, TimeStep, record
from jaxrl_rewards.rewards.base import Reward, reward_term


@record
class ForeignState:
    """State of a world of another library."""

    inner: Any
    """The library's own state."""
    native_reward: Float[Array, ""]
    """What the library paid for the last step; 0 after reset."""
    time: Int[Array, ""]


@record
class ForeignParams:
    """Params of a world of another library."""

    inner: Any
    """The library's own parameters, or `()`."""
    max_steps: Int[Array, ""]
    reward: Reward


def native(prev: ForeignState, action: Any, nxt: ForeignState) -> Float[Array, ""]:
    """The reward of the library the world comes from."""
    return nxt.native_reward


def native_reward() -> Reward:
    """The default reward of an adapted world: its own, under the name `native`."""
    return 1.0 * reward_term(native)


def import_library(module: str, library: str, install: str = "'jaxrl-rewards[parity]'") -> Any:
    """Import `module`; InputError saying what to `install` for `library` if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{library} cannot be imported ({error}); install it with pip install {install}"
        ) from error


def like(template: Any, tree: Any) -> Any:
    """`tree` with the dtypes of `template` (shapes and dtypes), never weakly typed."""

    def cast(spec: Any, leaf: Any) -> Array:
        if jnp.issubdtype(spec.dtype, jax.dtypes.prng_key):
            return leaf
        return jax.lax.convert_element_type(jnp.asarray(leaf), spec.dtype)

    return jax.tree.map(cast, template, tree)


def finish_foreign_step(
    prev: ForeignState,
    action: Any,
    inner: Any,
    obs: Any,
    reward: Any,
    terminated: Any,
    truncated: Any,
    params: ForeignParams,
) -> tuple[ForeignState, TimeStep]:
    """Score a step of a foreign world with `params.reward` and apply `params.max_steps`."""
    nxt = ForeignState(
        inner=inner,
        native_reward=jnp.reshape(jnp.asarray(reward, jnp.float32), ()),
        time=prev.time + 1,
    )
    out = params.reward.evaluate(prev, action, nxt)
    timestep = TimeStep(
        obs=obs,
        reward=out.total,
        terms=out.terms,
        applicable=out.applicable,
        terminated=jnp.reshape(jnp.asarray(terminated, bool), ()),
        truncated=jnp.reshape(jnp.asarray(truncated, bool), ()) | (nxt.time >= params.max_steps),
        final_obs=obs,
        info={},
    )
    return nxt, timestep


def start_foreign(inner: Any) -> ForeignState:
    """The state after a reset."""
    return ForeignState(
        inner=inner,
        native_reward=jnp.zeros((), jnp.float32),
        time=jnp.zeros((), jnp.int32),
    )
