"""gymnax worlds as ours."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_envs.adapters.common import (
    ForeignParams,
    ForeignState,
    finish_foreign_step,
    import_library,
    like,
    native_reward,
    start_foreign,
)
from jaxrl_rewards.core import (
    Box,
    DictSpace,
    Discrete,
    EnvSpec,
    InputError,
    TimeStep,
    first_timestep,
)
from jaxrl_rewards.core.spaces import Space


def from_gymnax(env: Any, **kwargs: Any) -> GymnaxEnv:
    """A gymnax world (name or instance) under our contract.

    Time limits become truncation through `params.max_steps` (default: gymnax's own), so the value
    of the last state is bootstrapped. Reward terms see `ForeignState`s. `kwargs` go to
    `gymnax.make` with a name. InputError when gymnax is missing or does not know the name.
    """
    gymnax = import_library("gymnax", "gymnax")
    if isinstance(env, str):
        try:
            env, params = gymnax.make(env, **kwargs)
        except ValueError as error:
            known = ", ".join(sorted(gymnax.registered_envs))
            raise InputError(f"gymnax has no world {env!r}; it knows {known}") from error
        return GymnaxEnv(env, params)
    return GymnaxEnv(env, env.default_params)


class GymnaxEnv:
    """See `from_gymnax`.

    - Observation, action: gymnax's, spaces converted.
    - Reward: `native`, what gymnax pays.
    - Termination: gymnax's natural end. Truncation: `params.max_steps`.
    """

    differentiable = False

    def __init__(
        self, env: Any, params: Any, *, library: str = "gymnax", max_steps: int | None = None
    ):
        """`library` names the world; `max_steps` by default the params' own limit, if any."""
        self._env = env
        self._params = jax.tree.map(_strong, params)
        if max_steps is None:
            max_steps = int(getattr(params, "max_steps_in_episode", 2**31 - 1))
        self.spec = EnvSpec(
            name=f"{library}/{env.name}",
            observation_space=_convert_space(env.observation_space(params)),
            action_space=_convert_space(env.action_space(params)),
            max_steps=max_steps,
            term_names=("native",),
        )
        self._template = jax.eval_shape(env.reset_env, jax.random.key(0), self._params)

    def default_params(self) -> ForeignParams:
        """The library's default parameters."""
        return ForeignParams(
            inner=self._params,
            max_steps=jnp.asarray(self.spec.max_steps, jnp.int32),
            reward=native_reward(),
        )

    def reset(self, key: jax.Array, params: ForeignParams) -> tuple[ForeignState, TimeStep]:
        """Start an episode."""
        obs, inner = like(self._template, self._env.reset_env(key, params.inner))
        return start_foreign(inner), first_timestep(obs, params.reward.names, {})

    def step(
        self, key: jax.Array, state: ForeignState, action: Any, params: ForeignParams
    ) -> tuple[ForeignState, TimeStep]:
        """Take one step, without gymnax's auto-reset."""
        obs, inner, reward, terminated, *_ = self._env.step_env(
            key, state.inner, action, params.inner
        )
        obs, inner = like(self._template, (obs, inner))
        no = jnp.zeros((), bool)
        return finish_foreign_step(state, action, inner, obs, reward, terminated, no, params)


def _strong(leaf: Any) -> jax.Array:
    """`leaf` as an array of the same dtype that is never weakly typed."""
    array = jnp.asarray(leaf)
    return jax.lax.convert_element_type(array, array.dtype)


def _convert_space(space: Any) -> Space:
    """A gymnax space as one of ours; InputError for kinds we do not have."""
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete(int(space.n))
    if kind == "Box":
        low = np.broadcast_to(np.asarray(space.low, np.float64), space.shape)
        high = np.broadcast_to(np.asarray(space.high, np.float64), space.shape)
        return Box(_bound(low), _bound(high), tuple(space.shape), jnp.dtype(space.dtype).type)
    if kind == "Dict":
        return DictSpace.of(**{name: _convert_space(sub) for name, sub in space.spaces.items()})
    raise InputError(f"gymnax space {space!r} cannot be converted; use Discrete, Box or Dict")


def _bound(values: np.ndarray) -> float | tuple:
    """One number where all are equal, else nested tuples (hashable)."""
    flat = values.reshape(-1)
    if flat.size == 0 or np.all(flat == flat[0]):
        return float(flat[0]) if flat.size else 0.0
    return _tuples(values.tolist())


def _tuples(nested: Any) -> Any:
    return tuple(_tuples(item) for item in nested) if isinstance(nested, list) else nested
