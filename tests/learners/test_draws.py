"""Chance drawn ahead is the chance that would have been drawn on the way."""

import jax
import numpy as np
import pytest
from jaxrl_envs.registry import make

from jaxrl_rewards.core import Box, Discrete, MultiDiscrete
from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.rollout.autoreset import AutoReset

SPACES = {
    "discrete": (Discrete(3), {}),
    "multi": (MultiDiscrete((2, 4)), {}),
    "gauss": (Box(-1.0, 1.0, (2,)), {}),
    "scalar": (Box(-1.0, 1.0, ()), {}),
    "squashed": (Box(-1.0, 1.0, (2,)), {"squash": True}),
}


@pytest.mark.parametrize("name", SPACES)
def test_a_sample_is_the_draw_of_its_noise(name):
    space, options = SPACES[name]
    head = action_head(space, **options)
    key = jax.random.key(3)
    output = jax.random.normal(jax.random.key(0), (5, head.size))
    sampled, drawn = head.sample(key, output), head.draw(head.noise(key, (5,)), output)
    for one, other in zip(sampled, drawn, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_categorical_sample_is_jax_s():
    head = action_head(Discrete(4))
    logits = jax.random.normal(jax.random.key(0), (50, 4))
    action, _ = head.sample(jax.random.key(1), logits)
    np.testing.assert_array_equal(action, jax.random.categorical(jax.random.key(1), logits))


@pytest.mark.parametrize("mode", ["fresh", "pool", "cached"])
def test_a_step_is_the_advance_of_its_draw(mode):
    env = AutoReset(make("CartPole-v1", max_steps=2), mode, pool_size=3)
    params = env.prepare(jax.random.key(0), env.env.default_params())
    state, _ = env.reset(jax.random.key(1), params)
    for number in range(4):
        key = jax.random.key(10 + number)
        stepped = env.step(key, state, 1, params)
        draw = env.draw(jax.random.split(key), params)
        advanced = env.advance(draw, state, 1, params)
        for one, other in zip(jax.tree.leaves(stepped), jax.tree.leaves(advanced), strict=True):
            np.testing.assert_array_equal(one, other)
        state = stepped[0]
