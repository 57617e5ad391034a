"""The reader: convolution gradients, alignment against enumeration, padding, encoding."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.networks.alignment import alignment_scores
from jaxrl_rewards.networks.fast_conv import conv2d
from jaxrl_rewards.networks.reader import (
    CONTINUES,
    UNKNOWN,
    ReaderConfig,
    best_point,
    cell_points,
    encode_instruction,
    pad_image,
    probability_map,
    reader_apply,
    reader_init,
)

SMALL = ReaderConfig(channels=(4, 6, 8), context=4, max_length=8)


@pytest.fixture(scope="module")
def params():
    return reader_init(jax.random.key(0), SMALL)


@pytest.fixture(scope="module")
def apply():
    return jax.jit(reader_apply)


def tokens_of(*texts):
    return np.stack([encode_instruction(text, SMALL.max_length) for text in texts])[None]


def test_conv2d_and_its_gradients_equal_the_direct_sum():
    generator = np.random.default_rng(0)
    images = generator.normal(size=(2, 5, 6, 3))
    kernel = generator.normal(size=(2, 3, 3, 4))
    padding = ((1, 0), (1, 1))
    cotangent = generator.normal(size=(2, 5, 6, 4))
    padded = np.pad(images, ((0, 0), *padding, (0, 0)))
    expected = np.zeros((2, 5, 6, 4))
    kernel_gradient = np.zeros_like(kernel)
    padded_gradient = np.zeros_like(padded)
    for i, j in itertools.product(range(2), range(3)):
        window = padded[:, i : i + 5, j : j + 6]
        expected += window @ kernel[i, j]
        kernel_gradient[i, j] = np.einsum("bhwc,bhwf->cf", window, cotangent)
        padded_gradient[:, i : i + 5, j : j + 6] += cotangent @ kernel[i, j].T
    value, pull = jax.vjp(
        lambda x, k: conv2d(x, k, padding), jnp.float32(images), jnp.float32(kernel)
    )
    image_gradient, found = pull(jnp.float32(cotangent))
    np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(found, kernel_gradient, rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(image_gradient, padded_gradient[:, 1:, 1:-1], rtol=2e-5, atol=2e-5)


def enumerate_paths(emission, start, leave, skip):
    """Sum over all monotonic paths, by brute force, of weight per (cell, state)."""
    cells, states = emission.shape
    total = np.zeros((cells, states))

    def extend(path, weight):
        x, s = path[-1]
        done = weight * leave[x, s]
        for cell in path:
            total[cell] += done
        if x + 1 < cells:
            for jump, factor in ((0, 1.0), (1, 1.0), (2, skip)):
                if s + jump < states:
                    extend([*path, (x + 1, s + jump)], weight * factor * emission[x + 1, s + jump])

    for x in range(cells):
        extend([(x, 0)], start[x] * emission[x, 0])
    return total


def test_alignment_equals_enumeration_of_paths():
    generator = np.random.default_rng(1)
    emission = generator.uniform(0.05, 1.0, (5, 3))
    start, skip = generator.uniform(0.1, 1, 5), 0.1
    stops = tuple(jnp.float32(generator.uniform(0.1, 1, 5)) for _ in range(2))
    leaves = (jnp.float32([0.0, 0.0, 1.0]), jnp.float32([0.0, 0.2, 0.0]))
    leave = sum(np.outer(stop, leave) for stop, leave in zip(stops, leaves, strict=True))
    expected = enumerate_paths(emission, start, leave, skip)
    numbers = jnp.float32(emission), jnp.float32(start)
    found = alignment_scores(*numbers, stops, leaves, jnp.float32(skip))
    possible = expected > 0
    np.testing.assert_allclose(np.exp(found)[possible], expected[possible], rtol=2e-5)
    assert np.all(np.asarray(found)[~possible] < -60)


@pytest.mark.slow
def test_alignment_is_finite_with_finite_gradients_at_extremes():
    for level in (0.0, 1e-30, 1.0):
        emission = jnp.full((120, 12), level)
        ones = jnp.ones(120)

        def total(emission, ones=ones):
            leaves = (jnp.ones(12),)
            return alignment_scores(emission, ones, (ones,), leaves, jnp.float32(0.5)).sum()

        value, gradient = jax.value_and_grad(total)(emission)
        assert np.isfinite(value) and np.all(np.isfinite(gradient))


def test_encoding():
    assert encode_instruction("A z", 5).tolist() == [34, 1, 91, 0, 0]
    assert encode_instruction("  a \n b ", 5).tolist() == [66, 1, 67, 0, 0]
    assert encode_instruction("Cancél", 6).tolist() == encode_instruction("Cancel", 6).tolist()
    assert encode_instruction("取消", 4).tolist() == [UNKNOWN, UNKNOWN, 0, 0]
    assert encode_instruction("abcdef", 4).tolist() == [66, 67, 68, CONTINUES]
    with pytest.raises(ValueError, match="empty"):
        encode_instruction("   ")


@pytest.mark.slow
def test_padding_of_images_and_instructions_changes_nothing(params, apply):
    generator = np.random.default_rng(2)
    image = generator.integers(0, 256, (40, 48, 3)).astype(np.uint8)
    plain, size = pad_image(image, 40, 48)
    wide, wide_size = pad_image(image, 64, 64)
    assert size.tolist() == wide_size.tolist() == [40, 48]
    tokens = tokens_of("ab:", "x")
    more = np.concatenate([tokens, np.zeros_like(tokens)], axis=1)
    first = apply(params, plain[None], tokens, size[None]).logits
    second = apply(params, wide[None], more, wide_size[None]).logits
    inner = np.asarray(probability_map(first[0], 40, 48))
    outer = np.asarray(probability_map(second[0, :2], 64, 64))
    np.testing.assert_allclose(outer[:, :10, :24], inner, rtol=1e-4, atol=1e-7)
    assert outer[:, 10:].max() < 1e-12 and outer[:, :, 24:].max() < 1e-12
    empty = np.asarray(jax.nn.softmax(second[0, 2]))
    assert np.isfinite(empty).all()


@pytest.mark.slow
def test_policy_sums_to_one_points_lie_inside_and_gradients_are_finite(params, apply):
    generator = np.random.default_rng(3)
    image = generator.integers(0, 256, (1, 40, 48, 3)).astype(np.uint8)
    tokens = tokens_of("ab cd efgh ij", "取")

    def loss(params, image, tokens):
        return -jax.nn.log_softmax(reader_apply(params, image, tokens).logits)[..., 3].mean()

    value, gradient = jax.jit(jax.value_and_grad(loss))(params, image, tokens)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    output = apply(params, image, tokens)
    mass = probability_map(output.logits, 40, 48)
    np.testing.assert_allclose(mass.sum(axis=(-2, -1)), 1.0, rtol=1e-5)
    points = np.asarray(best_point(output.logits, 40, 48))
    assert ((points > 0) & (points < np.array([48, 40]))).all()
    assert len(cell_points(40, 48)) == output.logits.shape[-1]


def test_even_contrast_makes_the_reader_blind_to_brightness(params, apply):
    generator = np.random.default_rng(4)
    image = generator.integers(60, 120, (1, 40, 48, 3)).astype(np.uint8)
    tokens = tokens_of("abc")
    first = apply(params, image, tokens).character_logits[0]
    second = apply(params, image + np.uint8(100), tokens).character_logits[0]
    np.testing.assert_allclose(first, second, atol=5e-3)


@pytest.mark.parametrize(
    ("shape", "tokens", "match"),
    [
        ((1, 40, 48), (1, 1, 8), "shape"),
        ((1, 42, 48, 3), (1, 1, 8), "multiples"),
        ((1, 40, 48, 3), (2, 1, 8), "tokens"),
    ],
)
def test_wrong_shapes_are_named(params, shape, tokens, match):
    with pytest.raises(ValueError, match=match):
        reader_apply(params, np.zeros(shape, np.uint8), np.zeros(tokens, np.int32))


def test_pad_image_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="does not fit"):
        pad_image(np.zeros((50, 50, 3), np.uint8), 48, 64)
