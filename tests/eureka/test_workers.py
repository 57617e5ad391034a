"""Candidates over processes: every candidate once, in order; errors come back."""

import jax
import numpy as np
import pytest

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design.eureka.trainer import Runs
from jaxrl_rewards.reward_design.eureka.workers import CandidateWorkers


class Echo:
    """Gives back what it was handed, with its own process in no part of it."""

    def train(self, programs, keys, *, success_weight):
        if (programs["number"] < 0).any():
            raise ValueError("a negative number")
        word = np.asarray(jax.random.key_data(keys))[:, 1:].astype(np.float32)
        fitness = programs["number"] + np.float32(100) * success_weight
        return Runs(fitness=fitness, success=word, reward=word, terms=word[..., None])


def build():
    return Echo()


def test_candidates_are_shared_out_and_put_together_in_order():
    with CandidateWorkers(build, processes=2) as workers:
        for count in (1, 5):
            keys = jax.random.split(jax.random.key(4), count)
            numbers = np.arange(count, dtype=np.float32)
            runs = workers.train({"number": numbers}, keys, success_weight=numbers)
            np.testing.assert_array_equal(runs.fitness, 101 * numbers)
            expected = np.asarray(jax.random.key_data(keys))[:, 1:].astype(np.float32)
            np.testing.assert_array_equal(runs.success, expected)
        with pytest.raises(RuntimeError, match="ValueError: a negative number"):
            workers.train({"number": -np.ones(2, np.float32)}, keys[:2])
        with pytest.raises(InputError, match="no candidate"):
            workers.train({"number": np.zeros(0, np.float32)}, keys[:0])


def test_at_least_one_process():
    with pytest.raises(InputError, match="processes must be at least 1, got 0"):
        CandidateWorkers(build, processes=0)
