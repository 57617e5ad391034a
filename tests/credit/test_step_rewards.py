"""Clip and Delta: telescoping, each row's own length, padding, and the scorer of group learners."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.credit import (
    clip_delta_reward,
    clip_reward,
    delta_reward,
    dense_step_reward,
    eta_from_batch,
    returns_to_go,
    reward_to_go,
    scatter_steps_to_tokens,
    step_rewards,
    step_scorer,
    steps_of_tokens,
    unit_ends,
)


def scored(seed, rows=5, steps=6):
    random = np.random.default_rng(seed)
    counts = random.integers(0, steps + 1, rows)
    mask = (np.arange(steps) < counts[:, None]).astype(np.float32)
    scores = random.random((rows, steps)).astype(np.float32)
    return np.where(mask > 0, scores, np.nan), mask, counts


@given(seed=st.integers(0, 10**6))
def test_delta_telescopes_with_each_rows_own_length(seed):
    scores, mask, counts = scored(seed)
    returns = np.asarray(reward_to_go(delta_reward(scores, mask), mask))
    for row, count in enumerate(counts):
        for k in range(count):
            expected = scores[row, k] if k < count - 1 else 0.0
            assert np.isclose(returns[row, k], expected, atol=1e-6)
        assert np.all(returns[row, count:] == 0)


@given(seed=st.integers(0, 10**6))
def test_clipped_sums_are_never_positive_and_delta_comes_second(seed):
    scores, mask, counts = scored(seed)
    clipped = np.asarray(clip_reward(scores, mask, 0.5))
    assert np.all(clipped <= 0) and np.isfinite(clipped).all()
    both = clip_delta_reward(scores, mask, 0.5)
    np.testing.assert_allclose(both, delta_reward(clipped, mask), atol=1e-7)
    per_row = clip_reward(scores, mask, jnp.full(len(counts), 0.5))
    np.testing.assert_array_equal(per_row, clipped)


def test_short_responses():
    mask = np.asarray([[1, 0], [1, 1], [0, 0]], np.float32)
    scores = np.asarray([[0.9, 9.0], [0.9, 0.4], [7.0, 7.0]], np.float32)
    np.testing.assert_allclose(delta_reward(scores, mask), [[0, 0], [0.9, 0], [0, 0]])
    dense = dense_step_reward(scores, jnp.ones(3), mask, 0.0)
    np.testing.assert_allclose(dense, [[1, 0], [0, 1], [0, 0]])
    eta = eta_from_batch(scores, mask, jnp.asarray([0, 1, 2]))
    np.testing.assert_allclose(eta, [0.9, 0.65, 0.0], rtol=1e-6)


def test_a_repeated_step_pays_only_when_scores_are_plain():
    long, short = np.full((1, 20), 0.9, np.float32), np.full((1, 3), 0.9, np.float32)
    for kind, grows in (("raw", True), ("clip", False), ("delta", False), ("clip_delta", False)):
        sums = [float(step_rewards(s, np.ones_like(s), kind, 0.8).sum()) for s in (long, short)]
        assert (sums[0] > sums[1] + 0.1) == grows, kind
    with pytest.raises(ValueError, match="kind 'plain' is unknown"):
        step_rewards(long, np.ones_like(long), "plain", 0.8)


def test_steps_go_to_their_last_tokens_and_back():
    end = np.asarray([[0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], bool)
    values = np.arange(12, dtype=np.float32).reshape(2, 6)
    found, place, mask = steps_of_tokens(values, end, 4)
    assert found.tolist() == [[1, 3, 4, 0], [0] * 4] and mask.sum() == 3
    back = scatter_steps_to_tokens(found, place, mask.astype(jnp.float32), 6)
    np.testing.assert_array_equal(back, np.where(end, values, 0))
    few = steps_of_tokens(values, end, 2)[0]
    assert few.tolist() == [[1, 3], [0, 0]]


def played(turn, reward, own=None):
    """Trajectories `[1, G, T]` of which little matters."""
    turn = jnp.asarray(turn)[None]
    alive = turn >= 0
    zero = jnp.zeros(turn.shape)
    return Trajectories(
        obs=zero, action=zero, log_prob=zero, reward=jnp.asarray(reward)[None],
        terms={"correct": jnp.asarray(reward)[None]}, applicable={"correct": alive},
        terminated=~alive, truncated=~alive, alive=alive, own=alive, broken=~alive & False,
        turn=turn, group=jnp.zeros((1,), jnp.int32), info=(),
    )  # fmt: skip


def test_the_scorer_reads_scores_where_units_end():
    turn = [[0, 0, 1, 1, 2, -1], [0, 1, 1, -1, -1, -1]]
    reward = [[0, 0, 0, 0, 1.0, 0], [0.0] * 6]
    said = jnp.asarray([[[9, 0.8, 9, 0.6, 0.4, 9], [0.5, 9, 0.9, 9, 9, 9]]])
    batch = played(turn, reward)
    assert unit_ends(batch.turn)[0].tolist() == [
        [False, True, False, True, True, False],
        [True, False, True, False, False, False],
    ]
    score = step_scorer(lambda played, models, hparams: said, kind="delta", alpha=0.5)
    out, keep = score(batch, {}, None)
    assert keep.tolist() == [True]
    expected = [[0, 0.2 * 0.5, 0, 0.6 * 0.5, 1.0, 0], [0.5 * 0.5, 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(out.total[0], expected, atol=1e-6)
    clip = step_scorer(lambda *_: said, kind="clip", alpha=1.0)
    eta = np.mean([0.8, 0.6, 0.4, 0.5, 0.9])
    expected = [[0, 0, 0, 0.6 - eta, 0.4 - eta, 0], [0.5 - eta, 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(clip(batch, {}, None)[0].terms["process"][0], expected, atol=1e-6)


def test_returns_to_go_are_whitened_over_kept_tokens():
    batch = played([[0, 1, -1], [0, 0, 1]], [[0, 1.0, 0], [0.0] * 3])
    out, keep = step_scorer(lambda *_: jnp.zeros((1, 2, 3)), kind="raw")(batch, {}, None)
    advantage = np.asarray(returns_to_go()(batch, out, keep, None))
    assert np.isclose(advantage[0].sum(), 0, atol=1e-5) and advantage[0, 0, 2] == 0
    assert np.allclose(advantage[0, 0, :2], advantage[0, 0, 0]) and advantage[0, 0, 0] > 0
    assert np.all(np.asarray(returns_to_go()(batch, out, ~keep, None)) == 0)
