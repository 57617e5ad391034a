"""The decoder as an actor-critic: step by step as in one pass, and in the learners."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.registry import make

from jaxrl_rewards.learners.group import GroupConfig, make_group
from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo
from jaxrl_rewards.networks.decoder import DecoderConfig, init_decoder
from jaxrl_rewards.networks.language_policy import decoder_actor_critic
from jaxrl_rewards.networks.lora import LoraConfig, lora_actor_critic
from jaxrl_rewards.rollout.generate import token_answers

ENV = make("language-arithmetic")
ENV = ENV[0] if isinstance(ENV, tuple) else ENV
CONFIG = DecoderConfig(
    vocabulary=ENV.spec.action_space.n, width=16, layers=2, heads=2, kv_heads=1, hidden=24,
    max_length=ENV.spec.max_steps + 1,
)  # fmt: skip


def test_one_pass_is_step_after_step_across_ends_and_from_a_memory():
    network = decoder_actor_critic(CONFIG)
    params = network.init(jax.random.key(0))
    params["value"]["kernel"] = jnp.arange(16.0)
    obs = jax.random.randint(jax.random.key(1), (13, 3), 0, CONFIG.vocabulary)
    done = jax.random.bernoulli(jax.random.key(2), 0.2, (13, 3))
    carry = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (3, *leaf.shape)), network.initial_carry()
    )

    def step(carry, inputs):
        token, ended = inputs
        output, value, carry = network.apply(params, token, carry)
        return network.restart(carry, ended), (output, value)

    carry, _ = jax.lax.scan(step, carry, (obs[:3], done[:3] & False))
    _, expected = jax.lax.scan(step, carry, (obs[3:], done[3:]))
    found = network.unroll(params, obs[3:], carry, done[3:])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected
    )


def test_group_learner_with_shared_prompts_and_adapters():
    base = init_decoder(jax.random.key(3), CONFIG)
    network = lora_actor_critic(CONFIG, base, LoraConfig(rank=2))
    learner = make_group(
        ENV,
        GroupConfig(num_prompts=4, group_size=4),
        network=network,
        sample=token_answers(ENV, 4, 4),
    )
    state = jax.jit(learner.init)(jax.random.key(0), learner.hparams)
    after, metrics = jax.jit(learner.update)(state, learner.hparams)
    assert np.isfinite([float(value) for value in metrics.values()]).all()
    assert abs(float(metrics["approx_kl"])) < 1e-6  # sampled and trained probabilities agree
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_ppo_learner_takes_it():
    learner = make_ppo(
        ENV, PPOConfig(num_envs=4, unroll_length=8, num_minibatches=2),
        network=decoder_actor_critic(CONFIG),
    )  # fmt: skip
    state = jax.eval_shape(learner.init, jax.random.key(0), learner.hparams)
    after, _ = jax.eval_shape(learner.update, state, learner.hparams)
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(lambda x: x.shape, state)
