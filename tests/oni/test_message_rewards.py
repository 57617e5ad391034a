"""Rewards from messages: the equations against float64, edge cases, bad input."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_models.messages import (
    MessageReward,
    classification_reward,
    count_penalty,
    group_messages,
    init_score_moments,
    next_annotation_batch,
    parse_classification_label,
    parse_ranking_label,
    ranking_loss,
    ranking_reward,
    retrieval_reward,
    unlabelled,
    update_score_moments,
)
from jaxrl_rewards.reward_models.messages.text import (
    find_classification_label,
    find_ranking_label,
    labels_disagree,
)

FLOATS = st.floats(-100, 100, width=32)
update = jax.jit(update_score_moments)


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("not FOO", 1),
        ("FOOBAR", 1),
        ("BAR, not FOO", 1),
        ("foo", None),
        ("bar", None),
        ("xBARx", 0),
        ("", None),
        (" " * 70_000 + "FOO", None),
        ("<think>FOO would need progress. There is none.</think>\nBAR", 0),
        ("FOO would need more, so</think>BAR", 0),
        ("<Thinking>FOO</thinking>\n<think>BAR</think> neither", None),
        ("<think>FOO or not? I was cut", None),
        ("[THINK]FOO[/THINK]BAR", 0),
        ("<|channel|>analysis<|message|>FOO?<|end|><|channel|>final<|message|>BAR<|return|>", 0),
        ("<think>" + "FOO " * 50_000 + "</think>BAR", 0),
        ("<think>I write <think> here</think> FOO", 1),
    ],
)
def test_classification_labels(answer, label):
    assert find_classification_label(answer) == label
    assert parse_classification_label(answer) == (label or 0)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("best_description: 1 ... best_description: 2", 0),
        ("BEST__DESCRIPTION = number 2", 1),
        ("best description none", 2),
        ("best description is None", 2),
        ("best_description: NONE. best_description: 1", 0),
        ("best_description: three", None),
        ("<think>best_description: 1? no</think>best_description: 2", 1),
        ("the best is 1", None),
    ],
)
def test_ranking_labels(answer, label):
    assert find_ranking_label(answer) == label
    assert parse_ranking_label(answer) == (2 if label is None else label)


@pytest.mark.timeout(5)  # milliseconds in linear time, eight seconds in quadratic
def test_hostile_answers_are_read_in_linear_time():
    assert find_ranking_label("bestdescription" * 4300) is None
    assert find_ranking_label("best" + "_" * 60_000) is None


def test_disagreement_is_seen():
    assert labels_disagree("FOO or BAR?") and not labels_disagree("FOO")
    assert not labels_disagree("<think>FOO?</think>BAR")


@given(st.lists(st.sampled_from(["", "a", "b (x2)", "c"]), max_size=20))
def test_groups_unroll_to_the_messages(messages):
    found = group_messages(messages)
    groups, indices = found["groups"], found["indices"]
    if not groups:
        assert indices == [0] and not any(messages)
        return
    assert indices == sorted(set(indices)) and len(groups) == len(indices)
    unrolled = []
    for group, index in zip(groups, indices, strict=True):
        text = messages[index]
        assert index == 0 or messages[index - 1] != text
        count = 1 if group == text else int(group[len(text) + 3 : -1])
        assert messages[index : index + count] == [text] * count
        unrolled += [text] * count
    assert unrolled == [message for message in messages if message]


@given(st.lists(st.integers(), max_size=12), st.integers(1, 15))
def test_batches_are_the_tail(queue, size):
    found = next_annotation_batch(queue, size)
    assert found["remaining"] + found["batch"] == queue
    assert len(found["batch"]) == min(size, len(queue))


def test_bad_text_input_is_refused():
    for call in (
        lambda: parse_classification_label(None),
        lambda: parse_ranking_label(3),
        lambda: group_messages(["a", b"b"]),
        lambda: next_annotation_batch(["a"], 0),
        lambda: next_annotation_batch(["a"], 1.5),
        lambda: next_annotation_batch(["a"], True),
    ):
        with pytest.raises(InputError):
            call()


# ---------------------------------------------------------------- rewards


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 50)), min_size=1, max_size=8),
    st.floats(0, 4),
)
def test_retrieval_against_a_dict(messages, beta):
    labels, known = np.array([1.0, 1.0, 0.0, 0.5, 1.0]), np.array([1, 1, 1, 1, 0], bool)
    expected = [(labels[m] if known[m] and m > 0 else 0.0) / count**beta for m, count in messages]
    ids, counts = map(np.asarray, zip(*messages, strict=True))
    actual = retrieval_reward(labels, known, ids, counts, beta)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_a_count_below_one_is_an_error_outside_and_one_inside_a_program():
    with pytest.raises(InputError, match="below 1"):
        count_penalty(np.asarray([1.0, 0.0]), 3.0)
    inside = jax.jit(count_penalty)(jnp.asarray([0.0, 2.0]), 3.0)
    np.testing.assert_allclose(inside, [1.0, 0.125])


def test_ranking_reward_against_float64():
    random = np.random.default_rng(0)
    raw, counts = random.normal(size=50), random.integers(1, 6, 50)
    z = (raw - 0.3) / np.sqrt(2.0)
    expected = z * (z > -0.5) / counts**3.0
    np.testing.assert_allclose(
        ranking_reward(raw, 0.3, 2.0, -0.5, counts, 3.0), expected, rtol=2e-5, atol=1e-7
    )
    assert np.all(np.isfinite(ranking_reward(raw, 0.3, 0.0, -0.5, counts, 3.0)))


def test_the_classification_threshold_is_strict():
    logits = jnp.asarray([[0.0, 0.0], [0.0, 1e-3], [1e4, -1e4]])
    reward, probability = classification_reward(logits, 0.5)
    assert reward.tolist() == [0.0, 1.0, 0.0] and probability[0] == 0.5
    assert np.all(np.isfinite(probability))


def test_bad_reward_input_is_refused():
    for call in (
        lambda: classification_reward(jnp.zeros((3, 3))),
        lambda: classification_reward(jnp.zeros((3, 2)), float("nan")),
        lambda: ranking_reward(jnp.zeros(2), 0.0, 1.0, float("inf"), jnp.ones(2), 3.0),
        lambda: ranking_loss(jnp.zeros((2, 3)), jnp.zeros(2, int)),
        lambda: ranking_loss(jnp.zeros((1, 2, 2)), jnp.zeros(3, int)),
        lambda: ranking_loss(jnp.zeros((1, 2, 2)), jnp.asarray([0, 3])),
        lambda: init_score_moments(0.0),
        lambda: unlabelled(0),
    ):
        with pytest.raises(InputError):
            call()


class FakeState:
    def __init__(self, message, counts):
        self.message, self.counts = jnp.asarray(message), jnp.asarray(counts)


def test_the_term_reads_message_and_count_and_is_linear_in_the_labels():
    reward = MessageReward(
        labels=jnp.asarray([0.0, 1.0, 0.5]), known=jnp.ones(3, bool), beta=jnp.asarray(2.0)
    )
    state = FakeState(2, [0, 4, 3])
    total, terms = reward(None, None, state)
    assert total == terms["message"] == pytest.approx(0.5 / 9)
    gradient = jax.grad(lambda r: r(None, None, state)[0], allow_int=True)(reward)
    np.testing.assert_allclose(gradient.labels, [0, 0, 1 / 9], rtol=1e-6)
    assert unlabelled(3)(None, None, state)[0] == 0
    assert reward(None, None, FakeState(0, [0, 0, 0]))[0] == 0


# ---------------------------------------------------------------- ranking


@given(st.lists(st.tuples(FLOATS, FLOATS, st.integers(0, 2)), min_size=1, max_size=6))
def test_ranking_loss_against_float64(rows):
    rewards = np.asarray([[row[:2] for row in rows]], np.float64)
    labels = np.asarray([row[2] for row in rows])
    target = np.asarray([[1, 0], [0, 1], [0.5, 0.5]])[labels]
    score = rewards[0]
    log_sum = np.logaddexp(score[:, 0], score[:, 1])[:, None]
    expected = -np.mean(np.sum(target * (score - log_sum), axis=1))
    loss, accuracy = ranking_loss(rewards, labels)
    assert float(loss) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    decided = labels < 2
    if decided.any():
        hits = np.argmax(score, axis=1)[decided] == labels[decided]
        assert float(accuracy) == pytest.approx(hits.mean())
    else:
        assert np.isnan(accuracy)


def test_ranking_loss_with_ties_only_has_a_sound_gradient():
    labels = jnp.full((3,), 2)
    rewards = jax.random.normal(jax.random.key(0), (2, 3, 2))
    gradient = jax.grad(lambda r: ranking_loss(r, labels)[0])(rewards)
    assert np.all(np.isfinite(gradient)) and np.any(gradient != 0)
    masked, _ = ranking_loss(rewards, jnp.asarray([0, 1, 2]), jnp.asarray([1.0, 1.0, 0.0]))
    assert masked == ranking_loss(rewards[:, :2], jnp.asarray([0, 1]))[0]


@given(st.lists(st.lists(FLOATS, min_size=2, max_size=6), min_size=1, max_size=5))
def test_moments_against_the_equations_in_float64(batches):
    mean, var, count = 0.0, 1.0, 1e-4
    moments = init_score_moments()
    for batch in batches:
        data = np.asarray(batch, np.float64)
        n, delta = len(data), data.mean() - mean
        total = count + n
        var = (var * count + data.var(ddof=1) * n + delta**2 * count * n / total) / total
        mean, count = mean + delta * n / total, total
        padded = jnp.zeros(6).at[:n].set(jnp.asarray(data, jnp.float32))
        moments = update(moments, padded, (jnp.arange(6) < n).astype(jnp.float32))
    assert float(moments.mean) == pytest.approx(mean, rel=1e-4, abs=1e-3)
    assert float(moments.var) == pytest.approx(var, rel=1e-3, abs=1e-2)
    assert float(moments.count) == pytest.approx(count, rel=1e-6)


def test_a_single_score_has_no_spread_and_an_empty_batch_changes_nothing():
    start = init_score_moments()
    one = update(start, jnp.asarray([3.0]))
    assert np.isfinite(one.var) and float(one.mean) == pytest.approx(3.0, rel=1e-3)
    none = update(start, jnp.asarray([3.0, 4.0]), jnp.zeros(2))
    assert jax.tree.leaves(none) == jax.tree.leaves(start)
    weighted = update(start, jnp.asarray([3.0, 5.0]), jnp.asarray([3.0, 1.0]))
    repeated = update(start, jnp.asarray([3.0, 3.0, 3.0, 5.0]))
    np.testing.assert_allclose(weighted.var, repeated.var, rtol=1e-6)
