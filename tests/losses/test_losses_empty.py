"""Responses without a single valid token: left out of the count, or counted on request."""

import jax
import numpy as np
import pytest

from tests.losses.named import aggregate, policy_loss

LOSS = np.random.default_rng(13).normal(size=(3, 5)).astype(np.float32)
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], np.float32)


@pytest.mark.parametrize("mode", ["seq-mean-token-mean", "seq-mean-token-sum"])
def test_empty_responses_count_on_request(mode):
    function = jax.jit(aggregate, static_argnames=("mode", "count_empty"))
    rows = (LOSS * MASK).sum(axis=1, dtype=np.float64)
    rows /= np.maximum(MASK.sum(axis=1), 1) if mode == "seq-mean-token-mean" else 1
    np.testing.assert_allclose(function(LOSS, MASK, mode), rows.sum() / 2, rtol=1e-6)
    np.testing.assert_allclose(
        function(LOSS, MASK, mode, count_empty=True), rows.sum() / 3, rtol=1e-6
    )
    assert function(LOSS, 0 * MASK, mode, count_empty=True) == 0


def test_the_policy_loss_passes_the_choice_on():
    old = -np.abs(LOSS)
    loss = jax.jit(
        lambda new: [
            policy_loss(new, old, LOSS[:, 0], MASK, kind="grpo", count_empty=c)[0]
            for c in (False, True)
        ]
    )
    left_out, counted = loss(old + 0.1 * LOSS)
    np.testing.assert_allclose(counted, left_out * 2 / 3, rtol=1e-6)
