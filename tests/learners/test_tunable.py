"""The floating part of hyper-parameters: gradients pass integers and keys by."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import record
from jaxrl_rewards.learners.ppo import PPOHParams
from jaxrl_rewards.learners.tunable import tunable
from jaxrl_rewards.rewards import reward_term
from jaxrl_rewards.rewards.base import Reward


@record
class Params:
    """A world's params with leaves that no gradient can be taken by."""

    max_steps: jax.Array
    gravity: jax.Array
    flag: jax.Array
    key: jax.Array
    half: jax.Array
    reward: Reward


def hparams():
    effort = reward_term(lambda prev, action, nxt, scale: scale * action**2, name="effort", scale=3)
    return PPOHParams(
        env_params=Params(
            max_steps=jnp.int32(200),
            gravity=jnp.float32(9.8),
            flag=jnp.ones((), bool),
            key=jax.random.key(3),
            half=jnp.bfloat16(0.5),
            reward=0.5 * effort,
        ),
        learning_rate=1e-3,
    )


def loss(values):
    world = values.env_params
    noise = jax.random.uniform(world.key, dtype=jnp.float32)
    total, _ = world.reward(0.0, jnp.float32(2.0), 0.0)
    steps = world.max_steps.astype(jnp.float32)
    return total * steps + noise * world.gravity + values.learning_rate * steps


def test_gradients_pass_integers_keys_and_flags_by():
    whole = hparams()
    with pytest.raises(TypeError):
        jax.grad(loss)(whole)
    floats, rebuild = tunable(whole)
    assert floats.env_params.max_steps is None and floats.env_params.key is None
    assert floats.env_params.flag is None and floats.env_params.half.dtype == jnp.bfloat16
    gradient = jax.jit(jax.grad(lambda floats: loss(rebuild(floats))))(floats)
    np.testing.assert_allclose(gradient.learning_rate, 200.0)
    np.testing.assert_allclose(gradient.env_params.reward.weights[0], 3 * 4 * 200.0)
    stepped = jax.tree.map(lambda leaf, slope: leaf - 0 * slope, floats, gradient)
    np.testing.assert_allclose(loss(rebuild(stepped)), loss(whole), rtol=1e-6)


def test_the_rest_comes_back_as_it_was():
    whole = hparams()
    floats, rebuild = tunable(whole)
    again = rebuild(floats)
    assert jax.tree.structure(again) == jax.tree.structure(whole)
    assert again.env_params.max_steps.dtype == jnp.int32
    assert again.env_params.key.dtype == whole.env_params.key.dtype
    batched = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), floats)
    assert jax.vmap(lambda floats: loss(rebuild(floats)))(batched).shape == (2,)
    with pytest.raises(ValueError, match="another structure"):
        rebuild(whole)
