"""Differentiating a learner's update in the reward, and equal bits in two processes."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo
from jaxrl_rewards.rewards.base import reward_term
from tests.learners.toys import Corridor, effort, with_weights


@pytest.mark.slow
def test_gradient_through_an_update_is_that_of_finite_differences():
    """d (probability of going right after the update) / d (weight of `effort`)."""
    settings = PPOConfig(
        num_envs=8, unroll_length=8, num_epochs=1, num_minibatches=1, hidden=(8,),
        normalise_advantages=False,
    )  # fmt: skip
    learner = make_ppo(Corridor(), settings)
    # without clipping the critic cannot reach the actor, so targets may count as constants
    hparams = learner.hparams.replace(
        learning_rate=jnp.float32(0.01), max_grad_norm=jnp.float32(jnp.inf)
    )
    state = jax.jit(learner.init)(jax.random.key(0), hparams)
    update = jax.jit(learner.update)
    for _ in range(2):  # Adam's first step sees signs only
        state, _ = update(state, hparams)

    def outer(weight):
        new, _ = learner.update(state, with_weights(hparams, 1.0, weight))
        hidden = jnp.tanh(new.params["actor"][0]["kernel"][0] + new.params["actor"][0]["bias"])
        logits = hidden @ new.params["actor"][1]["kernel"] + new.params["actor"][1]["bias"]
        return logits[1] - logits[0]

    value = jax.jit(jax.value_and_grad(outer))
    _, slope = value(0.3)
    step = 0.05
    difference = (value(0.3 + step)[0] - value(0.3 - step)[0]) / (2 * step)
    assert np.isfinite(float(slope)) and abs(float(slope)) > 1e-3
    np.testing.assert_allclose(slope, difference, rtol=0.05)


def breaks(prev, action, nxt, scale):
    """`position`, which is not a number now and then; `scale` does the same as its weight."""
    return jnp.where((nxt.time == 2) & (nxt.x > 0.4), jnp.nan, scale * nxt.x)


NORMALISED = {"normalise_terms": True, "normalise_rewards": True, "normalise_observations": True}


@pytest.mark.parametrize("normalised", [{}, NORMALISED])
def test_a_reward_that_breaks_spoils_no_gradient(normalised):
    """The derivative in a weight is that in a factor inside the term, on the other steps."""
    settings = PPOConfig(
        num_envs=8, unroll_length=8, num_epochs=1, num_minibatches=1, hidden=(8,), **normalised
    )
    env = Corridor()
    learner = make_ppo(env, settings)

    def with_reward(weight, scale):
        reward = weight * reward_term(breaks, name="position", scale=scale)
        reward = reward + 0.1 * reward_term(effort)
        return learner.hparams.replace(env_params=env.default_params().replace(reward=reward))

    state = jax.jit(learner.init)(jax.random.key(0), with_reward(1.0, 1.0))

    def outer(weight, scale):
        new, metrics = learner.update(state, with_reward(weight, scale))
        kernel = new.params["actor"][0]["kernel"]
        return jnp.vdot(kernel, jnp.cos(jnp.arange(kernel.size)).reshape(kernel.shape)), metrics

    slopes, metrics = jax.jit(jax.grad(outer, (0, 1), has_aux=True))(1.0, 1.0)
    assert 0.0 < float(metrics["broken"]) < 0.5 and int(metrics["skipped"]) == 0
    assert np.isfinite(slopes).all() and slopes[0] != 0.0
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-4)


SCRIPT = """
import hashlib
import jax, numpy as np
from tests.learners.toys import Corridor, arrays
from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo
from jaxrl_rewards.learners.grpo import GRPOConfig, make_grpo
digest = hashlib.sha256()
for learner in (
    make_ppo(Corridor(), PPOConfig(num_envs=4, unroll_length=8, num_minibatches=2, hidden=(8,))),
    make_grpo(Corridor(), GRPOConfig(num_prompts=3, group_size=4, hidden=(8,))),
):
    update = jax.jit(learner.update)
    state = jax.jit(learner.init)(jax.random.key(0), learner.hparams)
    for _ in range(3):
        state, metrics = update(state, learner.hparams)
    for leaf in arrays((state, metrics)):
        digest.update(leaf.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_compute_equal_bits(repository):
    paths = os.pathsep.join([str(repository), str(repository / "envs")])
    environments = [{**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": s} for s in "12"]
    digests = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=repository, env=environment,
            capture_output=True, text=True, timeout=500, check=True,
        ).stdout.strip()
        for environment in environments
    ]  # fmt: skip
    assert digests[0] == digests[1] and len(digests[0]) == 64
