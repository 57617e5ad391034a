"""What every registered world must do, as checks that take a `Subject`.

`python tests/envs/conformance.py fingerprints [NAME ...]` prints a digest of a rollout of every
world (or of the named ones), for comparison between processes; `python tests/envs/conformance.py
golden [NAME ...]` measures the random policy and rewrites `golden.json` (likewise).
"""

import functools
import hashlib
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np

from jaxrl_rewards.core import Box, DictSpace
from jaxrl_rewards.rollout.autoreset import AutoReset

STEPS, BATCH = 50, 4
TOLERANCE = {"retarget": 1e-2}
"""Where contacts of a falling body magnify the last bits over 50 steps; 1e-4 elsewhere."""
GOLDEN = Path(__file__).with_name("golden.json")
GOLDEN_EPISODES, TEST_EPISODES = 4096, 256


class Subject:
    """A world, its default params, and the programs that the checks share (compiled once)."""

    def __init__(self, name):
        self.name = name
        self.env = jaxrl_envs.make(name)
        self.params = self.env.default_params()
        self.traces = 0
        self.reset = jax.jit(self.env.reset)
        self.step = jax.jit(self._counted_step)

    def _counted_step(self, key, state, action, params):
        self.traces += 1
        return self.env.step(key, state, action, params)

    def short(self, steps):
        """Params with a time limit of `steps`, same structure and dtypes."""
        return self.params.replace(max_steps=jnp.asarray(steps, jnp.int32))

    @functools.cached_property
    def scan(self):
        """`(key, params) -> (first, last state, [T] time steps)`, one world, random actions."""
        return jax.jit(lambda key, params: rollout(self.env, key, params, STEPS))

    @functools.cached_property
    def vmap_scan(self):
        return jax.jit(
            jax.vmap(lambda key, params: rollout(self.env, key, params, STEPS), (0, None))
        )

    @functools.cached_property
    def scan_vmap(self):
        env, space = self.env, self.env.spec.action_space

        def run(keys, params):
            split = jax.vmap(lambda key: jax.random.split(key, 3))(keys)
            state, first = jax.vmap(env.reset, (0, None))(split[:, 0], params)
            action_keys = jax.vmap(lambda key: jax.random.split(key, STEPS))(split[:, 1])
            step_keys = jax.vmap(lambda key: jax.random.split(key, STEPS))(split[:, 2])

            def body(state, now):
                actions = jax.vmap(space.sample)(action_keys[:, now])
                return jax.vmap(env.step, (0, 0, 0, None))(
                    step_keys[:, now], state, actions, params
                )

            last, timesteps = jax.lax.scan(body, state, jnp.arange(STEPS))
            swap = lambda leaf: jnp.swapaxes(leaf, 0, 1)  # noqa: E731
            return first, last, jax.tree.map(swap, timesteps)

        return jax.jit(run)

    @functools.cached_property
    def sample_run(self):
        """A batch of rollouts under default params, as NumPy."""
        keys = jax.random.split(jax.random.key(3), BATCH)
        return jax.device_get(self.vmap_scan(keys, self.params))


def rollout(env, key, params, steps):
    """One world under the random policy, past the end of its episode too."""
    key_reset, key_action, key_step = jax.random.split(key, 3)
    state, first = env.reset(key_reset, params)

    def body(state, keys):
        action = env.spec.action_space.sample(keys[0])
        return env.step(keys[1], state, action, params)

    keys = (jax.random.split(key_action, steps), jax.random.split(key_step, steps))
    last, timesteps = jax.lax.scan(body, state, keys)
    return first, last, timesteps


# ---------------------------------------------------------------- 1. transformations


def check_transformations(subject):
    """Eagerly stepped jit, scan, scan of vmap and vmap of scan agree."""
    keys = jax.random.split(jax.random.key(3), BATCH)
    batch = subject.sample_run
    tolerance = TOLERANCE.get(subject.name, 1e-4)
    assert_close(jax.device_get(subject.scan_vmap(keys, subject.params)), batch, tolerance)
    single = jax.device_get(subject.scan(keys[1], subject.params))
    assert_close(single, jax.tree.map(lambda leaf: leaf[1], batch), tolerance)
    key_reset, key_action, key_step = jax.random.split(keys[1], 3)
    state, first = subject.reset(key_reset, subject.params)
    assert_close(jax.device_get(first), single[0])
    action_keys = jax.random.split(key_action, STEPS)
    step_keys = jax.random.split(key_step, STEPS)
    for now in range(STEPS // 5):
        action = subject.env.spec.action_space.sample(action_keys[now])
        state, timestep = subject.step(step_keys[now], state, action, subject.params)
        expected = jax.tree.map(lambda leaf: leaf[now], single[2])  # noqa: B023
        assert_close(jax.device_get(timestep), expected, tolerance)


def assert_close(actual, expected, tolerance=1e-4):
    """Equal structure; integers and booleans equal, floats within `tolerance`, keys ignored."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            continue
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- 2. constant types, one compile


def check_constant_types(subject):
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


def signature(tree):
    return [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(tree)]


# ---------------------------------------------------------------- 3. spaces, rewards, terms


def check_values(subject):
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


# ---------------------------------------------------------------- 4. determinism


def check_determinism(subject):
    """One key gives the same bits; other keys give other starts, where starts are random."""
    key = jax.random.key(11)
    assert digest(subject.scan(key, subject.params)) == digest(subject.scan(key, subject.params))
    if not getattr(subject.env, "deterministic_reset", False):
        starts = {digest(subject.reset(k, subject.params)) for k in jax.random.split(key, 8)}
        assert len(starts) > 1


def digest(tree):
    """SHA-256 of all leaves, bit for bit."""
    result = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        result.update(np.asarray(leaf).tobytes())
    return result.hexdigest()


def fingerprint(subject):
    """Digest of a rollout from a fixed key."""
    return digest(subject.scan(jax.random.key(5), subject.params))


# ---------------------------------------------------------------- 5. time limit


def check_time_limit(subject, limit=7):
    """`truncated` exactly from step `max_steps` on, whatever the limit that params carry."""
    assert int(subject.params.max_steps) == subject.env.spec.max_steps
    keys = jax.random.split(jax.random.key(4), BATCH)
    _, _, timesteps = jax.device_get(subject.vmap_scan(keys, subject.short(limit)))
    ended = np.cumsum(timesteps.terminated, axis=1) - timesteps.terminated > 0
    expected = np.broadcast_to(np.arange(1, STEPS + 1) >= limit, ended.shape)
    assert np.all((timesteps.truncated == expected) | ended)
    assert np.all(timesteps.truncated[:, limit - 1] | ended[:, limit - 1])


# ---------------------------------------------------------------- 6. auto-reset


def check_auto_reset(subject, limit=3, steps=12):
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


# ---------------------------------------------------------------- 7. bad actions


def check_bad_actions(subject):
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


def bad_actions(space):
    if isinstance(space, DictSpace):
        parts = {name: bad_actions(sub) for name, sub in space.spaces}
        count = min(len(values) for values in parts.values())
        return [{name: values[i] for name, values in parts.items()} for i in range(count)]
    if isinstance(space, Box):
        return [jnp.full(space.shape, bad, space.dtype) for bad in (np.nan, np.inf, -np.inf, 1e30)]
    return [jnp.full(space.shape, bad, jnp.int32) for bad in (-1, 10**6, -(2**31), 2**31 - 1)]


# ---------------------------------------------------------------- 9. batched params, gradients


def check_batched_params(subject):
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


def scale_float(leaf):
    return leaf * np.float32(0.9) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def check_gradients(subject):
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


def check_key_reuse(subject):
    """`reset` and `step` consume their key at most once (JAX's own check of typed keys)."""
    env, params = subject.env, subject.params
    with jax.debug_key_reuse(True):
        state, _ = jax.jit(env.reset)(jax.random.key(0), params)
        action = env.spec.action_space.sample(jax.random.key(1))
        jax.block_until_ready(jax.jit(env.step)(jax.random.key(2), state, action, params))


# ---------------------------------------------------------------- 10. golden statistics


def random_policy(subject, episodes, seed):
    """Returns and lengths of `episodes` episodes under the random policy, NumPy."""
    env, params = subject.env, subject.params
    limit = env.spec.max_steps

    def episode(key):
        key_reset, key_run = jax.random.split(key)
        state, first = env.reset(key_reset, params)

        def body(carry, key):
            state, alive, total, length = carry
            key_action, key_step = jax.random.split(key)
            action = env.spec.action_space.sample(key_action)
            state, timestep = env.step(key_step, state, action, params)
            total = total + jnp.where(alive, timestep.reward, 0.0)
            return (state, alive & ~timestep.done, total, length + alive), None

        start = (state, ~first.done, jnp.zeros(()), jnp.zeros((), jnp.int32))
        (_, alive, total, length), _ = jax.lax.scan(body, start, jax.random.split(key_run, limit))
        return total, length, alive

    run = jax.jit(jax.vmap(episode))
    parts = [
        jax.device_get(run(keys))
        for keys in jax.random.split(jax.random.key(seed), episodes).reshape(-1, TEST_EPISODES)
    ]
    returns, lengths, alive = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert not alive.any(), "an episode outlived max_steps"
    return returns.astype(np.float64), lengths.astype(np.float64)


def summary(values):
    return {
        "mean": float(values.mean()),
        "standard_error": float(values.std(ddof=1) / np.sqrt(len(values))),
    }


def check_golden(subject):
    """Mean return and length of 256 episodes within 4 standard errors of the stored ones."""
    golden = json.loads(GOLDEN.read_text())
    assert subject.name in golden, f"run: python tests/envs/conformance.py golden {subject.name}"
    returns, lengths = random_policy(subject, TEST_EPISODES, seed=0)
    for quantity, values in (("return", returns), ("length", lengths)):
        stored, now = golden[subject.name][quantity], summary(values)
        error = np.hypot(stored["standard_error"], now["standard_error"])
        difference = abs(now["mean"] - stored["mean"])
        assert difference <= 4 * error + 1e-5 * abs(stored["mean"]), (quantity, now, stored)


def write_golden(names):
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    for name in names:
        returns, lengths = random_policy(Subject(name), GOLDEN_EPISODES, seed=1)
        golden[name] = {
            "episodes": GOLDEN_EPISODES,
            "return": summary(returns),
            "length": summary(lengths),
        }
        print(name, golden[name], flush=True)
    GOLDEN.write_text(json.dumps(golden, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "golden":
        write_golden(sys.argv[2:] or jaxrl_envs.names())
    else:
        names = sys.argv[2:] or jaxrl_envs.names()
        print(json.dumps({name: fingerprint(Subject(name)) for name in names}))
