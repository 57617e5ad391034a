"""What every world must do: checks to call on your own.

In pytest, for a world `MyWorld`:

    from jaxrl_rewards.testing import conformance

    @pytest.fixture(scope="module")
    def subject():
        return conformance.Subject(MyWorld())  # programs are compiled once for all checks

    @pytest.mark.parametrize("check", conformance.CHECKS)
    def test_my_world_conforms(subject, check):
        conformance.CHECKS[check](subject)

or all at once, `conformance.conform(MyWorld())`. A check that fails raises AssertionError (or
what `check_env` raises). Worlds whose `reset` always shows the same set `deterministic_reset` to
True; those whose reward has gradients set `differentiable` to True and are checked for it.

The state must count its steps in a field `time`, and `params.max_steps` must be an int32 array, as
in all worlds of the registry.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core import Box, DictSpace, Env, check_env
from jaxrl_rewards.rollout.autoreset import AutoReset

STEPS, BATCH = 50, 4


class Subject:
    """A world, its params, and the programs that the checks share (compiled once).

    `tolerance` is what floats of one rollout may differ by when compiled in other ways.
    """

    def __init__(self, env: Env, params: Any = None, *, tolerance: float = 1e-4):
        self.env, self.tolerance = env, tolerance
        self.params = env.default_params() if params is None else params
        self.traces = 0
        self.reset = jax.jit(env.reset)
        self.step = jax.jit(self._counted_step)

    def _counted_step(self, key: jax.Array, state: Any, action: Any, params: Any) -> Any:
        self.traces += 1
        return self.env.step(key, state, action, params)

    def short(self, steps: int) -> Any:
        """Params with a time limit of `steps`, same structure and dtypes."""
        return self.params.replace(max_steps=jnp.asarray(steps, jnp.int32))

    @functools.cached_property
    def runs(self) -> Callable:
        """`(keys [B], params) -> (first, last state, [B, T] time steps)` under random actions."""
        return jax.jit(jax.vmap(lambda key, params: rollout(self.env, key, params), (0, None)))

    @functools.cached_property
    def sample_run(self) -> Any:
        """A batch of rollouts under the subject's params, as NumPy."""
        keys = jax.random.split(jax.random.key(3), BATCH)
        return jax.device_get(self.runs(keys, self.params))


def conform(env: Env, params: Any = None, *, tolerance: float = 1e-4) -> None:
    """Run every check on one world; AssertionError, TypeError or ValueError at the first fault."""
    subject = Subject(env, params, tolerance=tolerance)
    for check in CHECKS.values():
        check(subject)


def rollout(env: Env, key: jax.Array, params: Any, steps: int = STEPS) -> Any:
    """One world under the random policy, past the end of its episode too."""
    key_reset, key_action, key_step = jax.random.split(key, 3)
    state, first = env.reset(key_reset, params)

    def body(state, keys):
        action = env.spec.action_space.sample(keys[0])
        return env.step(keys[1], state, action, params)

    keys = (jax.random.split(key_action, steps), jax.random.split(key_step, steps))
    last, timesteps = jax.lax.scan(body, state, keys)
    return first, last, timesteps


def check_contract(subject: Subject) -> None:
    """What `check_env` reads from shapes and types alone."""
    check_env(subject.env, subject.params)


def check_transformations(subject: Subject, steps: int = 10) -> None:
    """Single worlds stepped one call at a time agree with a batch under `vmap` and `scan`."""
    row = 1
    single = jax.tree.map(lambda leaf: leaf[row], subject.sample_run)
    key = jax.random.split(jax.random.key(3), BATCH)[row]
    key_reset, key_action, key_step = jax.random.split(key, 3)
    state, first = subject.reset(key_reset, subject.params)
    assert_close(jax.device_get(first), single[0])
    action_keys = jax.random.split(key_action, STEPS)
    step_keys = jax.random.split(key_step, STEPS)
    actions = jax.vmap(subject.env.spec.action_space.sample)(action_keys)
    for now in range(steps):
        action = jax.tree.map(lambda leaf: leaf[now], actions)  # noqa: B023
        state, timestep = subject.step(step_keys[now], state, action, subject.params)
        expected = jax.tree.map(lambda leaf: leaf[now], single[2])  # noqa: B023
        assert_close(jax.device_get(timestep), expected, subject.tolerance)


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-4) -> None:
    """Equal structure; integers and booleans equal, floats within `tolerance`, keys ignored."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            continue
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def check_constant_types(subject: Subject) -> None:
    """Structure, shapes, dtypes and strength of types never change; `step` is traced once."""
    env, params = subject.env, subject.params
    key = jax.random.key(0)
    reset = jax.eval_shape(env.reset, key, params)
    action = env.spec.action_space.sample(key)
    step = jax.eval_shape(env.step, key, reset[0], action, params)
    assert jax.tree.structure(reset) == jax.tree.structure(step)
    assert signature(reset) == signature(step)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((reset, step)))
    assert not any(jnp.asarray(leaf).aval.weak_type for leaf in jax.tree.leaves(params))
    state, _ = subject.reset(key, params)
    for _ in range(3):
        state, _ = subject.step(key, state, action, params)
    assert subject.traces == 1


def signature(tree: Any) -> list[tuple]:
    """Shape, dtype and strength of type of each leaf."""
    return [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(tree)]


def check_values(subject: Subject) -> None:
    """Observations in space while the episode lasts, rewards finite, terms as declared."""
    spec, params = subject.env.spec, subject.params
    first, _, timesteps = subject.sample_run
    assert np.all(spec.observation_space.contains(first.obs))
    done = timesteps.terminated | timesteps.truncated
    ended_before = np.cumsum(done, axis=1) - done > 0
    inside = jax.vmap(jax.vmap(spec.observation_space.contains))(timesteps.obs)
    assert np.all(np.asarray(inside) | ended_before)
    action = spec.action_space.sample(jax.random.key(1))
    assert np.all(spec.action_space.contains(action))
    assert timesteps.reward.dtype == np.float32
    assert np.all(np.isfinite(timesteps.reward))
    assert set(timesteps.terms) == set(timesteps.applicable) == set(spec.term_names)
    assert params.reward.names == spec.term_names
    weights = dict(zip(params.reward.names, params.reward.weights, strict=True))
    total = sum(
        float(weights[name]) * np.where(timesteps.applicable[name], timesteps.terms[name], 0)
        for name in spec.term_names
    )
    np.testing.assert_allclose(timesteps.reward, total, rtol=1e-5, atol=1e-5)
    assert np.all(first.reward == 0) and not np.any(first.terminated | first.truncated)
    for name in spec.term_names:
        assert np.all(np.isfinite(timesteps.terms[name]))


def check_determinism(subject: Subject) -> None:
    """One key gives the same bits; other keys give other starts, where starts are random."""
    keys = jax.random.split(jax.random.key(3), BATCH)
    assert digest(subject.runs(keys, subject.params)) == digest(subject.sample_run)
    if not getattr(subject.env, "deterministic_reset", False):
        starts = {
            digest(subject.reset(k, subject.params))
            for k in jax.random.split(jax.random.key(11), 8)
        }
        assert len(starts) > 1


def digest(tree: Any) -> str:
    """SHA-256 of all leaves, bit for bit."""
    result = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        result.update(np.asarray(leaf).tobytes())
    return result.hexdigest()


def fingerprint(subject: Subject) -> str:
    """Digest of rollouts from fixed keys, to compare between processes."""
    return digest(subject.sample_run)


def check_time_limit(subject: Subject, limit: int = 7) -> None:
    """`truncated` exactly from step `max_steps` on, whatever the limit that params carry."""
    assert int(subject.params.max_steps) == subject.env.spec.max_steps
    keys = jax.random.split(jax.random.key(4), BATCH)
    _, _, timesteps = jax.device_get(subject.runs(keys, subject.short(limit)))
    ended = np.cumsum(timesteps.terminated, axis=1) - timesteps.terminated > 0
    expected = np.broadcast_to(np.arange(1, STEPS + 1) >= limit, ended.shape)
    assert np.all((timesteps.truncated == expected) | ended)
    assert np.all(timesteps.truncated[:, limit - 1] | ended[:, limit - 1])


def check_auto_reset(subject: Subject, limit: int = 3, steps: int = 12) -> None:
    """New episodes start by themselves; `final_obs` is the old one's; starts differ."""
    env = AutoReset(subject.env, "fresh")
    params = env.prepare(jax.random.key(0), subject.short(limit))
    key_reset, key_run = jax.random.split(jax.random.key(8))
    keys = jax.random.split(key_run, (steps, 2))

    @jax.jit
    def run(params):
        state, first = env.reset(key_reset, params)

        def body(state, pair):
            action = env.spec.action_space.sample(pair[0])
            nxt, timestep = env.step(pair[1], state, action, params)
            return nxt, (nxt, timestep)

        return first, jax.lax.scan(body, state, keys)[1]

    first, (states, timesteps) = jax.device_get(run(params))
    done = timesteps.terminated | timesteps.truncated
    assert done.any()
    assert np.all(states.inner.time[done] == 0) and np.all(states.inner.time[~done] > 0)
    assert np.all(states.inner.time <= limit)
    for obs, final in zip(
        jax.tree.leaves(timesteps.obs), jax.tree.leaves(timesteps.final_obs), strict=True
    ):
        assert np.array_equal(obs[~done], final[~done])
    if not getattr(subject.env, "deterministic_reset", False):
        starts = [jax.tree.map(lambda leaf: leaf[i], timesteps.obs) for i in np.flatnonzero(done)]  # noqa: B023
        assert len({digest(start) for start in [first.obs, *starts]}) > 1
    inside = jax.vmap(env.spec.observation_space.contains)(timesteps.final_obs)
    assert np.all(inside)


def check_bad_actions(subject: Subject) -> None:
    """NaN, infinite and out-of-range actions leave everything finite."""
    space = subject.env.spec.action_space
    key = jax.random.key(2)
    state, _ = subject.reset(key, subject.params)
    for action in bad_actions(space):
        nxt, timestep = subject.step(key, state, action, subject.params)
        for leaf in jax.tree.leaves((nxt, timestep)):
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                assert np.all(np.isfinite(leaf)), action
        assert np.all(subject.env.spec.observation_space.contains(timestep.obs))


def bad_actions(space: Any) -> list:
    """Actions of the right shape that lie outside `space`."""
    if isinstance(space, DictSpace):
        parts = {name: bad_actions(sub) for name, sub in space.spaces}
        count = min(len(values) for values in parts.values())
        return [{name: values[i] for name, values in parts.items()} for i in range(count)]
    if isinstance(space, Box):
        return [jnp.full(space.shape, bad, space.dtype) for bad in (np.nan, np.inf, -np.inf, 1e30)]
    return [jnp.full(space.shape, bad, jnp.int32) for bad in (-1, 10**6, -(2**31), 2**31 - 1)]


def check_batched_params(subject: Subject) -> None:
    """Two parameter sets in one batch give what each gives alone."""
    scaled = jax.tree.map(scale_float, subject.params)
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), subject.params, scaled)
    key = jax.random.key(6)
    state, _ = subject.reset(key, subject.params)
    action = subject.env.spec.action_space.sample(key)
    batched = jax.jit(jax.vmap(subject.env.step, (None, None, None, 0)))(key, state, action, both)
    for row, params in enumerate((subject.params, scaled)):
        alone = subject.step(key, state, action, params)
        assert_close(jax.tree.map(lambda leaf: leaf[row], batched), alone, 1e-5)  # noqa: B023


def scale_float(leaf: jax.Array) -> jax.Array:
    """Floats made a tenth smaller, other leaves as they are."""
    return leaf * np.float32(0.9) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def check_gradients(subject: Subject) -> None:
    """Reward and observation have finite gradients in params and state, where declared."""
    if not getattr(subject.env, "differentiable", False):
        return
    key = jax.random.key(7)
    state, _ = subject.reset(key, subject.params)
    action = subject.env.spec.action_space.sample(key)

    def objective(params, state):
        for _ in range(2):
            state, timestep = subject.env.step(key, state, action, params)
        total = timestep.reward
        for leaf in jax.tree.leaves(timestep.obs):
            total = total + jnp.sum(leaf.astype(jnp.float32))
        return total

    gradient = jax.jit(jax.grad(objective, argnums=(0, 1), allow_int=True))
    leaves = [
        leaf
        for leaf in jax.tree.leaves(gradient(subject.params, state))
        if leaf.dtype != jax.dtypes.float0
    ]
    assert leaves and all(np.all(np.isfinite(leaf)) for leaf in leaves)


def check_key_reuse(subject: Subject) -> None:
    """`reset` and `step` consume their key at most once (JAX's own check of typed keys)."""
    env, params = subject.env, subject.params

    def both(key_reset: jax.Array, key_step: jax.Array, action: Any) -> Any:
        state, _ = env.reset(key_reset, params)
        return env.step(key_step, state, action, params)

    action = env.spec.action_space.sample(jax.random.key(1))
    with jax.debug_key_reuse(True):
        jax.block_until_ready(jax.jit(both)(jax.random.key(0), jax.random.key(2), action))


def check_valid_actions(subject: Subject) -> None:
    """At every observation that is shown before the end, some action is valid."""
    valid = subject.env.spec.valid_actions
    if valid is None:
        return
    first, _, timesteps = subject.sample_run
    assert np.all(np.any(jax.vmap(valid)(first.obs), axis=-1))
    some = np.any(jax.vmap(jax.vmap(valid))(timesteps.obs), axis=-1)
    assert np.all(some | (np.cumsum(timesteps.terminated | timesteps.truncated, axis=1) > 0))


CHECKS: dict[str, Callable[[Subject], None]] = {
    name.removeprefix("check_"): value
    for name, value in list(globals().items())
    if name.startswith("check_") and name != "check_env"
}
"""Every check by its name."""
