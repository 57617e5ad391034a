"""Actor-critic networks: shapes, halves, carries, and what bad settings say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import Box, DictSpace, Discrete
from jaxrl_rewards.networks.actor_critic import (
    cnn_actor_critic,
    flatten_observation,
    gru_actor_critic,
    mlp_actor_critic,
)

VECTOR = Box(-jnp.inf, jnp.inf, (3,))
IMAGE = Box(0, 255, (8, 8, 2), jnp.uint8)
MIXED = DictSpace.of(image=IMAGE, speed=VECTOR, gear=Discrete(4))


def sample(space, *lead):
    keys = jax.random.split(jax.random.key(9), int(np.prod(lead, dtype=int)))
    flat = jax.vmap(space.sample)(keys)
    return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), flat)


NETWORKS = {
    "separate": (mlp_actor_critic(VECTOR, 5, hidden=(7, 6)), VECTOR),
    "shared": (mlp_actor_critic(VECTOR, 5, hidden=(7, 6), share_trunk=True), VECTOR),
    "dict": (mlp_actor_critic(MIXED, 5, hidden=(7,)), MIXED),
    "asymmetric": (
        mlp_actor_critic(
            MIXED, 5, hidden=(7,), critic_hidden=(9,), actor_key="speed", critic_key="image"
        ),
        MIXED,
    ),
    "cnn": (cnn_actor_critic(IMAGE, 5, features=(4, 4), hidden=(7,)), IMAGE),
    "cnn-dict": (
        cnn_actor_critic(MIXED, 5, image_key="image", features=(4, 4), hidden=(7,)),
        MIXED,
    ),
    "gru": (gru_actor_critic(VECTOR, 5, width=6), VECTOR),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_halves_batches_and_jit_agree(name):
    network, space = NETWORKS[name]
    params = jax.jit(network.init)(jax.random.key(0))
    obs = sample(space, 2, 3)
    carry = network.initial_carry()
    carries = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (2, 3, *leaf.shape)), carry)
    single = jax.tree.map(lambda leaf: leaf[1, 2], obs)

    @jax.jit  # one program: step by step, dozens of small ones are compiled
    def rest(params, other):
        return (
            network.actor(params, obs, carries)[0],
            network.critic(params, obs, carries),
            network.apply(params, single, carry),
            network.apply(other, obs, carries)[1],
        )

    other = jax.jit(network.init)(jax.random.key(1))
    output, value, after = jax.jit(network.apply)(params, obs, carries)
    actor, critic, (one_output, one_value, one_carry), other_value = rest(params, other)
    assert output.shape == (2, 3, 5) and value.shape == (2, 3)
    assert output.dtype == value.dtype == jnp.float32
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # noqa: E731
    close(actor, output)
    close(critic, value)
    close(one_output, output[1, 2])
    close(one_value, value[1, 2])
    jax.tree.map(lambda a, b: close(a, b[1, 2]), one_carry, after)
    # the first policy is nearly uniform, and different keys give different networks
    assert float(jnp.abs(output).max()) < 0.5
    assert jax.tree.structure(other) == jax.tree.structure(params)
    assert float(jnp.abs(other_value - value).max()) > 1e-4


@pytest.mark.slow
def test_shared_trunk_is_one_trunk():
    network, _ = NETWORKS["shared"]
    params = network.init(jax.random.key(0))
    assert set(params) == {"trunk", "policy", "value"}
    obs = sample(VECTOR, 4)
    for head in ("policy", "value"):
        index = 0 if head == "policy" else 1
        grads = jax.grad(lambda p, i=index: jnp.sum(network.apply(p, obs, ())[i] ** 2))(params)
        assert float(jnp.abs(grads["trunk"][0]["kernel"]).max()) > 0.0
        unused = {"policy": "value", "value": "policy"}[head]
        assert float(jnp.abs(grads[unused]["kernel"]).max()) == 0.0


@pytest.mark.slow
def test_separate_networks_share_nothing_and_see_their_parts():
    network, _ = NETWORKS["asymmetric"]
    params = network.init(jax.random.key(0))
    assert params["actor"][0]["kernel"].shape == (3, 7)
    assert params["critic"][0]["kernel"].shape == (8 * 8 * 2, 9)
    grads = jax.grad(lambda p: jnp.sum(network.apply(p, sample(MIXED, 4), ())[0] ** 2))(params)
    assert all(float(jnp.abs(leaf).max()) == 0.0 for leaf in jax.tree.leaves(grads["critic"]))


def test_flattening_follows_sorted_names_and_keeps_leading_axes():
    obs = sample(MIXED, 2, 3)
    flat = flatten_observation(obs, MIXED)
    assert flat.shape == (2, 3, 1 + 128 + 3) and flat.dtype == jnp.float32
    np.testing.assert_array_equal(flat[..., 0], obs["gear"])
    np.testing.assert_array_equal(flat[..., 1:129], obs["image"].reshape(2, 3, -1))
    np.testing.assert_array_equal(flat[..., 129:], obs["speed"])


def test_gru_equals_its_equations():
    network, _ = NETWORKS["gru"]
    assert network.recurrent
    params = network.init(jax.random.key(3))
    host = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    layer = lambda name, x: x @ host[name]["kernel"] + host[name]["bias"]  # noqa: E731
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    carry, memory = network.initial_carry(), np.zeros(6)
    assert carry.shape == (6,) and not carry.any()
    for obs in sample(VECTOR, 4):
        output, value, carry = network.apply(params, obs, carry)
        x = np.tanh(layer("input", np.asarray(obs, np.float64)))
        gates = sigmoid(layer("gates", np.concatenate([x, memory])))
        update, reset = gates[:6], gates[6:]
        candidate = np.tanh(layer("candidate", np.concatenate([x, reset * memory])))
        memory = (1 - update) * memory + update * candidate
        np.testing.assert_allclose(carry, memory, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(output, layer("policy", memory), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(value, layer("value", memory)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [gru_actor_critic, mlp_actor_critic])
def test_unrolling_is_stepping_with_the_memory_cut_after_ends(make):
    network = make(VECTOR, 3)
    params = network.init(jax.random.key(0))
    obs = sample(VECTOR, 5, 2)
    done = jnp.asarray([[0, 0], [1, 0], [0, 0], [0, 1], [0, 0]], bool)
    first = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 0.3]), network.initial_carry())
    output, value = jax.jit(network.unroll)(params, obs, first, done)
    for world in range(2):
        carry = jax.tree.map(lambda leaf, world=world: leaf[world], first)
        for time in range(5):
            one, its_value, carry = network.apply(params, obs[time, world], carry)
            np.testing.assert_allclose(output[time, world], one, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(value[time, world], its_value, rtol=1e-5, atol=1e-6)
            if done[time, world]:
                carry = network.initial_carry()
    for leaf in jax.tree.leaves(network.restart(first, jnp.asarray([True, False]))):
        assert not leaf[0].any() and leaf[1].all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp_actor_critic(VECTOR, 2, hidden=()), "at least one positive width"),
        (lambda: mlp_actor_critic(VECTOR, 2, hidden=(4, 0)), r"\(4, 0\)"),
        (
            lambda: mlp_actor_critic(MIXED, 2, share_trunk=True, actor_key="speed"),
            "share_trunk needs one observation",
        ),
        (
            lambda: mlp_actor_critic(VECTOR, 2, share_trunk=True, critic_hidden=(3,)),
            "share_trunk needs one observation and one width",
        ),
        (lambda: cnn_actor_critic(VECTOR, 2), r"Box of shape \[H, W, C\]"),
        (lambda: cnn_actor_critic(MIXED, 2, image_key="speed"), r"Box of shape \[H, W, C\]"),
        (lambda: mlp_actor_critic(MIXED, 2, actor_key="lidar"), "'lidar'.*gear, image, speed"),
        (lambda: cnn_actor_critic(MIXED, 2, image_key="lidar"), "'lidar'.*gear, image, speed"),
        (lambda: mlp_actor_critic(VECTOR, 2, activate="swash"), "'swash'"),
        (lambda: cnn_actor_critic(IMAGE, 2, features=()), "features"),
        (lambda: gru_actor_critic(VECTOR, 2, width=0), "width"),
    ],
)
def test_bad_settings_are_named_when_the_network_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()
