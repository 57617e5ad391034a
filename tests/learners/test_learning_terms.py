"""Rewards that learn beside the policy: what they hear of, what they keep, and when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs import make

from jaxrl_rewards.learners import (
    GroupConfig,
    GroupHParams,
    PPOConfig,
    PPOHParams,
    bonus_parts,
    make_group,
    make_ppo,
    make_ppo_with_learning_terms,
    seed_axes,
)
from jaxrl_rewards.rewards import count_bonus, distillation_bonus
from tests.learners.toys import Corridor

CONFIG = PPOConfig(num_envs=4, unroll_length=8, num_epochs=1, num_minibatches=1, hidden=(4,))


def message(prev, action, nxt):
    """The id of what the step says."""
    return nxt.message


def cell(prev, action, nxt):
    """Where the step leads, as one number."""
    return jnp.asarray([nxt.cell], jnp.float32)


@pytest.fixture(scope="module")
def told():
    """A learner whose reward counts messages, with a weight of 0 so that nothing else changes."""
    env = make("keydoor_text")
    params = env.default_params()
    bonus = count_bonus(env.table.size, message)
    rnd = distillation_bonus(jax.random.key(5), cell, 1, hidden=(4,), outputs=2, steps=1)
    hparams = PPOHParams(env_params=params.replace(reward=params.reward + 0.0 * bonus + 0.0 * rnd))
    learner = make_ppo_with_learning_terms(env, CONFIG, hparams=hparams)
    return env, learner, jax.jit(learner.init), jax.jit(learner.update)


def test_counts_are_those_of_what_happened(told):
    """Against PPO without the bonus, whose summary counts what the world itself says."""
    env, learner, init, update = told
    size = env.table.size
    plain = make_ppo(
        env, CONFIG, summarise=lambda i: jnp.zeros(size, jnp.int32).at[i["message"]].add(1)
    )
    state = init(jax.random.key(0), learner.hparams)
    other = jax.jit(plain.init)(jax.random.key(0), plain.hparams)
    step, counts, metrics = jax.jit(plain.update), np.zeros(size, int), None
    for number in range(3):
        state, metrics = update(state, learner.hparams)
        other, _ = step(other, plain.hparams)
        counts += np.asarray(other.summary)
        term = state.models["terms"]["count"]
        np.testing.assert_array_equal(term.counts, counts)
        if number == 0:  # scored with the counts from before the update
            assert float(metrics["term/count"]) == 1.0
    assert float(metrics["term/count"]) < 1.0 and counts.sum() == 3 * 32
    jax.tree.map(np.testing.assert_array_equal, state.params, other.params)
    assert float(state.models["terms"]["rnd"].inputs.count) == 3 * 32 and state.summary == ()


@pytest.mark.slow
def test_seeds_keep_their_own_counts(told):
    _, learner, _, _ = told
    keys = jax.random.split(jax.random.key(7), 2)
    axes = seed_axes()
    init = jax.jit(jax.vmap(learner.init, in_axes=(0, None), out_axes=axes))
    update = jax.jit(jax.vmap(learner.update, in_axes=(axes, None), out_axes=(axes, 0)))
    state, _ = update(init(keys, learner.hparams), learner.hparams)
    counts = np.asarray(state.models["terms"]["count"].counts)
    assert counts.shape[0] == 2 and (counts.sum(axis=1) == 32).all()
    assert not np.array_equal(counts[0], counts[1])


def test_a_reward_without_learning_terms_is_refused():
    env = make("keydoor_text")
    hparams = PPOHParams(env_params=env.default_params())
    with pytest.raises(ValueError, match="no term of the reward learns; use make_ppo"):
        make_ppo_with_learning_terms(env, CONFIG, hparams=hparams)


def test_answers_that_are_new_are_paid_more():
    """In a group learner: counts of the first action, which is what the term reads here."""
    env = Corridor(limit=3)
    term = count_bonus(2, lambda prev, action, nxt: action)
    score, partner = bonus_parts(term, lambda played: played.action, weight=0.5)
    config = GroupConfig(num_prompts=3, group_size=4, hidden=(4,))
    learner = make_group(
        env, config, score=score, partner=partner,
        hparams=GroupHParams(env_params=env.default_params()),
    )  # fmt: skip
    update = jax.jit(learner.update)
    state, first = update(
        jax.jit(learner.init)(jax.random.key(0), learner.hparams), learner.hparams
    )
    assert float(first["term/count"]) == float(first["length"])  # nothing was known before
    counts = np.asarray(state.models["partner"].counts)
    assert counts.sum() == round(12 * float(first["length"])) and counts.min() > 0
    _, second = update(state, learner.hparams)
    assert 0.0 < float(second["term/count"]) < 0.6 * float(second["length"])
