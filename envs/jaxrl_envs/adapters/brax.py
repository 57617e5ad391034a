"""brax worlds as ours, and ours as brax's."""

from __future__ import annotations

import math
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
    Env,
    EnvSpec,
    InputError,
    TimeStep,
    first_timestep,
)
from jaxrl_rewards.core.spaces import Space

FORBIDDEN_WRAPPERS = ("AutoResetWrapper", "VmapWrapper", "DomainRandomizationVmapWrapper")


def from_brax(env: Any, *, episode_length: int = 1000, **kwargs: Any) -> BraxEnv:
    """A brax world (name or instance) under our contract.

    `episode_length` is the default time limit (`params.max_steps`, truncation). An instance
    may be wrapped in brax's `EpisodeWrapper`; its limit then truncates too. InputError for
    batched or self-resetting instances, for an unknown name, and when brax is missing. `kwargs`
    go to the world's constructor with a name (e.g. `backend="spring"`).
    """
    envs = import_library("brax.envs", "brax")
    if episode_length < 1:
        raise InputError(f"episode_length must be at least 1, got {episode_length}")
    if isinstance(env, str):
        try:
            env = envs.get_environment(env, **kwargs)
        except KeyError as error:
            raise InputError(f"brax has no world {env!r}; give one of its names") from error
    chain, node = [], env
    while node is not None:
        chain.append(type(node).__name__)
        node = node.__dict__.get("env")
    for wrapper in FORBIDDEN_WRAPPERS:
        if wrapper in chain:
            raise InputError(
                f"the brax world is wrapped in {wrapper}; pass it single and without auto-reset"
            )
    return BraxEnv(env, episode_length)


class BraxEnv:
    """See `from_brax`.

    - Observation: brax's float32 vector or dict. Action: float32 in ±1; non-finite entries
      count as 0.
    - Reward: `native`, what brax pays.
    - Termination: brax's `done`, less the part that is a time limit. Truncation: `params.max_steps`
      and, with an `EpisodeWrapper`, its limit.
    """

    differentiable = False

    def __init__(self, env: Any, episode_length: int):
        self._env = env
        self._template = jax.eval_shape(env.reset, jax.random.PRNGKey(0))
        self.spec = EnvSpec(
            name=f"brax/{type(env.unwrapped).__name__}",
            observation_space=_unbounded(self._template.obs),
            action_space=Box(-1.0, 1.0, (env.action_size,)),
            max_steps=episode_length,
            term_names=("native",),
        )

    def default_params(self) -> ForeignParams:
        """The time limit and brax's own reward."""
        return ForeignParams(
            inner=(),
            max_steps=jnp.asarray(self.spec.max_steps, jnp.int32),
            reward=native_reward(),
        )

    def reset(self, key: jax.Array, params: ForeignParams) -> tuple[ForeignState, TimeStep]:
        """Start an episode."""
        inner = like(self._template, self._env.reset(_legacy_key(key)))
        return start_foreign(inner), first_timestep(inner.obs, params.reward.names, {})

    def step(
        self, key: jax.Array, state: ForeignState, action: Any, params: ForeignParams
    ) -> tuple[ForeignState, TimeStep]:
        """Take one step; brax's steps draw no randomness from `key`."""
        del key
        action = jnp.where(jnp.isfinite(action), action, 0.0)
        before = jax.tree.map(lambda leaf: leaf, state.inner)  # brax writes into the dicts it gets
        inner = like(self._template, self._env.step(before, action))
        done = inner.done > 0
        truncated = jnp.zeros_like(done)
        if "truncation" in inner.info:
            truncated = inner.info["truncation"] > 0
        return finish_foreign_step(
            state, action, inner, inner.obs, inner.reward, done & ~truncated, truncated, params
        )


def to_brax(env: Env, params: Any = None) -> Any:
    """One of our worlds as a `brax.envs.base.Env`, for brax's trainers.

    brax acts with a float vector in [-1, 1]: discrete actions become the index of the largest of
    `n` entries (of the valid ones, where the world has `valid_actions`), box actions are mapped
    linearly to their bounds (unbounded ones pass as they are). `done` is termination only: pass our
    limit, `env.spec.max_steps`, to the trainer as `episode_length`, which makes it a truncation
    there. Reward terms appear in `metrics`. Both kinds of key are taken. InputError when brax is
    missing, for action spaces other than Discrete and one-dimensional Box, and for observations
    that are no float vectors.
    """
    base = import_library("brax.envs.base", "brax")
    params = env.default_params() if params is None else params
    action_size, decode = _action_decoder(env.spec.action_space)
    observation_size = _observation_size(env.spec.observation_space)

    class FromOurs(base.Env):
        """Our world behind brax's interface."""

        def reset(self, rng: jax.Array) -> Any:
            """Start an episode; `rng` is a legacy or a typed key."""
            if not jnp.issubdtype(rng.dtype, jax.dtypes.prng_key):
                rng = jax.random.wrap_key_data(rng)
            key, carried = jax.random.split(rng)
            state, timestep = env.reset(key, params)
            info = {"key": jax.random.key_data(carried)}
            return self._state(state, timestep, {}, info)

        def step(self, state: Any, action: jax.Array) -> Any:
            """Take one step."""
            carried = jax.random.wrap_key_data(state.info["key"])
            key, carried = jax.random.split(carried)
            if env.spec.valid_actions is not None:
                action = jnp.where(env.spec.valid_actions(state.obs), action, -jnp.inf)
            inner, timestep = env.step(key, state.pipeline_state, decode(action), params)
            info = {**state.info, "key": jax.random.key_data(carried)}
            return self._state(inner, timestep, state.metrics, info)

        def _state(self, inner: Any, timestep: TimeStep, metrics: dict, info: dict) -> Any:
            return base.State(
                pipeline_state=inner,
                obs=timestep.obs,
                reward=timestep.reward,
                done=timestep.terminated.astype(jnp.float32),
                metrics={**metrics, **timestep.terms},  # brax's wrappers add their own
                info=info,
            )

        @property
        def observation_size(self) -> Any:
            """Length of the observation vector, or of each part."""
            return observation_size

        @property
        def action_size(self) -> int:
            """Length of the action vector."""
            return action_size

        @property
        def backend(self) -> str:
            """Not one of brax's physics engines."""
            return "jaxrl_envs"

    return FromOurs()


def _legacy_key(key: jax.Array) -> jax.Array:
    """A raw uint32[2] key drawn from a typed one, whatever its implementation."""
    return jax.random.bits(key, (2,), jnp.uint32)


def _unbounded(obs: Any) -> Space:
    if isinstance(obs, dict):
        return DictSpace.of(**{name: _unbounded(leaf) for name, leaf in obs.items()})
    return Box(-math.inf, math.inf, tuple(obs.shape), jnp.dtype(obs.dtype).type)


def _action_decoder(space: Space) -> tuple[int, Any]:
    if isinstance(space, Discrete):
        return space.n, lambda action: jnp.argmax(action).astype(jnp.int32)
    if isinstance(space, Box) and len(space.shape) == 1:
        low, high = space.bounds()
        bounded = np.isfinite(low) & np.isfinite(high)
        centre = np.where(bounded, (low + high) / 2, 0.0).astype(np.float32)
        half = np.where(bounded, (high - low) / 2, 1.0).astype(np.float32)
        return space.shape[
            0
        ], lambda action: centre + half * jnp.where(bounded, jnp.clip(action, -1.0, 1.0), action)
    raise InputError(f"brax cannot act in {space}; use Discrete or a one-dimensional Box")


def _observation_size(space: Space) -> Any:
    if isinstance(space, DictSpace):
        return {name: _observation_size(sub) for name, sub in space.spaces}
    if isinstance(space, Box) and len(space.shape) == 1:
        return space.shape[0]
    raise InputError(f"brax cannot observe {space}; wrap the world in FlattenObservation first")
