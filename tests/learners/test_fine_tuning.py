"""Fine-tuning on packed texts, credit of accepted answers and of several rewards, scorers, and
gradients that are summed part by part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl_rewards.core import InputError
from jaxrl_rewards.credit.outcome import accepted, decoupled
from jaxrl_rewards.learners import GroupConfig, outcome
from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.learners.group import (
    GroupBatch,
    GroupHParams,
    Objective,
    group_loss,
    summed_gradient,
)
from jaxrl_rewards.learners.grpo import LOSSES
from jaxrl_rewards.learners.scorers import mixed_groups, overlong
from jaxrl_rewards.learners.texts import pack_texts, text_loss
from jaxrl_rewards.losses.language import next_token_loss
from jaxrl_rewards.networks.decoder import DecoderConfig
from jaxrl_rewards.networks.language_policy import decoder_actor_critic
from jaxrl_rewards.rewards.base import RewardOutput
from tests.learners.played import answers

CONFIG = DecoderConfig(
    vocabulary=11, width=16, layers=1, heads=2, kv_heads=1, hidden=24, max_length=24
)


@pytest.fixture(scope="module")
def network():
    return decoder_actor_critic(CONFIG)


@pytest.fixture(scope="module")
def params(network):
    return network.init(jax.random.key(0))


lengths = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(lengths, st.integers(8, 20))
def test_every_text_is_packed_once_and_whole(sizes, width):
    generator = np.random.default_rng(len(sizes))
    texts = [
        (generator.integers(1, 11, size), generator.integers(0, 2, size) > 0) for size in sizes
    ]
    long = [pair for pair in texts if len(pair[0]) > 1]
    if not long:
        with pytest.raises(InputError, match="at least 2 tokens"):
            pack_texts(texts, width)
        return
    packed = pack_texts(texts, width)
    found = []
    for row in range(packed.tokens.shape[0]):
        start = 0
        for stop in np.flatnonzero(packed.ends[row]) + 1:
            read, own = packed.tokens[row, start:stop], packed.own[row, start:stop]
            found.append((*read, packed.follows[row, stop - 1], *own))
            assert (read[1:] == packed.follows[row, start : stop - 1]).all()
            start = stop
        assert not packed.own[row, start:].any()
    wanted = [(*tokens, *own[1:]) for tokens, own in long]
    assert sorted(found) == sorted(tuple(int(x) for x in row) for row in wanted)


def test_texts_that_do_not_fit_are_told():
    with pytest.raises(InputError, match="has 9 tokens, a row holds 5"):
        pack_texts([(np.arange(9), np.ones(9, bool))], 4)


def test_packing_changes_no_loss(network, params):
    """Texts in one row do not see each other: the loss is that of one text per row."""
    generator = np.random.default_rng(0)
    texts = [(generator.integers(0, 11, size), np.ones(size, bool)) for size in (7, 5, 4, 3, 8)]
    loss = text_loss(network)
    packed, alone = pack_texts(texts, 14), pack_texts(texts, 7)
    assert packed.tokens.shape[0] < alone.tokens.shape[0]
    np.testing.assert_allclose(
        loss(params, packed, None)[0], loss(params, alone, None)[0], rtol=1e-5
    )


def test_next_token_loss_against_numpy():
    generator = np.random.default_rng(1)
    logits, tokens = generator.normal(size=(3, 4, 5)), generator.integers(0, 5, (3, 4))
    mask = generator.integers(0, 2, (3, 4)) > 0
    loss, told = next_token_loss(jnp.asarray(logits, jnp.float32), jnp.asarray(tokens), mask)
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    picked = np.take_along_axis(chance, tokens[..., None], -1)[..., 0]
    np.testing.assert_allclose(loss, -np.log(picked)[mask].mean(), rtol=1e-5)
    right = (chance.argmax(-1) == tokens)[mask].mean()
    np.testing.assert_allclose(told["accuracy"], right, rtol=1e-6)
    assert next_token_loss(jnp.asarray(logits), jnp.asarray(tokens), mask & False)[0] == 0


def reward_of(played, terms):
    yes = {name: jnp.ones_like(played.alive) for name in terms}
    return RewardOutput(total=sum(terms.values()), terms=terms, applicable=yes)


def test_accepted_answers_are_those_that_score():
    played = answers(jnp.array([[1.0, 0.0], [0.4, 0.6]]))
    credit = accepted(0.5)(played, outcome(played, {}, None)[0], jnp.ones(2, bool), None)
    np.testing.assert_array_equal(credit[..., 0], [[1, 0], [0, 1]])
    assert credit.shape == played.alive.shape


def test_decoupled_rewards_do_not_cancel():
    """A large reward does not drown a small one, and a term's scale plays no part."""
    played = answers(jnp.zeros((2, 4)))
    last = jnp.arange(3) == 2
    large = jnp.array([[0.0, 0, 100, 100], [0, 100, 0, 100]])[..., None] * last
    small = jnp.array([[0.0, 1, 0, 1], [1, 1, 0, 0]])[..., None] * last
    keep = jnp.ones(2, bool)

    def credit(large, small):
        reward = reward_of(played, {"large": large, "small": small})
        return decoupled({"large": 1.0, "small": 1.0})(played, reward, keep, None)[..., 0]

    found = credit(large, small)
    np.testing.assert_allclose(found, credit(small * 0 + large / 100, small), atol=1e-3)
    assert found[0, 3] > found[0, 1] > found[0, 0]
    np.testing.assert_allclose(found[0, 1], found[0, 2], atol=1e-3)
    with pytest.raises(KeyError, match="no term 'length'"):
        decoupled({"length": 1.0})(played, reward_of(played, {"a": small}), keep, None)


def test_mixed_groups_keep_what_teaches():
    scores = jnp.array([[1.0, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]])
    played = answers(scores)
    np.testing.assert_array_equal(mixed_groups(outcome)(played, {}, None)[1], [0, 0, 1, 1])
    narrow = mixed_groups(outcome, 0.3, 0.8)
    np.testing.assert_array_equal(narrow(played, {}, None)[1], [0, 0, 0, 1])


def test_overlong_answers_are_docked_at_their_end():
    played = answers(jnp.ones((1, 2)))
    played = played.replace(own=jnp.array([[[True, True, True], [True, False, False]]]))
    reward, _ = overlong(outcome, 3.0, 2.0)(played, {}, None)
    np.testing.assert_allclose(reward.terms["overlong"], [[[0, 0, -1.0], [0, 0, 0]]])
    np.testing.assert_allclose(jnp.sum(reward.total, -1), [[0.0, 1.0]])


@pytest.mark.parametrize("loss", ["dapo", "gspo", "sapo"])
def test_gradients_by_parts_are_those_of_the_whole(network, params, loss):
    """Answers of unlike lengths: a mean over parts of means would be another number."""
    generator = np.random.default_rng(3)
    played = answers(jnp.zeros((4, 2)), tokens=11)
    own = jnp.asarray(generator.integers(0, 2, (4, 2, 3)) > 0).at[0].set(True)
    shape = own.shape
    batch = GroupBatch(
        played=played.replace(own=own),
        advantage=jnp.asarray(generator.normal(size=shape), jnp.float32),
        keep=jnp.array([True, True, False, True]),
        reference=jnp.full((*shape, 1), -2.0),
    )
    head = action_head_of(11)
    now = GroupHParams(env_params=())
    objective = Objective(*LOSSES[loss])
    whole, told = jax.grad(group_loss, has_aux=True)(params, batch, network, head, objective, now)
    parts, same = summed_gradient(params, batch, network, head, objective, now, 2)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts)):
        np.testing.assert_allclose(a, b, atol=2e-6)
    np.testing.assert_allclose(told["policy_loss"], same["policy_loss"], rtol=1e-5)


def action_head_of(count):
    from jaxrl_rewards.core import Discrete

    return action_head(Discrete(count))


def test_parts_of_a_minibatch_must_divide_it():
    with pytest.raises(ValueError, match="num_microbatches=3 must divide a minibatch's 4"):
        GroupConfig(num_prompts=8, num_minibatches=2, num_microbatches=3)
