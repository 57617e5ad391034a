"""Advantages relative to a group, against float64 NumPy, and their invariants."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxrl_rewards import credit
from jaxrl_rewards.credit.group import MODES

G = 6
LENGTHS = np.arange(1.0, G + 1, dtype=np.float32)
FUNCTIONS = {
    mode: jax.jit(
        lambda s, m=None, mode=mode: credit.group_advantages(s, m, mode=mode, lengths=LENGTHS)
    )
    for mode in MODES
}
WITH_LENGTHS = {
    mode: jax.jit(lambda s, n, mode=mode: credit.group_advantages(s, mode=mode, lengths=n))
    for mode in MODES
}
scores_strategy = arrays(np.float32, G, elements=st.integers(-64, 64).map(lambda i: i / 16))


@functools.cache
def _value_and_grad(mode):
    return jax.jit(jax.value_and_grad(lambda s: (FUNCTIONS[mode](s) * LENGTHS).sum()))


def independent(scores, mask, mode, lengths=LENGTHS, epsilon=1e-6):
    """One group in float64, answer by answer."""
    scores, out = np.asarray(scores, np.float64), np.zeros(len(scores))
    known = [i for i in range(len(scores)) if mask[i] and np.isfinite(scores[i])]
    if len(known) < 2 or len({scores[i] for i in known}) == 1:
        return out
    kept = scores[known]
    best = max(known, key=lambda i: (scores[i], -i))
    second = max(scores[i] for i in known if i != best)
    for i in known:
        others = [scores[j] for j in known if j != i]
        out[i] = {
            "grpo": lambda i=i: (scores[i] - kept.mean()) / (kept.std(ddof=1) + epsilon),
            "dr_grpo": lambda i=i: scores[i] - kept.mean(),
            "rloo": lambda i=i, others=others: scores[i] - np.mean(others),
            "opo": lambda i=i: scores[i] - np.average(kept, weights=lengths[known]),
            "pass_at_k": lambda i=i: (
                (i == best) * (scores[best] - second) / (kept.std(ddof=1) + epsilon)
            ),
            "pass_at_k_margin": lambda i=i: (i == best) * (scores[best] - second),
        }[mode]()
    return out


@pytest.mark.parametrize("mode", MODES)
@given(scores=scores_strategy, mask=arrays(bool, G))
def test_group_advantages_equal_numpy(mode, scores, mask):
    found = FUNCTIONS[mode](scores, mask.astype(np.float32))
    np.testing.assert_allclose(found, independent(scores, mask, mode), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_unscorable_answers_are_left_out_with_finite_gradients(mode, bad):
    scores = np.array([1.0, bad, 0.25, bad, 2.0, -1.0], np.float32)
    known = np.isfinite(scores)
    found, gradient = _value_and_grad(mode)(scores)
    wanted = independent(scores, known, mode)
    np.testing.assert_allclose(found, (wanted * LENGTHS).sum(), rtol=1e-5, atol=1e-5)
    assert np.isfinite(gradient).all() and (gradient[~known] == 0).all()
    np.testing.assert_array_equal(
        FUNCTIONS[mode](scores), FUNCTIONS[mode](np.nan_to_num(scores), known.astype(np.float32))
    )


@pytest.mark.parametrize("mode", MODES)
@given(value=st.floats(-1e6, 1e6, width=32), mask=arrays(bool, G))
def test_an_all_equal_group_gets_exactly_zero(mode, value, mask):
    found = FUNCTIONS[mode](np.full(G, value, np.float32), mask.astype(np.float32))
    assert (np.asarray(found) == 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_finite_for_equal_empty_and_lone_groups(mode):
    grad = jax.jit(jax.grad(lambda s, m: (FUNCTIONS[mode](s, m) ** 2).sum()))
    for scores, mask in (
        (np.full(G, 0.3), np.ones(G)),
        (np.full(G, 0.3), np.zeros(G)),
        (np.arange(G), np.eye(G)[2]),
    ):
        gradient = grad(jnp.asarray(scores, jnp.float32), jnp.asarray(mask, jnp.float32))
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("mode", MODES)
@given(scores=scores_strategy, order=st.permutations(range(G)))
def test_permuting_a_group_permutes_its_advantages(mode, scores, order):
    order = np.array(order)
    if mode.startswith("pass_at_k") and (scores == scores.max()).sum() > 1:
        return  # the first of equally good answers is the best one, and "first" is an order
    function = WITH_LENGTHS[mode]
    one, other = function(scores, LENGTHS)[order], function(scores[order], LENGTHS[order])
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@given(scores=scores_strategy)
def test_grpo_and_rloo_differ_by_a_positive_factor(scores):
    grpo, rloo = np.asarray(FUNCTIONS["grpo"](scores)), np.asarray(FUNCTIONS["rloo"](scores))
    if (scores == scores[0]).all():
        return
    spread = scores.astype(np.float64).std(ddof=1)
    factor = (spread + 1e-6) * G / (G - 1)
    assert factor > 0
    np.testing.assert_allclose(grpo * factor, rloo, rtol=1e-4, atol=1e-5)


def test_a_flat_batch_of_unequal_groups_in_any_order():
    rng = np.random.default_rng(0)
    group = np.array([2, 0, 1, 0, 2, 2, 0, 2, 0, 0, 3])
    scores = rng.normal(size=group.size).astype(np.float32)
    mask = np.ones(group.size)
    mask[4] = 0
    lengths = rng.integers(1, 9, group.size).astype(np.float32)
    for mode in MODES:
        found = jax.jit(
            lambda s, mode=mode: credit.segment_advantages(
                s, group, 5, mask, mode=mode, lengths=lengths
            )
        )(scores)
        for g in range(4):
            rows = np.flatnonzero(group == g)
            wanted = independent(scores[rows], mask[rows], mode, lengths[rows])
            np.testing.assert_allclose(np.asarray(found)[rows], wanted, rtol=1e-5, atol=1e-5)


def test_a_lone_answer_keeps_its_score_on_request():
    scores, group = np.array([2.0, 1.0, 3.0], np.float32), np.array([0, 1, 1])
    kept = credit.segment_advantages(scores, group, 2, mode="grpo", lone_answer="score")
    np.testing.assert_allclose(kept[0], 2.0 / (1 + 1e-6), rtol=1e-6)
    assert credit.segment_advantages(scores, group, 2, mode="grpo")[0] == 0


def test_vmap_over_groups_equals_segments():
    scores = np.random.default_rng(1).normal(size=(4, G)).astype(np.float32)
    group = np.repeat(np.arange(4), G)
    for mode in ("grpo", "rloo"):
        lengths = np.broadcast_to(LENGTHS, scores.shape)
        lifted = jax.jit(jax.vmap(WITH_LENGTHS[mode]))(scores, lengths)
        segments = jax.jit(lambda s, mode=mode: credit.segment_advantages(s, group, 4, mode=mode))
        flat = segments(scores.ravel())
        np.testing.assert_allclose(lifted.ravel(), flat, rtol=1e-5, atol=1e-6)


def test_gradient_in_the_scores_is_that_of_central_differences():
    scores = np.array([0.5, -1.0, 2.0, 0.25, 1.5, -0.75])
    for mode in MODES:
        _, gradient = _value_and_grad(mode)(scores.astype(np.float32))
        ones = np.ones(G)
        numeric = [
            np.dot(
                independent(scores + 1e-6 * e, ones, mode)
                - independent(scores - 1e-6 * e, ones, mode),
                LENGTHS,
            )
            / 2e-6
            for e in np.eye(G)
        ]
        np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-4)


def numpy_multi(rewards, weights, group, aggregation, scale, epsilon=1e-4):
    rewards, applies = np.nan_to_num(rewards.astype(np.float64)), ~np.isnan(rewards)
    scorable = applies.any(axis=1)
    out = np.zeros(len(rewards))
    if aggregation == "normalise_then_sum":
        scores = np.zeros(len(rewards))
        for k, weight in enumerate(weights):
            for g in np.unique(group):
                rows = (group == g) & applies[:, k]
                if rows.sum() > 1:
                    kept = rewards[rows, k]
                    scores[rows] += weight * (kept - kept.mean()) / (kept.std(ddof=1) + epsilon)
        kept = scores[scorable]
        out[scorable] = (kept - kept.mean()) / (kept.std(ddof=1) + epsilon)
        return out
    scores = (rewards * weights).sum(axis=1)
    for g in np.unique(group):
        rows = (group == g) & scorable
        if rows.sum() > 1:
            divisor = {
                "group": scores[rows].std(ddof=1) + epsilon,
                "batch": scores[scorable].std(ddof=1) + epsilon,
                "none": 1.0,
            }[scale]
            out[rows] = (scores[rows] - scores[rows].mean()) / divisor
    return out


@pytest.mark.parametrize(
    ("aggregation", "scale"),
    [
        ("sum_then_normalise", "group"),
        ("sum_then_normalise", "batch"),
        ("sum_then_normalise", "none"),
        ("normalise_then_sum", "group"),
    ],
)
def test_several_rewards_with_gaps(aggregation, scale):
    rng = np.random.default_rng(2)
    rewards = rng.normal(size=(8, 3)).astype(np.float32)
    rewards[[0, 5], [1, 2]] = np.nan
    rewards[3] = np.nan
    weights, group = np.array([1.0, 0.5, 2.0], np.float32), np.repeat([0, 1], 4)
    options = dict(aggregation=aggregation, scale=scale)

    @jax.jit
    def call(rewards):
        return credit.multi_reward_advantages(rewards, weights, group, 2, **options)

    wanted = numpy_multi(rewards, weights, group, aggregation, scale)
    np.testing.assert_allclose(call(rewards), wanted, rtol=1e-5, atol=1e-5)
    assert call(rewards)[3] == 0
    gradient = jax.jit(jax.grad(lambda r: (call(r) * np.arange(8)).sum()))(rewards)
    assert np.isfinite(gradient).all()
    same = np.ones_like(rewards)
    assert (np.asarray(call(same)) == 0).all()


def test_normalised_rloo_and_token_methods():
    scores = np.array([1.0, 0.0, 0.5, np.nan, 2.0, 1.0, 0.0, 0.5], np.float32)
    group = np.repeat([0, 1], 4)
    plain = np.asarray(jax.jit(lambda s: credit.rloo_advantages(s, group, 2))(scores))
    known = ~np.isnan(scores)
    kept = plain[known].astype(np.float64)
    wanted = np.zeros(8)
    wanted[known] = (kept - kept.mean()) / (kept.std(ddof=1) + 1e-4)
    found = jax.jit(lambda s: credit.rloo_advantages(s, group, 2, normalise=True))(scores)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)

    rng = np.random.default_rng(3)
    rewards = rng.normal(size=(3, 5)).astype(np.float32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], np.float32)
    dirty = np.where(mask > 0, rewards, np.nan).astype(np.float32)
    returns = np.zeros((3, 5))
    for row in range(3):
        running = 0.0
        for t in reversed(range(5)):
            running = (rewards[row, t] + 0.9 * running) if mask[row, t] else 0.0
            returns[row, t] = running
    valid = returns[mask > 0]
    advantages = (returns - valid.mean()) / np.sqrt(valid.var(ddof=1) + 1e-8) * mask
    reinforce = jax.jit(credit.reinforce_plus_plus)
    found = reinforce(dirty, mask, 0.9)
    np.testing.assert_allclose(found[0], advantages, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.where(mask > 0, found[1], 0), returns, rtol=1e-5, atol=1e-5)
    grad = jax.jit(jax.grad(lambda d: (reinforce(dirty, mask, d)[0] ** 3).sum()))(0.9)
    assert np.isfinite(grad)

    baseline = np.array([0.5, -1.0, 3.0], np.float32)
    found = credit.remax(dirty, baseline, mask)[0]
    sums = np.cumsum((rewards * mask)[:, ::-1], axis=1)[:, ::-1]
    np.testing.assert_allclose(found, (sums - baseline[:, None]) * mask, rtol=1e-5, atol=1e-5)


def test_reward_spread_counts_the_groups_that_teach():
    nan = np.nan
    scores = np.array([[0, 0, 0], [0, 1, 0], [1, nan, 1], [nan, 1, 0], [nan] * 3], np.float32)
    np.testing.assert_allclose(credit.reward_spread(scores), 0.4)
    np.testing.assert_allclose(credit.reward_spread(scores, tolerance=1.0), 0.0)


def test_what_is_not_allowed_is_named():
    scores, group = np.zeros(4, np.float32), np.zeros(4, np.int32)
    with pytest.raises(ValueError, match="'gpro'.*grpo, dr_grpo, rloo"):
        credit.group_advantages(scores, mode="gpro")
    with pytest.raises(ValueError, match="lengths"):
        credit.group_advantages(scores, mode="opo")
    with pytest.raises(ValueError, match="lengths"):
        credit.segment_advantages(scores, group, 1, mode="opo")
    with pytest.raises(ValueError, match="'keep'.*zero, score"):
        credit.segment_advantages(scores, group, 1, lone_answer="keep")
    with pytest.raises(ValueError, match=r"group_id \(3,\)"):
        credit.segment_advantages(scores, group[:3], 1)
    with pytest.raises(ValueError, match="'median'.*group, batch, none"):
        credit.multi_reward_advantages(scores[:, None], np.ones(1), group, 1, scale="median")
    with pytest.raises(ValueError, match="do not fit"):
        credit.multi_reward_advantages(scores[:, None], np.ones(2), group, 1)
