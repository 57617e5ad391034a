"""Perceptrons and convolutions against plain calculations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.networks.cnn import cnn, cnn_init, cnn_output_size, conv, conv_init, patches
from jaxrl_rewards.networks.mlp import ACTIVATIONS, activation, dense_init, mlp, mlp_init


def test_mlp_equals_numpy():
    layers = mlp_init(jax.random.key(0), (3, 5, 4, 2), output_scale=0.5)
    x = jax.random.normal(jax.random.key(1), (6, 3))
    expected = np.asarray(x, np.float64)
    for i, layer in enumerate(layers):
        expected = expected @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
        expected = np.tanh(expected) if i < 2 else expected
    np.testing.assert_allclose(mlp(layers, x), expected, rtol=1e-5, atol=1e-6)
    last = mlp(layers, x, activate_last=True)
    np.testing.assert_allclose(last, np.tanh(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda row: mlp(layers, row))(x), expected, atol=1e-5)
    np.testing.assert_allclose(jax.jit(mlp)(layers, x[:, None])[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations(name):
    x = np.linspace(-3.0, 3.0, 13)
    from scipy.special import erf

    expected = {
        "tanh": np.tanh(x),
        "relu": np.maximum(x, 0.0),
        "silu": x / (1 + np.exp(-x)),
        "gelu": x * 0.5 * (1 + erf(x / 2**0.5)),
        "elu": np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    }[name]
    tolerance = 1e-3 if name == "gelu" else 1e-5  # jax approximates it by tanh
    np.testing.assert_allclose(activation(name)(jnp.asarray(x)), expected, atol=tolerance)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4)])
def test_kernels_are_orthogonal(shape):
    layer = dense_init(jax.random.key(0), *shape, 2.0)
    kernel = np.asarray(layer["kernel"])
    gram = kernel @ kernel.T if shape[0] <= shape[1] else kernel.T @ kernel
    np.testing.assert_allclose(gram, 4.0 * np.eye(min(shape)), atol=1e-5)
    assert not layer["bias"].any() and layer["bias"].shape == shape[1:]


@pytest.mark.parametrize("sizes", [(3,), (), (3, 0, 2)])
def test_bad_sizes_are_named(sizes):
    with pytest.raises(ValueError, match="sizes need an input and an output"):
        mlp_init(jax.random.key(0), sizes)


def test_unknown_activation_lists_the_known():
    with pytest.raises(ValueError, match=r"'swash'.*'elu', 'gelu'"):
        activation("swash")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "stride"), [((3, 3), (2, 2)), ((3, 3), (1, 1)), ((2, 5), (3, 2)), ((4, 1), (1, 3))]
)
def test_conv_is_that_of_xla(size, stride):
    """Values and both gradients, against `jax.lax.conv_general_dilated` with "SAME" padding."""
    image = jax.random.normal(jax.random.key(0), (2, 9, 7, 3))
    layer = conv_init(jax.random.key(1), 3, 4, size)
    probe = jax.random.normal(jax.random.key(2), (2, -(-9 // stride[0]), -(-7 // stride[1]), 4))

    def ours(layer, image):
        return jnp.sum(conv(layer, image, size, stride) * probe)

    def theirs(layer, image):
        kernel = layer["kernel"].reshape(*size, 3, 4)
        out = jax.lax.conv_general_dilated(
            image, kernel, stride, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.sum((out + layer["bias"]) * probe)

    @jax.jit  # one program: step by step, dozens of small ones are compiled
    def both(layer, image):
        return [
            jax.tree.leaves(jax.value_and_grad(function, (0, 1))(layer, image))
            for function in (ours, theirs)
        ]

    for one, other in zip(
        *both(layer, image),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_patches_are_windows_with_zeros_outside():
    image = jnp.arange(20.0).reshape(4, 5, 1) + 1.0
    found = patches(image, (3, 3), (2, 2))
    assert found.shape == (2, 3, 9)
    padded = np.pad(np.asarray(image)[..., 0], ((0, 1), (1, 1)))
    for i in range(2):
        for j in range(3):
            window = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_array_equal(found[i, j], window.ravel())


@pytest.mark.slow
def test_cnn_shapes_batches_and_bytes():
    layers = cnn_init(jax.random.key(0), 3, (4, 8))
    image = jax.random.randint(jax.random.key(1), (2, 3, 11, 6, 3), 0, 256).astype(jnp.uint8)
    found = jax.jit(cnn)(layers, image)
    assert found.shape == (2, 3, cnn_output_size(11, 6, (4, 8))) == (2, 3, 3 * 2 * 8)
    assert float(found.min()) >= 0.0
    scaled = jax.jit(cnn)(layers, image / 255.0)
    np.testing.assert_allclose(scaled, found, rtol=1e-5, atol=1e-6)
    one = jax.jit(jax.vmap(jax.vmap(lambda x: cnn(layers, x))))(image)
    np.testing.assert_allclose(one, found, rtol=1e-5, atol=1e-6)
