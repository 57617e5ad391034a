"""What is wrong with a world, in one sentence, before anything is compiled."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.env import EnvSpec
from jaxrl_rewards.core.records import TimeStep
from jaxrl_rewards.core.spaces import Box, DictSpace, Discrete, MultiDiscrete

ADAPTERS = {
    "gymnasium": "it runs in Python, outside jit; use a world of envs.names()",
    "gymnax": "adapt it, jaxrl_envs.adapters.from_gymnax(name)",
    "brax": "adapt it, jaxrl_envs.adapters.from_brax(name)",
    "craftax": "adapt it, jaxrl_envs.adapters.from_craftax(name)",
}
METHODS = {
    "default_params": "default_params()",
    "reset": "reset(key, params) -> (state, TimeStep)",
    "step": "step(key, state, action, params) -> (state, TimeStep)",
}


def check_env(env: Any, params: Any = None, *, run: bool = False) -> None:
    """Raise where `env` does not keep the contract of a world (`jaxrl_rewards.core.Env`).

    Traces `reset` and `step` without compiling or running them. With `run`, ten random steps are
    taken as well and the numbers they show are compared with the spaces.

    Args:
      env: what should be a world.
      params: its params; `env.default_params()` when None.
      run: whether to take steps.

    Raises:
      TypeError, ValueError: one sentence that names what was found and what to do.
    """
    _check_instance(env)
    spec = env.spec
    _check_spec(spec)
    own = params is None
    params = _settled(env.default_params() if own else params)
    reward = getattr(params, "reward", None)
    if callable(reward) and not hasattr(reward, "evaluate"):
        raise TypeError(
            f"{spec.name}: params.reward is the plain function "
            f"{getattr(reward, '__name__', reward)!r}; wrap it: rewards.reward_term(function)"
        )
    key = jax.eval_shape(lambda: jax.random.key(0))
    state, first = _traced(env, "reset", key, params)
    action = jax.eval_shape(spec.action_space.sample, key)
    after, following = _traced(env, "step", key, state, action, params)
    for name, timestep in (("reset", first), ("step", following)):
        _check_timestep(spec, name, timestep)
    if own and set(first.terms) != set(spec.term_names):
        raise ValueError(
            f"{spec.name}: spec.term_names {sorted(spec.term_names)} must name the default "
            f"reward's terms, which are {sorted(first.terms)}"
        )
    _check_same(spec, "state", state, after)
    _check_same(spec, "TimeStep", first, following)
    _check_valid_actions(spec, first.obs)
    if run:
        _check_numbers(env, params)


def _settled(params: Any) -> Any:
    """The params with rewards whose schedules are resolved."""

    def scheduled(node: Any) -> bool:
        return hasattr(node, "at") and hasattr(node, "evaluate")

    return jax.tree.map(
        lambda node: node.at(0) if scheduled(node) else node, params, is_leaf=scheduled
    )


def _check_instance(env: Any) -> None:
    if isinstance(env, str):
        raise TypeError(f"a world is needed, got the name {env!r}; make it: envs.make({env!r})")
    if isinstance(env, type):
        raise TypeError(
            f"a world is needed, got the class {env.__name__}; call it: {env.__name__}()"
        )
    package = type(env).__module__.split(".")[0]
    if package in ADAPTERS and not isinstance(getattr(env, "spec", None), EnvSpec):
        raise TypeError(f"{type(env).__name__} is a world of {package}: {ADAPTERS[package]}")
    for name, signature in METHODS.items():
        if not callable(getattr(env, name, None)):
            raise TypeError(
                f"{type(env).__name__} is no world: it has no method {signature}; "
                "see jaxrl_rewards.core.Env"
            )
    if not isinstance(getattr(env, "spec", None), EnvSpec):
        raise TypeError(
            f"{type(env).__name__}.spec must be an EnvSpec, got {getattr(env, 'spec', None)!r}"
        )


def _check_spec(spec: EnvSpec) -> None:
    for name in ("observation_space", "action_space"):
        space = getattr(spec, name)
        if not isinstance(space, Box | Discrete | MultiDiscrete | DictSpace):
            raise TypeError(
                f"{spec.name}: spec.{name} must be a Box, Discrete, MultiDiscrete or DictSpace, "
                f"got {space!r}"
            )
    if not isinstance(spec.term_names, tuple):
        raise TypeError(
            f"{spec.name}: spec.term_names must be a tuple of names, got {spec.term_names!r}"
        )
    if not isinstance(spec.max_steps, int | np.integer) or spec.max_steps < 1:
        raise ValueError(f"{spec.name}: spec.max_steps must be at least 1, got {spec.max_steps!r}")
    try:
        hash(spec)
    except TypeError as error:
        raise TypeError(
            f"{spec.name}: the spec must be hashable ({error}); use tuples, not lists or arrays"
        ) from None


def _traced(env: Any, method: str, *arguments: Any) -> tuple[Any, TimeStep]:
    """The shapes that a method gives; its own errors say which arguments it was given."""
    name = env.spec.name
    try:
        out = jax.eval_shape(getattr(env, method), *arguments)
    except Exception as error:
        raise TypeError(
            f"{name}: {METHODS[method]} fails when called in that order: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error
    if not (isinstance(out, tuple) and len(out) == 2):
        given = f"{len(out)} values" if isinstance(out, tuple) else type(out).__name__
        raise TypeError(f"{name}: {method} must return (state, TimeStep), it returns {given}")
    state, timestep = out
    if isinstance(state, TimeStep):
        raise TypeError(f"{name}: {method} returns (TimeStep, state); swap them: (state, TimeStep)")
    if not isinstance(timestep, TimeStep):
        raise TypeError(
            f"{name}: {method} must return (state, TimeStep), its second value is a "
            f"{type(timestep).__name__}; build a jaxrl_rewards.core.TimeStep"
        )
    return state, timestep


def _check_timestep(spec: EnvSpec, method: str, timestep: TimeStep) -> None:
    for part in ("obs", "final_obs"):
        _check_element(spec, f"{method}'s {part}", spec.observation_space, getattr(timestep, part))
    wanted = {"reward": jnp.float32, "terminated": bool, "truncated": bool, "chosen": bool}
    for name, dtype in wanted.items():
        value = getattr(timestep, name)
        _check_scalar(spec, f"{method}'s {name}", value, dtype)
    for name, dtype in (("terms", jnp.float32), ("applicable", bool)):
        found = getattr(timestep, name)
        if not isinstance(found, dict):
            raise TypeError(
                f"{spec.name}: {method}'s {name} must be a dict by term, got {type(found).__name__}"
            )
        for term, value in found.items():
            _check_scalar(spec, f"{method}'s {name}[{term!r}]", value, dtype)
    if set(timestep.terms) != set(timestep.applicable):
        raise ValueError(
            f"{spec.name}: {method}'s terms {sorted(timestep.terms)} and applicable "
            f"{sorted(timestep.applicable)} must have the same names"
        )


def _check_scalar(spec: EnvSpec, what: str, value: Any, dtype: Any) -> None:
    shape, found = np.shape(value), getattr(value, "dtype", np.result_type(type(value)))
    if shape != () or found != jnp.dtype(dtype):
        raise TypeError(
            f"{spec.name}: {what} must be a {jnp.dtype(dtype).name} scalar, got "
            f"{found}{list(shape)}"
        )


def _check_element(spec: EnvSpec, what: str, space: Any, value: Any) -> None:
    """Shapes and dtypes of an observation against its space."""
    if isinstance(space, DictSpace):
        names = {name for name, _ in space.spaces}
        if not isinstance(value, dict) or set(value) != names:
            found = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise TypeError(
                f"{spec.name}: {what} must be a dict with the parts {sorted(names)}, got {found}"
            )
        for name, sub in space.spaces:
            _check_element(spec, f"{what}[{name!r}]", sub, value[name])
        return
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape != tuple(space.shape) or dtype != jnp.dtype(space.dtype):
        given = type(value).__name__ if shape is None else f"{dtype}{list(shape)}"
        raise TypeError(
            f"{spec.name}: {what} must be {jnp.dtype(space.dtype).name}{list(space.shape)} as its "
            f"observation_space says, got {given}"
        )


def _check_same(spec: EnvSpec, what: str, first: Any, following: Any) -> None:
    """`reset` and `step` must give the same structure, or no loop can carry it."""
    if jax.tree.structure(first) != jax.tree.structure(following):
        if what == "TimeStep" and set(first.terms) != set(following.terms):
            raise ValueError(
                f"{spec.name}: the terms of reset {sorted(first.terms)} and of step "
                f"{sorted(following.terms)} must have the same names"
            )
        raise TypeError(
            f"{spec.name}: step changes the structure of the {what} that reset gives, from "
            f"{jax.tree.structure(first)} to {jax.tree.structure(following)}"
        )
    pairs = zip(jax.tree_util.tree_leaves_with_path(first), jax.tree.leaves(following), strict=True)
    for (path, old), new in pairs:
        if _described(old) != _described(new):
            raise TypeError(
                f"{spec.name}: step changes the {what}'s {jax.tree_util.keystr(path)} from "
                f"{_described(old)} to {_described(new)}"
            )


def _described(leaf: Any) -> str:
    dtype = getattr(leaf, "dtype", None)
    return f"{np.result_type(type(leaf)) if dtype is None else dtype}{list(np.shape(leaf))}"


def _check_valid_actions(spec: EnvSpec, obs: Any) -> None:
    if spec.valid_actions is None:
        return
    if not isinstance(spec.action_space, Discrete):
        raise ValueError(
            f"{spec.name}: valid_actions needs a Discrete action_space, got {spec.action_space}"
        )
    found = jax.eval_shape(spec.valid_actions, obs)
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    if shape != (spec.action_space.n,) or dtype != jnp.dtype(bool):
        raise TypeError(
            f"{spec.name}: valid_actions(obs) must give bool[{spec.action_space.n}], got "
            f"{dtype}{list(shape) if shape is not None else ''}"
        )


def _check_numbers(env: Any, params: Any, steps: int = 10) -> None:
    """Observations of ten random steps lie in their space and are finite."""
    spec = env.spec

    def step(carry: tuple, key: jax.Array) -> tuple[tuple, Any]:
        state, _ = carry
        key_action, key_step = jax.random.split(key)
        state, timestep = env.step(key_step, state, spec.action_space.sample(key_action), params)
        return (state, timestep), (timestep.obs, timestep.reward)

    def play(key: jax.Array) -> Any:
        state, first = env.reset(key, params)
        _, (obs, reward) = jax.lax.scan(step, (state, first), jax.random.split(key, steps))
        obs = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first.obs, obs)
        return obs, reward

    obs, reward = jax.jit(play)(jax.random.key(0))
    inside = np.asarray(jax.vmap(spec.observation_space.contains)(obs))
    if not inside.all():
        raise ValueError(
            f"{spec.name}: the observation of step {int(np.argmin(inside))} lies outside "
            f"{spec.observation_space}; widen the space or clip the observation"
        )
    if not np.isfinite(np.asarray(reward)).all():
        raise ValueError(
            f"{spec.name}: the reward of step {int(np.argmin(np.isfinite(reward))) + 1} is not "
            "finite; look for a division by 0 or a logarithm of 0"
        )
