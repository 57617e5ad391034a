"""Auto-reset as a wrapper that keeps the contract of a world."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxrl_rewards.core import Env, EnvSpec, TimeStep, record
from jaxrl_rewards.rollout.contain import contain
from jaxrl_rewards.rollout.select import select

MODES = ("fresh", "pool", "cached")


@record
class AutoResetParams:
    """The inner world's params and, in mode "pool", the initial states that resets draw from."""

    env: Any
    pool: Any


@record
class AutoResetState:
    """The inner state and, in mode "cached", the episode's first state and observation."""

    inner: Any
    first: Any


@record
class AutoResetDraw:
    """What chance gives one step: the world's key, and where an episode would begin.

    That is a state and its observation in mode "fresh", an index into the pool in mode "pool",
    and () in mode "cached".
    """

    key: jax.Array
    start: Any


class AutoReset:
    """Starts a new episode in the step that ends one; `final_obs` keeps the true successor.

    Modes: "fresh" resets with a new key each time; "pool" draws from `pool_size` initial states
    that `prepare` samples (call it once per update: cheap for worlds whose reset is dear);
    "cached" repeats each world's first state for ever (what brax does; for parity only).

    A world that breaks (an observation that is not finite) is contained: the step counts
    as terminated, its reward terms as not applicable, and a new episode begins.

    `params` of `reset` and `step` are what `prepare(key, params)` returns.
    """

    def __init__(self, env: Env, mode: str = "fresh", pool_size: int = 64):
        if mode not in MODES:
            raise ValueError(f"auto-reset mode {mode!r} is unknown; choose one of {MODES}")
        if pool_size < 1:
            raise ValueError(f"pool_size must be at least 1, got {pool_size}")
        self.env, self.mode, self.pool_size = env, mode, pool_size
        self.spec: EnvSpec = env.spec

    def default_params(self) -> AutoResetParams:
        """Default params of the inner world, with a pool from a fixed key."""
        return self.prepare(jax.random.key(0), self.env.default_params())

    def prepare(self, key: jax.Array, params: Any) -> AutoResetParams:
        """Wrap the inner world's params; samples the pool where the mode has one."""
        if self.mode != "pool":
            return AutoResetParams(env=params, pool=())
        keys = jax.random.split(key, self.pool_size)
        return AutoResetParams(
            env=params, pool=jax.vmap(self.env.reset, in_axes=(0, None))(keys, params)
        )

    def alive(self, timestep: TimeStep) -> Bool[Array, "..."]:
        """Always: an episode that ends is followed by another."""
        return jnp.ones_like(timestep.terminated)

    def reset(self, key: jax.Array, params: AutoResetParams) -> tuple[AutoResetState, TimeStep]:
        """Start the first episode."""
        state, timestep = self.env.reset(key, params.env)
        timestep = contain(timestep)
        first = (state, timestep) if self.mode == "cached" else ()
        return AutoResetState(inner=state, first=first), timestep

    def step(
        self, key: jax.Array, state: AutoResetState, action: Any, params: AutoResetParams
    ) -> tuple[AutoResetState, TimeStep]:
        """Step, and where the episode ended continue from a new initial state."""
        return self.advance(self.draw(jax.random.split(key), params), state, action, params)

    def draw(self, keys: jax.Array, params: AutoResetParams) -> AutoResetDraw:
        """What chance gives one step, whatever the state, from two keys `[2]`.

        `step` with a key is `advance` with the draw of that key's split. Drawing for all steps of
        a rollout at once is faster than inside its loop.
        """
        key_step, key_reset = keys
        if self.mode == "cached":
            return AutoResetDraw(key=key_step, start=())
        if self.mode == "pool":
            index = jax.random.randint(key_reset, (), 0, self.pool_size)
            return AutoResetDraw(key=key_step, start=index)
        state, timestep = self.env.reset(key_reset, params.env)
        return AutoResetDraw(key=key_step, start=(state, contain(timestep).obs))

    def advance(
        self, draw: AutoResetDraw, state: AutoResetState, action: Any, params: AutoResetParams
    ) -> tuple[AutoResetState, TimeStep]:
        """`step` with what was drawn before."""
        inner, timestep = self.env.step(draw.key, state.inner, action, params.env)
        new_inner, new_obs = self._start(draw, state, params)
        timestep = contain(timestep)
        done = timestep.done
        timestep = timestep.replace(obs=select(done, new_obs, timestep.obs), final_obs=timestep.obs)
        return state.replace(inner=select(done, new_inner, inner)), timestep

    def _start(
        self, draw: AutoResetDraw, state: AutoResetState, params: AutoResetParams
    ) -> tuple[Any, Any]:
        """State and observation with which a new episode begins."""
        if self.mode == "fresh":
            return draw.start
        if self.mode == "cached":
            inner, timestep = state.first
        else:
            inner, timestep = jax.tree.map(lambda leaf: leaf[draw.start], params.pool)
        return inner, contain(timestep).obs
