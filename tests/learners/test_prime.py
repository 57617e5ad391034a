"""PRIME as parts of a group learner on a token world."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.language import KeyTokens, TokenWorld

from jaxrl_rewards.learners import GroupConfig, make_group
from jaxrl_rewards.learners.prime import prime
from jaxrl_rewards.networks.actor_critic import mlp_actor_critic


@functools.cache
def learner_of(lower, upper):
    env = TokenWorld(KeyTokens(length=3, num_keys=1), observation="context")
    network = mlp_actor_critic(env.spec.observation_space, env.spec.action_space.n, hidden=(8,))
    parts = prime(env, network, learning_rate=1e-2, lower=lower, upper=upper)
    config = GroupConfig(num_prompts=4, group_size=8, horizon=3)
    learner = make_group(env, config, network=network, **parts)
    return learner, jax.jit(learner.update)


def same(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_policy_and_model_learn_beside_each_other_and_the_reference_stays():
    learner, update = learner_of(0.0, 1.0)
    start = jax.jit(learner.init)(jax.random.key(0), learner.hparams)
    assert same(start.params, start.models["reference"])
    assert same(start.params, start.models["partner"]["params"])
    after, metrics = update(start, learner.hparams)
    assert same(after.models["reference"], start.models["reference"])
    assert not same(after.params, start.params)
    assert not same(after.models["partner"]["params"], start.models["partner"]["params"])
    # scores come from the model before its step: nothing was learnt yet
    assert float(metrics["term/process"]) == 0.0 and float(metrics["kept"]) == 1.0
    again, metrics = update(after, learner.hparams)
    assert float(metrics["term/process"]) != 0.0
    assert all(np.isfinite(value) for value in metrics.values())
    assert np.isclose(metrics["prm_loss"], np.log(2), atol=0.2)


def test_where_nothing_is_kept_nothing_moves():
    learner, update = learner_of(2.0, 3.0)
    start = jax.jit(learner.init)(jax.random.key(0), learner.hparams)
    after, metrics = update(start, learner.hparams)
    assert float(metrics["kept"]) == 0.0
    assert same(after.params, start.params) and same(after.opt_state, start.opt_state)
    assert same(after.models, start.models)
    assert int(after.skipped) == 0 and jnp.isfinite(metrics["prm_loss"])
