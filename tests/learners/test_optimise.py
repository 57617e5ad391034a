"""The guarded optimiser step: clipping by norm, per network or over all, and refusal."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl_rewards.core import Box
from jaxrl_rewards.learners.optimise import adam, broadcast_labels, guarded_step
from jaxrl_rewards.networks.actor_critic import gru_actor_critic

PARAMS = {"actor": jnp.array([1.0, 2.0]), "critic": [jnp.array([3.0]), jnp.array([-1.0])]}
GRADS = {"actor": jnp.array([0.03, 0.04]), "critic": [jnp.array([30.0]), jnp.array([40.0])]}


def step(grads, **kwargs):
    optimiser = optax.identity()
    return guarded_step(
        optimiser,
        PARAMS,
        optimiser.init(PARAMS),
        grads,
        jnp.float32(1.0),
        jnp.float32(0.5),
        **kwargs,
    )


def test_each_network_is_clipped_by_its_own_norm():
    params, _, refused, norm = step(GRADS, groups={"actor": "actor", "critic": "critic"})
    np.testing.assert_allclose(params["actor"], [0.97, 1.96], rtol=1e-6)  # below 0.5: untouched
    np.testing.assert_allclose(params["critic"][0], [2.7], rtol=1e-6)  # 30 * 0.5 / 50
    np.testing.assert_allclose(params["critic"][1], [-1.4], rtol=1e-6)
    assert not bool(refused)
    np.testing.assert_allclose(norm, np.sqrt(50.0**2 + 0.05**2), rtol=1e-6)


def test_groups_are_declared_not_guessed_from_the_names_of_layers():
    """A recurrent network's layers form one group: their gradients keep their proportions."""
    network = gru_actor_critic(Box(-1.0, 1.0, (2,)), 2, width=4)
    params = network.init(jax.random.key(0))
    grads = jax.tree.map(lambda leaf: 10.0 * jnp.ones_like(leaf), params)
    optimiser = optax.identity()
    moved = guarded_step(
        optimiser, params, optimiser.init(params), grads, jnp.float32(1.0), jnp.float32(0.5),
        groups=network.groups,
    ).params  # fmt: skip
    step = jax.tree.map(jnp.subtract, params, moved)
    np.testing.assert_allclose(optax.global_norm(step), 0.5, rtol=1e-5)
    with pytest.raises(ValueError, match="do not fit its parameters"):
        broadcast_labels({"actor": "actor"}, params)


def test_a_rate_that_is_not_finite_changes_nothing():
    optimiser = adam()
    state = optimiser.init(PARAMS)
    for rate in (np.nan, np.inf):
        new = guarded_step(optimiser, PARAMS, state, GRADS, jnp.float32(rate), jnp.float32(1.0))
        assert bool(new.refused) and int(new.opt_state.count) == 0
        np.testing.assert_array_equal(new.params["actor"], PARAMS["actor"])


def test_one_norm_over_all_shrinks_every_gradient():
    params, _, _, norm = step(GRADS)
    scale = 0.5 / float(norm)
    np.testing.assert_allclose(params["actor"], [1.0 - 0.03 * scale, 2.0 - 0.04 * scale], rtol=1e-6)
    np.testing.assert_allclose(params["critic"][0], [3.0 - 30.0 * scale], rtol=1e-6)


@pytest.mark.parametrize("per_network", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(per_network, bad):
    grads = {**GRADS, "actor": jnp.array([bad, 0.0])}
    groups = {"actor": "actor", "critic": "critic"} if per_network else "all"
    params, _, refused, norm = step(grads, groups=groups)
    assert bool(refused)
    assert float(norm) == 0.0
    np.testing.assert_array_equal(params["actor"], PARAMS["actor"])
    np.testing.assert_array_equal(params["critic"][0], PARAMS["critic"][0])
