"""Wrappers that keep the contract of a world, its params included.

Each takes the inner world's params unchanged, so `params.reward` stays where it was.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxrl_rewards.core import Box, DictSpace, Discrete, Env, EnvSpec, TimeStep, record
from jaxrl_rewards.core.spaces import flat_size


class Wrapper:
    """Passes everything on to the inner world."""

    def __init__(self, env: Env, **changes: Any):
        self.env = env
        self.spec: EnvSpec = dataclasses.replace(env.spec, **changes)
        self.differentiable = getattr(env, "differentiable", False)

    def default_params(self) -> Any:
        """The inner world's."""
        return self.env.default_params()

    def reset(self, key: jax.Array, params: Any) -> tuple[Any, TimeStep]:
        """The inner world's."""
        return self.env.reset(key, params)

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, TimeStep]:
        """The inner world's."""
        return self.env.step(key, state, action, params)


@record
class TimeLimitState:
    """The inner state and the steps taken."""

    inner: Any
    time: Int[Array, ""]


class TimeLimit(Wrapper):
    """Truncates after `max_steps` steps, for worlds without a limit or with a longer one."""

    def __init__(self, env: Env, max_steps: int):
        if max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {max_steps}")
        super().__init__(env, max_steps=min(max_steps, env.spec.max_steps))
        self._limit = max_steps

    def reset(self, key: jax.Array, params: Any) -> tuple[TimeLimitState, TimeStep]:
        """Reset and start the clock."""
        inner, timestep = self.env.reset(key, params)
        return TimeLimitState(inner=inner, time=jnp.zeros((), jnp.int32)), timestep

    def step(
        self, key: jax.Array, state: TimeLimitState, action: Any, params: Any
    ) -> tuple[TimeLimitState, TimeStep]:
        """Step and truncate when the time is up."""
        inner, timestep = self.env.step(key, state.inner, action, params)
        time = state.time + 1
        truncated = timestep.truncated | (time >= self._limit)
        return TimeLimitState(inner=inner, time=time), timestep.replace(truncated=truncated)


class FlattenObservation(Wrapper):
    """Turns box, discrete (one-hot) and dict observations into one float32 vector.

    Parts of a dict follow each other in sorted order of their names.
    """

    def __init__(self, env: Env):
        space = env.spec.observation_space
        low, high = _flat_bounds(space)
        changes: dict[str, Any] = {"observation_space": Box(low, high, (len(low),))}
        if env.spec.valid_actions is not None:
            changes["valid_actions"] = _OfFlat(space, env.spec.valid_actions)
        super().__init__(env, **changes)
        self._space = space

    def reset(self, key: jax.Array, params: Any) -> tuple[Any, TimeStep]:
        """Reset."""
        state, timestep = self.env.reset(key, params)
        return state, self._flatten(timestep)

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, TimeStep]:
        """Step."""
        state, timestep = self.env.step(key, state, action, params)
        return state, self._flatten(timestep)

    def _flatten(self, timestep: TimeStep) -> TimeStep:
        return timestep.replace(
            obs=_flat_value(self._space, timestep.obs),
            final_obs=_flat_value(self._space, timestep.final_obs),
        )


@dataclasses.dataclass(frozen=True)
class _OfFlat:
    """`valid_actions` of a world whose observations are shown flat."""

    space: Any
    inner: Any

    def __call__(self, obs: Array) -> Array:
        return self.inner(_full_value(self.space, obs))


class ScaleAction(Wrapper):
    """Takes actions in [-1, 1] and maps them linearly to the bounds of a finite Box."""

    def __init__(self, env: Env):
        space = env.spec.action_space
        if not isinstance(space, Box) or not all(np.isfinite(b).all() for b in space.bounds()):
            raise ValueError(f"ScaleAction needs a Box with finite bounds as actions, got {space}")
        super().__init__(env, action_space=Box(-1.0, 1.0, space.shape, space.dtype))
        low, high = space.bounds()
        self._centre = np.asarray((low + high) / 2, np.float32)
        self._half = np.asarray((high - low) / 2, np.float32)

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, TimeStep]:
        """Step with the mapped action."""
        return self.env.step(key, state, self._centre + self._half * action, params)


class ActionRepeat(Wrapper):
    """Applies each action `repeats` times, or until the episode ends; rewards and terms add up.

    A step counts as chosen where any of its inner steps was. In a world with `valid_actions` an
    action must be valid at the observation before the first of the inner steps.
    """

    def __init__(self, env: Env, repeats: int):
        if repeats < 1:
            raise ValueError(f"repeats must be at least 1, got {repeats}")
        super().__init__(env, max_steps=math.ceil(env.spec.max_steps / repeats))
        self._repeats = repeats

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, TimeStep]:
        """Take up to `repeats` inner steps."""
        keys = jax.random.split(key, self._repeats)
        first = self.env.step(keys[0], state, action, params)

        def again(carry: tuple[Any, TimeStep], step_key: jax.Array):
            state, total = carry
            nxt, new = self.env.step(step_key, state, action, params)
            merged = new.replace(
                reward=total.reward + new.reward,
                terms=jax.tree.map(jnp.add, total.terms, new.terms),
                applicable=jax.tree.map(jnp.logical_or, total.applicable, new.applicable),
                chosen=total.chosen | new.chosen,
            )
            keep = lambda old, fresh: jnp.where(total.done, old, fresh)  # noqa: E731
            return jax.tree.map(keep, (state, total), (nxt, merged)), None

        return jax.lax.scan(again, first, keys[1:])[0]


def _flat_bounds(space: Any) -> tuple[tuple, tuple]:
    if isinstance(space, DictSpace):
        parts = [_flat_bounds(sub) for _, sub in space.spaces]
        return sum((p[0] for p in parts), ()), sum((p[1] for p in parts), ())
    if isinstance(space, Discrete):
        return (0.0,) * space.n, (1.0,) * space.n
    if isinstance(space, Box):
        low, high = space.bounds()
        return tuple(low.reshape(-1).tolist()), tuple(high.reshape(-1).tolist())
    size = flat_size(space)
    return (0.0,) * size, tuple(float(n - 1) for n in space.nvec)


def _flat_value(space: Any, value: Any) -> Array:
    if isinstance(space, DictSpace):
        return jnp.concatenate([_flat_value(sub, value[name]) for name, sub in space.spaces])
    if isinstance(space, Discrete):
        return jax.nn.one_hot(value, space.n, dtype=jnp.float32)
    return jnp.reshape(value, (-1,)).astype(jnp.float32)


def _full_value(space: Any, flat: Array) -> Any:
    """The element of `space` whose `_flat_value` is `flat`."""
    if isinstance(space, DictSpace):
        widths = [len(_flat_bounds(sub)[0]) for _, sub in space.spaces]
        parts = jnp.split(flat, np.cumsum(widths)[:-1])
        pairs = zip(space.spaces, parts, strict=True)
        return {name: _full_value(sub, part) for (name, sub), part in pairs}
    if isinstance(space, Discrete):
        return jnp.argmax(flat).astype(jnp.int32)
    return jnp.reshape(flat, space.shape).astype(space.dtype)
