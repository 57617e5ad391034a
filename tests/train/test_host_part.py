"""The host's part in a run, static facts, shared steps, and states of other device counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.learners import PPOConfig, PPOHParams, make_ppo, one_seed, seed_axes
from jaxrl_rewards.learners.from_host import takes_from_host
from jaxrl_rewards.rewards.base import reward_term
from jaxrl_rewards.rewards.schedule import Linear
from jaxrl_rewards.train import load_params, load_state, run
from jaxrl_rewards.train.evaluation import evaluate_policy
from jaxrl_rewards.train.fingerprint import fingerprint, static_parts
from jaxrl_rewards.train.runner import NonFiniteUpdates
from tests.learners.toys import Corridor
from tests.train.toys import make_regression

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = PPOConfig(num_envs=2, unroll_length=4, num_minibatches=1, num_epochs=1, hidden=(4,))


def hearing_learner():
    """A regression whose rate is given by the host, and whose summary is its update count."""
    base = make_regression()

    def update(state, hparams):
        state, metrics = base.update(state, hparams)
        return state.replace(summary=state.step), metrics

    def init(key, hparams):
        return base.init(key, hparams).replace(summary=jnp.int32(0))

    told = base._replace(init=init, update=update)
    rate = lambda hparams: jnp.asarray(jax.tree.leaves(hparams)[0], jnp.float32)  # noqa: E731

    def place(hparams, given):
        leaves, structure = jax.tree.flatten(hparams)
        return structure.unflatten([given, *leaves[1:]])

    return takes_from_host(told, place, rate)


class Halving:
    """Halves the rate every exchange; remembers what it heard."""

    def __init__(self):
        self.rate, self.heard = 0.01, []

    def exchange(self, update, told):
        self.heard.append((update, np.asarray(told).tolist()))
        self.rate /= 2
        return np.float32(self.rate)

    def state_dict(self):
        return {"rate": self.rate, "heard": self.heard}

    def load_state_dict(self, state):
        self.rate, self.heard = state["rate"], [tuple(pair) for pair in state["heard"]]


def trained(learner, part, updates, folder=None, **more):
    return run(
        learner, key=jax.random.key(0), total_updates=updates, chunk_updates=2, between=part,
        out_dir=folder, checkpoint_every=2, progress=False, log=("jsonl",), **more,
    )  # fmt: skip


def test_the_host_hears_and_gives_and_a_resumed_run_goes_on_alike(tmp_path):
    learner = hearing_learner()
    part = Halving()
    whole = trained(learner, part, 8)
    assert [update for update, _ in part.heard] == [2, 4, 6, 8]
    assert [told for _, told in part.heard] == [2, 4, 6, 8]
    assert float(whole.state.memory["given"]) == pytest.approx(0.01 / 16)
    trained(learner, Halving(), 4, tmp_path)
    again = Halving()
    resumed = trained(learner, again, 8, tmp_path, resume=True)
    assert again.heard == part.heard
    for one, other in zip(
        jax.tree.leaves(whole.state.params), jax.tree.leaves(resumed.state.params), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="takes what the host gives"):
        trained(make_regression(), Halving(), 2)


def up(prev, action, nxt, scale):
    return scale * jnp.float32(1)


def down(prev, action, nxt, scale):
    return -scale * jnp.float32(1)


def test_another_reward_function_is_another_run(tmp_path):
    def learner(function):
        return make_ppo(Corridor(), SMALL, hparams=PPOHParams(env_params=corridor_of(function)))

    def corridor_of(function):
        params = Corridor().default_params()
        reward = 1.0 * reward_term(function, "position", scale=1.0)
        return params.replace(reward=reward)

    first = static_parts(learner(up).hparams)
    second = static_parts(learner(down).hparams)
    differing = [name for name in first if first[name] != second[name]]
    assert len(differing) == 1 and differing[0].endswith("fn")
    options = dict(key=jax.random.key(0), total_updates=2, out_dir=tmp_path, progress=False,
                   log=("jsonl",))  # fmt: skip
    run(learner(up), **options)
    with pytest.raises(InputError, match=r"static.*fn = .*up#.* now it is .*down#"):
        run(learner(down), **{**options, "total_updates": 4}, resume=True)
    run(learner(up), **{**options, "total_updates": 4}, resume=True)


def test_fingerprints_see_code_defaults_and_closures_but_no_addresses():
    def make(number):
        return lambda x: x + number

    def body(x, y=1):
        return x + y

    def other(x, y=2):
        return x + y

    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))
    assert fingerprint(body).split("#")[1] != fingerprint(other).split("#")[1]
    assert "0x" not in fingerprint((Corridor(), make, np.arange(3), {"a": object()}))
    assert fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    schedule = Linear(start=0.0, stop=1.0) * reward_term(up, scale=1.0)
    assert static_parts(schedule) != static_parts(2.0 * reward_term(up, scale=1.0))


def test_seeds_share_the_step_and_train_as_alone():
    learner = make_ppo(Corridor(), SMALL)
    together = run(
        learner, key=jax.random.key(0), total_updates=2, num_seeds=2, progress=False
    ).state
    assert together.step.shape == () and together.key.shape == (2,)

    def branch(step, x):
        return jax.lax.cond(step > 3, jnp.sin, jnp.cos, x)

    jaxpr = str(jax.make_jaxpr(jax.vmap(branch, in_axes=(seed_axes().step, 0)))(0, jnp.ones(3)))
    assert "cond[" in jaxpr
    alone = one_seed(together, 1)
    single = jax.jit(learner.init)(jax.random.split(jax.random.key(0), 2)[1], learner.hparams)
    update = jax.jit(learner.update)
    for _ in range(2):
        single, _ = update(single, learner.hparams)
    for one, other in zip(
        jax.tree.leaves(alone.params), jax.tree.leaves(single.params), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_parameters_that_are_no_longer_finite_end_a_run():
    base = make_regression()

    def update(state, hparams):
        state, metrics = base.update(state, hparams)
        spoil = jnp.where(state.step == 3, jnp.nan, 0.0)
        return state.replace(params=jax.tree.map(lambda p: p + spoil, state.params)), metrics

    with pytest.raises(NonFiniteUpdates, match="a parameter is no longer finite after update 4"):
        run(
            base._replace(update=update), key=jax.random.key(0), total_updates=20,
            chunk_updates=2, progress=False,
        )  # fmt: skip


def test_a_learning_rate_that_is_not_finite_ends_a_run():
    learner = make_ppo(Corridor(), SMALL)
    hparams = learner.hparams.replace(learning_rate=float("nan"))
    with pytest.raises(NonFiniteUpdates, match="learning rate was not finite"):
        run(learner, hparams, key=jax.random.key(0), total_updates=10, progress=False)


def test_before_the_first_end_there_is_no_return():
    learner = make_ppo(Corridor(limit=30), SMALL)
    assert np.isnan(learner.init(jax.random.key(0), learner.hparams).statistics.episode_return)


def test_evaluation_scores_by_the_weights_of_the_update():
    weight = Linear(start=0.0, stop=1.0, begin=0.0, end=4.0)
    params = Corridor().default_params()
    params = params.replace(reward=weight * reward_term(up, "position", scale=1.0))
    learner = make_ppo(Corridor(), SMALL, hparams=PPOHParams(env_params=params))
    state = learner.init(jax.random.key(0), learner.hparams).replace(step=jnp.int32(4))
    found = evaluate_policy(learner, state, Corridor(), params, jax.random.key(1), 3)
    assert float(found["return"]) == float(found["length"]) > 0


@pytest.mark.slow
@pytest.mark.distributed
def test_a_run_of_four_devices_goes_on_with_one(tmp_path):
    script = """
import sys, jax, json
from jaxrl_rewards.learners import PPOConfig, make_ppo
from jaxrl_rewards.train import run
from jaxrl_rewards.core.mesh import make_mesh
from tests.learners.toys import Corridor
small = PPOConfig(num_envs=4, unroll_length=4, num_minibatches=1, num_epochs=1, hidden=(4,))
run(make_ppo(Corridor(), small), key=jax.random.key(0), total_updates=2, out_dir=sys.argv[1],
    mesh=make_mesh(), progress=False, log=("jsonl",))
print(json.dumps(len(jax.devices())))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")],
        capture_output=True, text=True, cwd=REPOSITORY, check=True,
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
             "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'envs'}"},
    )  # fmt: skip
    assert json.loads(done.stdout) == 4
    small = PPOConfig(num_envs=4, unroll_length=4, num_minibatches=1, num_epochs=1, hidden=(4,))
    learner = make_ppo(Corridor(), small)
    params = load_params(tmp_path / "run")
    state, update = load_state(tmp_path / "run", learner)
    assert update == 2
    np.testing.assert_array_equal(params["actor"][0]["kernel"], state.params["actor"][0]["kernel"])
    result = run(
        learner, key=jax.random.key(0), total_updates=4, out_dir=tmp_path / "run", resume=True,
        progress=False, log=("jsonl",),
    )  # fmt: skip
    assert result.updates == 4


def test_fingerprints_are_those_of_other_processes():
    """No addresses and no order of sets: jitted functions, set constants, cycles."""
    script = """
import jax, jax.numpy as jnp
from jaxrl_rewards.train.fingerprint import fingerprint
helper = jax.jit(lambda x: x + 1)
def reward(x, kind="a"):
    return jax.nn.relu(helper(x)) if kind in {"a", "b", "c"} else x
class Loop:
    def __init__(self): self.me = self
def closed(f):
    return lambda x: f(x)
print(fingerprint((helper, reward, closed(helper), jax.nn.relu, Loop())))
"""
    found = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY,
            env={**os.environ, "PYTHONHASHSEED": seed,
                 "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'envs'}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1 and "0x" not in found.pop()
