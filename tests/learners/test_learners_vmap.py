"""Seeds and candidate rewards side by side under one vmap and one compile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.learners.grpo import GRPOConfig, make_grpo
from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo
from tests.learners.toys import (
    Bandit,
    Corridor,
    arrays,
    assert_close,
    distance,
    fixed,
    with_weights,
)

SMALL = PPOConfig(num_envs=4, unroll_length=8, num_epochs=2, num_minibatches=2, hidden=(8,))
UPDATES, CANDIDATES = 12, 16


def trainer(learner, updates=UPDATES, traces=None):
    def train(key, hparams):
        if traces is not None:
            traces.append(1)
        state = learner.init(key, hparams)

        def step(state, _):
            return learner.update(state, hparams)

        return jax.lax.scan(step, state, None, length=updates)

    return train


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def pick(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


@pytest.fixture(scope="module")
def ppo():
    """The hyper-parameters, training of one run, of sixteen, and how often those were traced."""
    learner, traces = make_ppo(Corridor(), SMALL), []
    together = jax.jit(jax.vmap(trainer(learner, traces=traces)))
    base = fixed(learner.hparams.replace(learning_rate=1e-2))
    return base, jax.jit(trainer(learner)), together, traces


@pytest.mark.slow
def test_ppo_seeds_under_vmap_equal_single_runs(ppo):
    hparams, single, train_all, _ = ppo
    keys = jax.random.split(jax.random.key(0), CANDIDATES)
    together, metrics = train_all(keys, stack([hparams] * CANDIDATES))
    for i in range(3):
        alone, own = single(keys[i], hparams)
        assert_close(pick(together, i), alone, atol=1e-5)
        assert_close(pick(metrics, i), own, atol=1e-5)


def test_grpo_seeds_under_vmap_equal_single_runs():
    learner = make_grpo(Bandit(), GRPOConfig(num_prompts=4, group_size=4, hidden=(8,)))
    train = trainer(learner, 3)
    keys = jax.random.split(jax.random.key(0), 3)
    together, _ = jax.jit(jax.vmap(train, in_axes=(0, None)))(keys, learner.hparams)
    single = jax.jit(train)
    for i, key in enumerate(keys):
        alone, _ = single(key, learner.hparams)
        # Adam divides by a small deviation: what differs in the last bit grows a little
        assert_close(pick(together.params, i), alone.params, atol=1e-5)


def test_the_order_of_one_minibatch_does_not_matter():
    whole = PPOConfig(num_envs=4, unroll_length=8, num_epochs=1, num_minibatches=1, hidden=(8,))
    learner = make_ppo(Corridor(), whole)
    split = make_ppo(Corridor(), PPOConfig(**{**whole.__dict__, "shuffle_shards": 2}))
    state = jax.jit(learner.init)(jax.random.key(1), learner.hparams)
    one, _ = jax.jit(learner.update)(state, learner.hparams)
    other, _ = jax.jit(split.update)(state, learner.hparams)
    assert distance(one.params, state.params) > 1e-5
    assert_close(one.params, other.params, atol=2e-6)


def test_sixteen_rewards_train_in_one_compile(ppo):
    """The weights of the reward are a batch axis; nothing is compiled twice."""
    base, single, train_all, traces = ppo
    first, second = np.meshgrid(np.linspace(-1.0, 1.0, 4), np.linspace(-0.6, 0.6, 4))
    pairs = np.stack([first.ravel(), second.ravel()], axis=1)
    candidates = [with_weights(base, *pair) for pair in pairs]
    key = jax.random.key(7)
    keys = jnp.stack([key] * CANDIDATES)
    final, metrics = train_all(keys, stack(candidates))
    again, _ = train_all(keys, stack([with_weights(base, *(pair[::-1])) for pair in pairs]))
    assert len(traces) == 1
    assert distance(final.params, again.params) > 1e-3

    flat = np.concatenate([leaf.reshape(CANDIDATES, -1) for leaf in arrays(final.params)], axis=1)
    gaps = np.abs(flat[:, None] - flat[None]).max(-1)[~np.eye(CANDIDATES, dtype=bool)]
    assert gaps.min() > 1e-3, "two different rewards gave one policy"
    # paid for going right, and for going left
    went_right = np.asarray(metrics["term/effort"])[:, -3:].mean(-1)
    assert went_right[pairs[:, 0] == 1.0].mean() > went_right[pairs[:, 0] == -1.0].mean() + 0.2

    for i in (0, 6, 15):
        alone, _ = single(key, candidates[i])
        assert_close(pick(final.params, i), alone.params, atol=1e-5)


def test_the_value_at_a_time_limit_stays_a_branch_for_many_seeds():
    """Under `vmap` a condition of each seed by itself would compute both sides at every step."""
    learner = make_ppo(Corridor(), PPOConfig(num_envs=2, unroll_length=4, num_minibatches=1))
    keys, hparams = jax.random.split(jax.random.key(0), 3), learner.hparams
    states = jax.eval_shape(jax.vmap(learner.init, (0, None)), keys, hparams)
    many = jax.make_jaxpr(jax.vmap(learner.update, (0, None)))(states, hparams)
    assert str(many).count(" cond[") == 1
