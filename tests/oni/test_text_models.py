"""The character network, the classifier and the ranker."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_models.messages.characters import (
    TextNetwork,
    apply_text_network,
    encode_texts,
    init_text_network,
)
from jaxrl_rewards.reward_models.messages.models import (
    TextModelConfig,
    _draw,
    make_classifier,
    make_ranker,
)

SMALL = TextNetwork(length=12, embedding=4, channels=6, kernels=(3, 2), pools=(3, 1), hidden=8)
TEXTS = ["", "door 1", "door 2", "door 3", "wall a", "wall b", "wall c"]
GOOD = np.asarray([0, 1, 1, 1, 0, 0, 0], np.float32)
CODES = jnp.asarray(encode_texts(TEXTS, 12))
# a small model so that one update is enough to see it learn
CONFIG = TextModelConfig(network=SMALL, steps=60, batch_size=16, learning_rate=1e-2)


def test_texts_become_bytes():
    codes = encode_texts(["aé", "", "x" * 9], 4)
    assert codes.dtype == np.uint8
    assert codes.tolist() == [[97, 195, 169, 0], [0] * 4, [120] * 4]
    with pytest.raises(InputError, match="text 1 must be text"):
        encode_texts(["a", b"b"], 4)


@pytest.mark.slow
def test_the_network_against_plain_loops():
    params = init_text_network(jax.random.key(0), SMALL)
    params = jax.tree.map(
        lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), params
    )
    actual = apply_text_network(params, CODES, SMALL)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    for row, codes in enumerate(np.asarray(CODES)):
        x = p["embedding"][codes]
        for layer, pool in zip(p["convolutions"], SMALL.pools, strict=True):
            width = layer["kernel"].shape[0]
            before = (width - 1) // 2
            out = np.tile(layer["bias"], (len(x), 1))
            for position in range(len(x)):
                for tap in range(width):
                    source = position + tap - before
                    if 0 <= source < len(x):
                        out[position] += x[source] @ layer["kernel"][tap]
            out = np.maximum(out, 0.0)
            x = np.stack([out[i : i + pool].max(0) for i in range(0, len(out) - pool + 1, pool)])
        hidden = np.maximum(x.reshape(-1) @ p["hidden"]["kernel"] + p["hidden"]["bias"], 0.0)
        expected = hidden @ p["output"]["kernel"] + p["output"]["bias"]
        np.testing.assert_allclose(actual[row], expected, rtol=1e-4, atol=1e-5)


def test_draws_are_even_over_the_allowed_and_nothing_else():
    allowed = jnp.asarray([False, True, False, True, True, False])
    index = np.asarray(jax.jit(_draw, static_argnums=2)(jax.random.key(0), allowed, 6000))
    counts = np.bincount(index, minlength=6)
    assert counts[[0, 2, 5]].sum() == 0
    assert np.all(np.abs(counts[[1, 3, 4]] - 2000) < 4 * np.sqrt(6000 * 2 / 9))
    assert np.all(_draw(jax.random.key(0), jnp.zeros(4, bool), 3) == 0)


@pytest.mark.slow
def test_a_classifier_learns_labels_and_carries_them_to_like_texts():
    model = make_classifier(CONFIG)
    known = jnp.asarray([False, True, True, False, True, True, False])
    update = jax.jit(jax.vmap(model.update, in_axes=(0, None, None, 0)))
    state = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    both = jnp.stack([known, jnp.zeros_like(known)])
    trained, metrics = update(state, CODES, GOOD, both)
    assert metrics["loss"][0] > 0 and metrics["loss"][1] == 0 and np.isnan(metrics["accuracy"][1])
    for new, old in zip(
        jax.tree.leaves(trained.params), jax.tree.leaves(state.params), strict=True
    ):
        assert np.array_equal(new[1], old[1])  # no labels, no change
    first = jax.tree.map(lambda leaf: leaf[0], trained)
    reward, probability = model.scores(first, CODES)
    assert reward[1:].tolist() == GOOD[1:].tolist()
    assert np.all((probability > 0.5) == (reward > 0))
    again, _ = update(state, CODES, GOOD, both)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(trained.params), strict=True)
    )


def test_a_ranker_learns_an_order_and_scales_its_scores():
    network = dataclasses.replace(SMALL, outputs=1)
    model = make_ranker(dataclasses.replace(CONFIG, network=network))
    pairs = jnp.asarray([[1, 4], [5, 2], [1, 2], [0, 0]])
    labels, valid = jnp.asarray([0, 1, 2, 0]), jnp.asarray([True, True, True, False])
    heard = jnp.asarray([9.0, 2.0, 2.0, 0.0, 3.0, 1.0, 0.0])
    update = jax.jit(model.update)
    state = model.init(jax.random.key(0))
    for _ in range(3):
        state, metrics = update(state, CODES, pairs, labels, valid, heard)
    assert metrics["accuracy"] == 1.0
    assert float(state.moments.count) == pytest.approx(3 * 8, rel=1e-4)
    scores = np.asarray(model.scores(state, CODES))
    assert scores[[1, 2, 3]].min() > max(scores[[4, 5, 6]].max(), 0.0)
    before = state
    state, metrics = update(state, CODES, pairs, labels, jnp.zeros(4, bool), jnp.zeros(7))
    assert metrics["loss"] == 0 and jax.tree.leaves(state.moments) == jax.tree.leaves(
        before.moments
    )


def test_bad_sizes_are_refused():
    for bad in (
        dict(kernels=(3,), pools=(3, 3)),
        dict(length=2, kernels=(3,), pools=(3,)),
        dict(channels=0),
    ):
        with pytest.raises(InputError):
            TextNetwork(**bad)
    with pytest.raises(InputError, match="2 outputs"):
        make_classifier(TextModelConfig(network=TextNetwork(outputs=1)))
    with pytest.raises(InputError, match="1 output"):
        make_ranker(TextModelConfig(network=TextNetwork(outputs=2)))
    with pytest.raises(InputError):
        TextModelConfig(steps=0)
