"""Recipes: each fits its world; training a preset a little, and CartPole's in full."""

import dataclasses

import jax
import pytest
from jaxrl_envs import registry

from benchmarks.learning.reference_returns import train
from jaxrl_rewards.core import InputError
from jaxrl_rewards.learners.ppo import PPOHParams, make_ppo
from jaxrl_rewards.learners.presets import PRESETS, preset


@pytest.mark.parametrize("name", list(PRESETS))
def test_each_recipe_fits_its_world(name):
    recipe, env = preset(name), registry.make(name)
    assert set(recipe.numbers) <= {field.name for field in dataclasses.fields(PPOHParams)}
    hparams = recipe.hparams(env.default_params())
    assert float(hparams.learning_rate.at(recipe.updates)) == 0.0
    learner = make_ppo(env, recipe.config, hparams=hparams)
    state = jax.eval_shape(learner.init, jax.random.key(0), hparams)
    assert state.step.shape == ()


def test_an_unknown_name_lists_those_that_have_a_recipe():
    with pytest.raises(InputError, match="'CartPole'; choose one of CartPole-v1"):
        preset("CartPole")


def test_a_little_training_of_a_recipe_learns():
    recipe = preset("gridworld-line-key")
    before, after = train(recipe, 2, updates=1), train(recipe, 2, updates=30)
    assert after.mean() >= 0.9 > before.mean()


@pytest.mark.slow
def test_the_recipe_of_cartpole_reaches_its_reference_return():
    recipe = preset("CartPole-v1")
    assert train(recipe, 2).mean() >= recipe.reference_return
