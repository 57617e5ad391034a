"""Implicit rewards and PRIME's credit against float64 loops, and at their edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.credit import masked_whiten, prime_advantage, prime_group, prompt_filter
from jaxrl_rewards.reward_models.implicit import (
    batch_normalise,
    check_outcomes,
    implicit_cross_entropy,
    implicit_preference,
    implicit_rewards,
    log_ratios,
    pairwise_accuracy,
)


def batch(seed, rows=6, length=7):
    """Random log-probabilities with garbage behind the mask."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, length + 1, rows)
    lengths[0] = length
    mask = (np.arange(length) < lengths[:, None]).astype(np.float32)
    model, reference = -random.exponential(size=(2, rows, length)).astype(np.float32)
    model[mask == 0], reference[mask == 0] = np.nan, np.inf
    return model, reference, mask, random.integers(0, 2, rows).astype(np.float32)


def by_hand(process, outcome, mask, size, discount, variant):
    """Algorithm 1 (or the official code) in plain loops."""
    process = np.where(mask > 0, process, 0.0).astype(np.float64)
    out = np.zeros_like(process)
    for first in range(0, len(outcome), size):
        group = range(first, first + size)
        mean = {i: process[i].sum() / max(mask[i].sum(), 1) for i in group}
        for i in group:
            others = [j for j in group if j != i]
            own = outcome[i] - np.mean([outcome[j] for j in others])
            baseline = np.mean([mean[j] for j in others])
            running, length = 0.0, int(mask[i].sum())
            for t in range(length - 1, -1, -1):
                if variant == "paper":
                    running = process[i, t] - baseline + discount * running
                    out[i, t] = own + running
                else:
                    now = process[i, t] * size / (size - 1) - sum(mean.values()) / (size - 1)
                    now += own if t == length - 1 else 0.0
                    running = now + discount * running
                    out[i, t] = running
    return out


@pytest.mark.parametrize("variant", ["paper", "official"])
@given(seed=st.integers(0, 10**6), discount=st.sampled_from([1.0, 0.9]))
def test_advantages_follow_the_algorithm(variant, seed, discount):
    process, _, mask, outcome = batch(seed)
    process = np.where(mask > 0, process, np.nan)
    ours = prime_advantage(process, outcome, mask, 3, discount, variant=variant, whiten=False)
    expected = by_hand(process, outcome, mask, 3, discount, variant)
    np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_variants_agree_on_rewards_of_whole_sequences_in_length_one():
    process, _, _, outcome = batch(0, length=1)
    mask = np.ones_like(process)
    process = np.nan_to_num(process)
    both = [
        prime_advantage(process, outcome, mask, 3, variant=v, whiten=False)
        for v in ("paper", "official")
    ]
    np.testing.assert_allclose(*both, atol=1e-6)


def test_equal_groups_and_nothing_learnt_give_nothing():
    zero, mask = jnp.zeros((4, 5)), jnp.ones((4, 5))
    for outcome in (jnp.zeros(4), jnp.ones(4)):
        assert np.all(np.asarray(prime_advantage(zero, outcome, mask, 4)) == 0)
    same = implicit_rewards(-mask, -mask, mask)
    assert np.all(np.asarray(same) == 0) and np.all(np.asarray(batch_normalise(zero)) == 0)
    nothing = prime_advantage(jnp.ones((4, 5)), jnp.asarray([0, 1.0, 0, 1]), 0 * mask, 4)
    assert np.all(np.asarray(nothing) == 0)


def test_whitening_is_that_of_the_valid_tokens():
    process, _, mask, outcome = batch(1)
    plain = prime_advantage(np.nan_to_num(process), outcome, mask, 3, whiten=False)
    whole = prime_advantage(np.nan_to_num(process), outcome, mask, 3)
    np.testing.assert_allclose(whole, np.where(mask > 0, masked_whiten(plain, mask), 0), atol=1e-6)


def test_groups_that_do_not_fit_are_named():
    ones = jnp.ones((6, 2))
    with pytest.raises(ValueError, match="6 rows are no whole groups of group_size=4"):
        prime_advantage(ones, jnp.ones(6), ones, 4)
    with pytest.raises(ValueError, match="group_size=1, at least 2"):
        prime_advantage(ones, jnp.ones(6), ones, 1)
    with pytest.raises(ValueError, match="a group of 1 has no others"):
        prime_group(ones[:1], jnp.ones(1), ones[:1])
    with pytest.raises(ValueError, match="group_size=1: an answer is compared"):
        pairwise_accuracy(ones, jnp.ones(6), ones, 1)
    with pytest.raises(ValueError, match="outcomes must lie in .0, 1., got nan"):
        check_outcomes([0.0, np.nan, 1.0])
    with pytest.raises(ValueError, match="got 1.5"):
        check_outcomes([1.5])


def test_the_filter_keeps_its_bounds_and_drops_the_unknown():
    outcome = jnp.asarray(
        [[1, 0, 0, 0, 0], [1, 1, 1, 1, 0], [0] * 5, [1] * 5, [np.nan, 1, 0, 0, 0]]
    )
    assert prompt_filter(outcome, 0.2, 0.8).tolist() == [True, True, False, False, False]
    cut = jnp.zeros((5, 5), bool).at[0, 3].set(True)
    assert prompt_filter(outcome, 0.2, 0.8, cut).tolist() == [False, True, False, False, False]


def test_implicit_rewards_ignore_padding_and_scale_the_largest_return_to_one():
    model, reference, mask, _ = batch(2)
    for granularity in ("token", "whole"):
        found = implicit_rewards(model, reference, mask, granularity=granularity)
        to_go = np.cumsum(np.asarray(found)[:, ::-1], axis=1)
        assert np.isfinite(found).all() and np.isclose(np.abs(to_go).max(), 1.0, atol=1e-4)
        assert np.all(np.asarray(found)[mask == 0] == 0)
    plain = implicit_rewards(model, reference, mask, 0.5, norm="beta")
    np.testing.assert_allclose(plain, 0.5 * log_ratios(model, reference, mask), rtol=1e-6)
    whole = implicit_rewards(model, reference, mask, 0.5, norm="beta", granularity="whole")
    np.testing.assert_allclose(whole.sum(1), plain.sum(1), rtol=1e-5, atol=1e-6)
    assert np.all((np.asarray(whole) != 0).sum(1) <= 1)


def test_cross_entropy_against_float64_and_far_out():
    model, reference, mask, outcome = batch(3)
    with jax.enable_x64(True):
        ratio = np.where(mask > 0, model.astype(np.float64) - reference.astype(np.float64), 0.0)
        logit = 0.7 * ratio.sum(1)
        chance = 1 / (1 + np.exp(-logit))
    expected = -np.mean(outcome * np.log(chance) + (1 - outcome) * np.log(1 - chance))

    def loss(model):
        return implicit_cross_entropy(model, reference, outcome, mask, 0.7)

    value, grad = jax.value_and_grad(loss)(model)
    assert np.isclose(value, expected, rtol=1e-5)
    expected = 0.7 * (chance - outcome)[:, None] / len(outcome) * mask
    np.testing.assert_allclose(grad, expected, rtol=1e-4, atol=1e-7)
    far = implicit_cross_entropy(
        jnp.asarray([[400.0], [-400.0]]), jnp.zeros((2, 1)), jnp.asarray([1.0, 1.0]),
        jnp.ones((2, 1)), 1.0,
    )  # fmt: skip
    assert np.isclose(far, 200.0)


def test_weights_leave_responses_out():
    model, reference, mask, outcome = batch(4)
    weight = np.asarray([1, 0, 1, 1, 0, 1], np.float32)
    unknown = np.where(weight > 0, outcome, np.nan)
    ours = implicit_cross_entropy(model, reference, unknown, mask, 0.3, weight)
    kept = weight > 0
    alone = implicit_cross_entropy(model[kept], reference[kept], outcome[kept], mask[kept], 0.3)
    assert np.isclose(ours, alone, rtol=1e-6)
    assert implicit_cross_entropy(model, reference, outcome, mask, 0.3, 0 * weight) == 0


def test_preference_loss_over_all_mixed_pairs():
    model, reference, mask, _ = batch(5)
    outcome = np.asarray([1, 0, 0, 1, 0, 1], np.float32)
    logit = 0.4 * np.asarray(log_ratios(model, reference, mask), np.float64).sum(1)
    pairs = [(i, j) for i in range(6) for j in range(6) if outcome[i] > outcome[j]]
    expected = np.mean([np.log1p(np.exp(-(logit[i] - logit[j]))) for i, j in pairs])
    assert np.isclose(
        implicit_preference(model, reference, outcome, mask, 0.4), expected, rtol=1e-5
    )
    assert implicit_preference(model, reference, jnp.ones(6), mask, 0.4) == 0
