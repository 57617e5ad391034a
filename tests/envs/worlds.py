"""The registered worlds as subjects of the conformance suite, and the random policy's returns.

`python tests/envs/worlds.py fingerprints [NAME ...]` prints a digest of a rollout of every
world (or of the named ones), for comparison between processes; `python tests/envs/worlds.py
golden [NAME ...]` measures the random policy and rewrites `golden.json` (likewise).
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np

from jaxrl_rewards.testing import conformance

TOLERANCE = {"retarget": 1e-2}
"""Where contacts of a falling body magnify the last bits over 50 steps; 1e-4 elsewhere."""
GOLDEN = Path(__file__).with_name("golden.json")
GOLDEN_EPISODES, TEST_EPISODES = 4096, 256


def named(name):
    """The registered world `name` as a subject."""
    subject = conformance.Subject(jaxrl_envs.make(name), tolerance=TOLERANCE.get(name, 1e-4))
    subject.name = name
    return subject


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

        start = (state, ~first.done, jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))
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
    name = subject.name
    assert name in golden, f"run: python tests/envs/worlds.py golden {name}"
    returns, lengths = random_policy(subject, TEST_EPISODES, seed=0)
    for quantity, values in (("return", returns), ("length", lengths)):
        stored, now = golden[name][quantity], summary(values)
        error = np.hypot(stored["standard_error"], now["standard_error"])
        difference = abs(now["mean"] - stored["mean"])
        assert difference <= 4 * error + 1e-5 * abs(stored["mean"]), (quantity, now, stored)


def write_golden(names):
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    for name in names:
        returns, lengths = random_policy(named(name), GOLDEN_EPISODES, seed=1)
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
        print(json.dumps({name: conformance.fingerprint(named(name)) for name in names}))
