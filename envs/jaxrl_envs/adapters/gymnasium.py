"""Our worlds behind gymnasium's interfaces, single and vector."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_envs.adapters.common import import_library
from jaxrl_rewards.core import Box, DictSpace, Discrete, Env, InputError, TimeStep
from jaxrl_rewards.core.spaces import Space

AUTORESET_MODES = ("next_step", "same_step")


def to_gymnasium(env: Env, params: Any = None, *, seed: int | None = None) -> Any:
    """One of our worlds as a `gymnasium.Env`; it runs jitted on the default device.

    `params` default to the world's. `seed` seeds the first `reset` that is given none; None draws
    a seed from the operating system, as gymnasium does. Observations are NumPy arrays, rewards
    floats; `info` holds the reward terms under "terms" and, of a world with `valid_actions`, the
    mask of valid actions under "action_mask" (int8 `[n]`, as `action_space.sample(mask)` takes it).
    InputError when gymnasium is missing.
    """
    gymnasium = import_library("gymnasium", "gymnasium")
    params = env.default_params() if params is None else params
    jit_reset, jit_step = jax.jit(env.reset), jax.jit(_split_then_step(env))
    first_seed = seed

    class FromOurs(gymnasium.Env):
        """Our world behind gymnasium's interface."""

        metadata: dict[str, Any] = {"render_modes": []}

        def __init__(self):
            self.observation_space = convert_space(env.spec.observation_space)
            self.action_space = convert_space(env.spec.action_space)
            self._first_seed = first_seed
            self._state = self._key = None

        def reset(self, *, seed: int | None = None, options: dict | None = None):
            """Start an episode; its randomness comes from gymnasium's generator."""
            super().reset(seed=self._first_seed if seed is None else seed)
            self._first_seed = None
            key, self._key = jax.random.split(_draw_key(self.np_random))
            self._state, timestep = jit_reset(key, params)
            return _to_numpy(timestep.obs), _mask_info(env, timestep.obs)

        def step(self, action: Any):
            """Take one step."""
            if self._state is None:
                raise gymnasium.error.ResetNeeded("call reset before step")
            action = _from_numpy(env.spec.action_space, action)
            self._key, self._state, timestep = jit_step(self._key, self._state, action, params)
            info = {"terms": {name: float(value) for name, value in timestep.terms.items()}}
            info |= _mask_info(env, timestep.obs)
            return (
                _to_numpy(timestep.obs),
                float(timestep.reward),
                bool(timestep.terminated),
                bool(timestep.truncated),
                info,
            )

    return FromOurs()


def to_gymnasium_vector(
    env: Env,
    num_envs: int,
    params: Any = None,
    *,
    seed: int | None = None,
    autoreset_mode: str = "next_step",
) -> Any:
    """One of our worlds as a `gymnasium.vector.VectorEnv` of `num_envs` copies under `vmap`.

    Auto-reset follows gymnasium >= 1.0. "next_step" (gymnasium's default): the step after an
    episode's end ignores the action, returns the new episode's first observation, reward 0 and no
    end. "same_step": the ending step returns the new episode's first observation, and the old
    one's last is in `info["final_obs"]` where `info["_final_obs"]`. `info["terms"]` holds the
    reward terms, each `[num_envs]`, `info["action_mask"]` (int8 `[num_envs, n]`) the valid actions
    of a world that has `valid_actions`. `reset(options={"reset_mask": mask})` resets some
    copies only. InputError when gymnasium is missing, the mode unknown or `num_envs` below 1.
    """
    vector = import_library("gymnasium.vector", "gymnasium")
    batch_space = import_library("gymnasium.vector.utils", "gymnasium").batch_space
    _check_vector(autoreset_mode, num_envs)
    params = env.default_params() if params is None else params
    same_step = autoreset_mode == "same_step"
    copies = _Copies(env, num_envs, params, same_step)
    first_seed = seed

    class VectorFromOurs(vector.VectorEnv):
        """Copies of our world behind gymnasium's vector interface."""

        metadata: dict[str, Any] = {
            "render_modes": [],
            "autoreset_mode": (
                vector.AutoresetMode.SAME_STEP if same_step else vector.AutoresetMode.NEXT_STEP
            ),
        }

        def __init__(self):
            self.num_envs = num_envs
            self.single_observation_space = convert_space(env.spec.observation_space)
            self.single_action_space = convert_space(env.spec.action_space)
            self.observation_space = batch_space(self.single_observation_space, num_envs)
            self.action_space = batch_space(self.single_action_space, num_envs)
            self._first_seed = first_seed

        def reset(self, *, seed: int | None = None, options: dict | None = None):
            """Start an episode in all copies, or in those of `options["reset_mask"]`."""
            super().reset(seed=self._first_seed if seed is None else seed)
            self._first_seed = None
            mask = (options or {}).get("reset_mask")
            obs = copies.reset(_draw_key(self.np_random), mask)
            return _to_numpy(obs), _mask_info(env, obs, batched=True)

        def step(self, actions: Any):
            """Take one step in every copy."""
            timestep = copies.step(_from_numpy(env.spec.action_space, actions))
            return (
                _to_numpy(timestep.obs),
                np.array(timestep.reward, np.float64),
                np.array(timestep.terminated),
                np.array(timestep.truncated),
                _vector_info(env, timestep, same_step),
            )

    return VectorFromOurs()


class _Copies:
    """Copies of a world with their keys and states, which `reset` and `step` move on."""

    def __init__(self, env: Env, count: int, params: Any, same_step: bool):
        self.count, self.params = count, params
        self._reset = jax.jit(_vector_reset(env, count))
        self._step = jax.jit(_vector_step(env, count, same_step))
        self._state = self._key = self._done = self._obs = None

    def reset(self, key: jax.Array, mask: Any = None) -> Any:
        """Start an episode in all copies, or in those of `mask` `[count]`: the observations."""
        key, self._key = jax.random.split(key)
        state, obs = self._reset(key, self.params)
        done = jnp.zeros((self.count,), bool)
        if mask is not None and self._state is not None:
            mask = jnp.asarray(_checked_mask(mask, self.count))
            state = _select(mask, state, self._state)
            obs = _select(mask, obs, self._obs)
            done = self._done & ~mask
        self._state, self._obs, self._done = state, obs, done
        return obs

    def step(self, actions: Any) -> TimeStep:
        """One step in every copy; ValueError before the first `reset`."""
        if self._state is None:
            raise ValueError("call reset before step")
        carry = (self._key, self._state, self._done)
        carry, timestep = self._step(carry, actions, self.params)
        self._key, self._state, self._done = carry
        self._obs = timestep.obs
        return timestep


def _check_vector(autoreset_mode: str, num_envs: int) -> None:
    if autoreset_mode not in AUTORESET_MODES:
        raise InputError(
            f"autoreset_mode {autoreset_mode!r} is unknown; choose one of {AUTORESET_MODES}"
        )
    if num_envs < 1:
        raise InputError(f"num_envs must be at least 1, got {num_envs}")


def _vector_info(env: Env, timestep: TimeStep, same_step: bool) -> dict[str, Any]:
    """Terms and valid actions of all copies and, where copies have started anew in this step, the
    end of their last episode."""
    terms = {name: np.array(value) for name, value in timestep.terms.items()}
    info: dict[str, Any] = {"terms": terms, **_mask_info(env, timestep.obs, batched=True)}
    ended = np.array(timestep.terminated | timestep.truncated)
    if same_step and ended.any():
        info["final_obs"] = _to_numpy(timestep.final_obs)
        info["final_info"] = {"terms": terms}
        info["_final_obs"] = info["_final_info"] = ended
    return info


def convert_space(space: Space) -> Any:
    """One of our spaces as gymnasium's."""
    spaces = import_library("gymnasium.spaces", "gymnasium")
    if isinstance(space, DictSpace):
        return spaces.Dict({name: convert_space(sub) for name, sub in space.spaces})
    if isinstance(space, Discrete):
        return spaces.Discrete(space.n)
    if isinstance(space, Box):
        low, high = space.bounds()
        dtype = np.dtype(space.dtype)
        return spaces.Box(low.astype(dtype), high.astype(dtype), space.shape, dtype)
    return spaces.MultiDiscrete(np.asarray(space.nvec))


def _mask_info(env: Env, obs: Any, batched: bool = False) -> dict[str, np.ndarray]:
    """The valid actions at an observation, or nothing where all are."""
    valid = env.spec.valid_actions
    if valid is None:
        return {}
    return {"action_mask": np.asarray((jax.vmap(valid) if batched else valid)(obs), np.int8)}


def _split_then_step(env: Env) -> Any:
    def step(key: jax.Array, state: Any, action: Any, params: Any):
        key_step, key = jax.random.split(key)
        return key, *env.step(key_step, state, action, params)

    return step


def _vector_reset(env: Env, count: int) -> Any:
    def reset(key: jax.Array, params: Any):
        keys = jax.random.split(key, count)
        state, timestep = jax.vmap(env.reset, in_axes=(0, None))(keys, params)
        return state, timestep.obs

    return reset


def _vector_step(env: Env, count: int, same_step: bool) -> Any:
    batched_reset = jax.vmap(env.reset, in_axes=(0, None))
    batched_step = jax.vmap(env.step, in_axes=(0, 0, 0, None))

    def step(carry: tuple, actions: Any, params: Any):
        key, state, was_done = carry
        key, key_step, key_reset = jax.random.split(key, 3)
        nxt, timestep = batched_step(jax.random.split(key_step, count), state, actions, params)
        fresh, first = batched_reset(jax.random.split(key_reset, count), params)
        if same_step:
            done = timestep.done
            timestep = timestep.replace(obs=_select(done, first.obs, timestep.obs))
            return (key, _select(done, fresh, nxt), jnp.zeros_like(done)), timestep
        first = first.replace(info=timestep.info)
        timestep = _select(was_done, first, timestep)
        return (key, _select(was_done, fresh, nxt), timestep.done), timestep

    return step


def _select(mask: jax.Array, if_true: Any, if_false: Any) -> Any:
    """`where` along the first axis of every leaf."""

    def pick(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, if_true, if_false)


def _draw_key(generator: np.random.Generator) -> jax.Array:
    return jax.random.key(int(generator.integers(2**31)))


def _checked_mask(mask: Any, count: int) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.shape != (count,) or mask.dtype != np.bool_:
        raise InputError(
            f"reset_mask must be a bool array of shape ({count},), got {mask.dtype} {mask.shape}"
        )
    return mask


def _to_numpy(tree: Any) -> Any:
    return jax.tree.map(np.array, tree)


def _from_numpy(space: Space, action: Any) -> Any:
    if isinstance(space, DictSpace):
        return {name: _from_numpy(sub, action[name]) for name, sub in space.spaces}
    return np.asarray(action, np.dtype(space.dtype))
