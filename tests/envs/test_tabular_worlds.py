"""Rooms, the line with a key and the chain: facts of their models, and walks in them."""

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np
import pytest
from jaxrl_envs.control import TabularWorld, chain_model, line_key_model, rooms_model
from jaxrl_envs.control.tabular import table_reward

from jaxrl_rewards.core import InputError

UP, LEFT, DOWN, RIGHT = range(4)


def sure(model, state, action):
    """Where a noiseless model leads."""
    return int(np.flatnonzero(model.transition[state, action] == 1.0)[0])


def test_rooms_have_thin_walls_with_gates():
    model = rooms_model(noise=0.0)
    assert model.transition.shape == (50, 4, 50)
    for column in range(7):
        opened = column in (1, 5)
        assert sure(model, 14 + column, UP) == (21 + column if opened else 14 + column)
        assert sure(model, 21 + column, DOWN) == (14 + column if opened else 21 + column)
    for row in range(7):
        opened = row in (1, 5)
        assert sure(model, 7 * row + 2, RIGHT) == 7 * row + (3 if opened else 2)
        assert sure(model, 7 * row + 3, LEFT) == 7 * row + (2 if opened else 3)
    assert [sure(model, 0, a) for a in (LEFT, DOWN)] == [49, 49]
    assert [sure(model, 48, a) for a in (UP, RIGHT)] == [49, 49]
    assert sure(model, 6, RIGHT) == 6 and sure(model, 42, UP) == 42
    assert np.argmax(model.start) == 8 and model.reward[48, RIGHT] == 10.0
    assert np.count_nonzero(model.reward) == 1


def test_noise_of_the_rooms_goes_to_the_other_neighbours():
    model = rooms_model(noise=0.3)
    inside = model.transition[8]  # (1, 1) has four neighbours
    np.testing.assert_allclose(inside[UP, [15, 7, 1, 9]], [0.7, 0.1, 0.1, 0.1])
    blocked = model.transition[6]  # the corner (6, 0) has two
    np.testing.assert_allclose(blocked[RIGHT, [6, 5, 13]], [0.7, 0.15, 0.15])
    drawn = rooms_model(noise=0.4, noise_kind="action").transition
    np.testing.assert_allclose(drawn[8, UP, [15, 7, 1, 9]], [0.7, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(drawn[6, RIGHT, [6, 5, 13]], [0.8, 0.1, 0.1])


def test_the_line_with_a_key():
    model = line_key_model(noise=0.0)
    left, right, pick = range(3)
    assert np.argmax(model.start) == 4
    assert sure(model, 1, pick) == 11 and sure(model, 2, pick) == 2 and sure(model, 11, pick) == 11
    assert sure(model, 0, left) == 20 and sure(model, 10, left) == 10
    assert sure(model, 9, right) == 9 and sure(model, 19, right) == 20
    assert model.reward[19, right] == 10.0 and np.count_nonzero(model.reward) == 1
    noisy = line_key_model(noise=0.2).transition
    np.testing.assert_allclose(noisy[5, right, [6, 4, 5]], [0.8, 0.1, 0.1])


def test_the_chain():
    model = chain_model(noise=0.0, distractor=0.01)
    left, right = range(2)
    assert model.transition.shape == (62, 2, 62)
    assert np.argmax(model.start) == 40
    assert sure(model, 0, left) == 61 and sure(model, 60, right) == 60
    assert model.reward[60, right] == 1.0 and model.reward[25, left] == 0.01
    np.testing.assert_allclose(chain_model(noise=0.1).transition[5, left, [4, 6]], [0.95, 0.05])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rooms", "line-key", "chain"])
def test_walks_follow_the_model(name):
    """Frequencies of 4000 draws from one state lie within 5 standard errors."""
    env = jaxrl_envs.make(f"tabular-{name}")
    params = env.default_params()
    model = env.model
    np.testing.assert_allclose(env.transition_tensor(params), model.transition, atol=1e-6)
    np.testing.assert_allclose(env.reward_matrix(params), model.reward, atol=1e-6)
    state, _ = env.reset(jax.random.key(0), params)
    keys = jax.random.split(jax.random.key(1), 4000)
    following = jax.vmap(lambda key: env.step(key, state, 1, params)[0].index)(keys)
    seen = np.bincount(following, minlength=model.num_states) / len(keys)
    expected = model.transition[int(state.index), 1]
    error = np.sqrt(expected * (1 - expected) / len(keys))
    assert np.all(np.abs(seen - expected) <= 5 * error)


def test_a_designed_reward_is_used_by_the_world():
    env = TabularWorld("rooms", observation="state", noise=0.0)
    values = np.arange(200.0).reshape(50, 4)
    params = env.default_params().replace(reward=1.0 * table_reward(values))
    state, first = env.reset(jax.random.key(0), params)
    nxt, timestep = env.step(jax.random.key(1), state, jnp.int32(UP), params)
    assert int(first.obs) == 8 and int(nxt.index) == 15
    assert float(timestep.reward) == values[8, UP]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TabularWorld("castle"), "tabular model 'castle' is unknown"),
        (lambda: TabularWorld(observation="picture"), "observation 'picture'"),
        (lambda: TabularWorld(rooms_model(), noise=0.1), "not to a ready one"),
        (lambda: rooms_model(noise=1.5), "noise must lie"),
        (lambda: rooms_model(noise_kind="wind"), "noise_kind 'wind'"),
        (lambda: chain_model(left_cells=0), "cells on both sides"),
        (lambda: chain_model(distractor_distance=50), "distractor_distance"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
