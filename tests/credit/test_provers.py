"""Progress: telescoping, masks, provers from best of K, beams, and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.credit import (
    beam_select,
    best_of_k_q,
    first_pit,
    progress,
    progress_policy_loss,
    prover_quality,
)


def test_best_of_k_is_exact_where_q_is_tiny_or_sure():
    q = np.asarray([0.0, 1e-9, 1e-4, 0.3, 0.999, 1.0])
    for k in (1, 4, 32, 2.5):
        expected = -np.expm1(k * np.log1p(-q[:-1]))
        np.testing.assert_allclose(best_of_k_q(q, k), [*expected, 1.0], rtol=1e-5)
    gradient = jax.vmap(jax.grad(lambda q: best_of_k_q(q, 4.0)))(jnp.asarray([0.0, 0.5]))
    np.testing.assert_allclose(gradient, [4.0, 4 * 0.5**3], rtol=1e-5)
    with pytest.raises(ValueError, match="best of k=0 needs k of at least 1"):
        best_of_k_q(q, 0)


def test_progress_telescopes_and_steps_over_masked_steps():
    q = np.asarray([[0.2, np.nan, 0.5, 0.1], [0.9, 0.8, 0.7, 0.6]])
    mask = np.asarray([[1, 0, 1, 1], [1, 1, 0, 0]], np.float32)
    found = progress(q, jnp.asarray([0.1, 0.5]), mask)
    np.testing.assert_allclose(found, [[0.1, 0, 0.3, -0.4], [0.4, -0.1, 0, 0]], atol=1e-6)
    plain = progress(q[1], 0.5)
    assert np.isclose(plain.sum(), 0.6 - 0.5)


def test_first_pit():
    q = np.asarray(
        [[0.2, 0.7, 0.3, 0.0, 0.9], [0.0, 0.2, 0.0, 0.4, 0.3], [0.9, 0.0, 0.6, 0.0, 0.0]]
    )
    assert first_pit(q).tolist() == [3, 5, 1]
    assert first_pit(q, step_mask=np.asarray([[1, 1, 1, 0, 1]] * 3)).tolist() == [5, 5, 1]


def test_beams_keep_the_best_and_leave_out_what_is_not_valid():
    q = jnp.asarray([[0.5, 0.1], [0.5, 0.9]])
    zero, value = jnp.zeros((2, 2)), jnp.zeros(2)
    beam = beam_select(q, zero, value, 1.0, 3)
    assert list(zip(beam.beam.tolist(), beam.candidate.tolist(), strict=True)) == [
        (1, 1), (0, 0), (1, 0),
    ]  # fmt: skip
    valid = jnp.asarray([[True, True], [True, False]])
    beam = beam_select(q, zero, value, 1.0, 2, valid)
    assert beam.beam.tolist() == [0, 1] and beam.candidate.tolist() == [0, 0]
    with pytest.raises(ValueError, match="keep=5 exceeds the 4 candidates"):
        beam_select(q, zero, value, 1.0, 5)


def test_provers_that_cannot_tell_have_no_quality():
    policy = jnp.full((3, 4), 0.25)
    states = jnp.full(3, 1 / 3)
    aligned = jax.random.normal(jax.random.key(0), (3, 4))
    aligned = aligned - aligned.mean(1, keepdims=True)
    none = prover_quality(policy, jnp.zeros((3, 4)), aligned, states)
    assert none.distinguishability == 0 and none.alignment == 0
    same = prover_quality(policy, aligned, aligned, states)
    assert np.isclose(same.distinguishability, same.alignment) and same.alignment > 0


def test_the_loss_weights_tokens_by_outcome_and_their_own_progress():
    log_prob = jnp.asarray([[-1.0, -2.0, jnp.nan], [-0.5, -0.1, -0.2]])
    gain = jnp.asarray([[0.1, -0.2, jnp.nan], [0.3, 0.0, 0.5]])
    mask = jnp.asarray([[1.0, 1, 0], [1, 1, 1]])
    outcome = jnp.asarray([1.0, 0.0])

    def loss(log_prob):
        return progress_policy_loss(log_prob, outcome, gain, mask, 2.0, 0.25)

    weight = np.asarray([[0.95, 0.35, 0], [0.35, -0.25, 0.75]])
    np.testing.assert_allclose(jax.grad(loss)(log_prob), -weight / 2, atol=1e-6)
    expected = -np.sum(weight * np.nan_to_num(np.asarray(log_prob))) / 2
    assert np.isclose(loss(log_prob), expected)
