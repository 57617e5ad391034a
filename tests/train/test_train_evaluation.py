"""Evaluation: episodes end where they end."""

import jax
import numpy as np
import pytest

from jaxrl_rewards.train import evaluate_policy, make_evaluator
from tests.train.toys import CountDown, make_counter_policy, make_regression

KEY = jax.random.key(5)
ENV = CountDown()
PARAMS = ENV.default_params()


def start(learner):
    return learner.init(jax.random.key(0), learner.hparams)


def test_returns_and_lengths_stop_at_the_end_of_each_episode():
    learner = make_counter_policy()
    result = evaluate_policy(learner, start(learner), ENV, PARAMS, KEY, 64)
    lengths = np.asarray(result["lengths"])
    assert set(lengths) == set(range(3, 10))
    np.testing.assert_array_equal(result["returns"], lengths)
    assert result["return"] == lengths.mean()
    assert result["terms"]["work"] == 2 * lengths.mean()
    assert result["success"] == 1.0
    assert result["finished"] == 1.0


def test_a_limit_cuts_episodes_that_go_on():
    learner = make_counter_policy()
    result = evaluate_policy(learner, start(learner), ENV, PARAMS, KEY, 64, max_steps=5)
    lengths = np.asarray(result["lengths"])
    assert lengths.max() == 5
    natural = np.asarray(evaluate_policy(learner, start(learner), ENV, PARAMS, KEY, 64)["lengths"])
    assert result["finished"] == (natural <= 5).mean()
    np.testing.assert_array_equal(result["successes"], natural <= 5)


def test_a_recurrent_carry_is_threaded_from_zeros():
    learner = make_counter_policy(recurrent=True)
    result = evaluate_policy(learner, start(learner), ENV, PARAMS, KEY, 16)
    np.testing.assert_array_equal(result["returns"], np.asarray(result["lengths"]) // 2)


def test_an_episode_does_not_depend_on_its_neighbours():
    learner = make_counter_policy()
    many = evaluate_policy(learner, start(learner), ENV, PARAMS, KEY, 16, deterministic=False)
    few = evaluate_policy(learner, start(learner), ENV, PARAMS, KEY, 4, deterministic=False)
    np.testing.assert_array_equal(many["returns"][:4], few["returns"])
    assert 0 < many["return"] < many["length"]


def test_the_evaluator_of_the_runner_keeps_the_seed_axis():
    learner = make_regression()._replace(act=make_counter_policy().act)
    keys = jax.random.split(KEY, 3)
    states = jax.vmap(learner.init, in_axes=(0, None))(keys, learner.hparams)
    evaluate = make_evaluator(learner, ENV, PARAMS, 8, num_seeds=3)
    result = evaluate(states, KEY)
    assert set(result) == {"return", "length", "finished", "success"}
    assert result["return"].shape == (3,)


def test_static_mistakes_are_named():
    learner = make_counter_policy()
    with pytest.raises(ValueError, match="episodes must be at least 1"):
        evaluate_policy(learner, None, ENV, PARAMS, KEY, 0)
    with pytest.raises(ValueError, match="max_steps must be at least 1"):
        evaluate_policy(learner, None, ENV, PARAMS, KEY, 1, max_steps=0)
