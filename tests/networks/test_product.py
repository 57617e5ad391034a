"""`product` and `log_softmax`: the plain functions and their derivatives, by other code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.losses.distributions import log_softmax
from jaxrl_rewards.networks.mlp import NARROW, product


def normal(number, *shape):
    return jax.random.normal(jax.random.key(number), shape)


@pytest.mark.parametrize("outputs", [1, NARROW, NARROW + 1])
@pytest.mark.parametrize("lead", [(), (7,), (3, 5)])
def test_product_is_a_product_with_all_its_derivatives(outputs, lead):
    x, kernel = normal(0, *lead, 4), normal(1, 4, outputs)
    out, pull = jax.vjp(product, x, kernel)
    plain, expected = jax.vjp(jnp.matmul, x, kernel)
    np.testing.assert_allclose(out, plain, rtol=1e-6)
    weight = normal(2, *out.shape)
    for found, wanted in zip(pull(weight), expected(weight), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-5)
    step = (normal(3, *x.shape), normal(4, *kernel.shape))
    found, wanted = (jax.jvp(f, (x, kernel), step)[1] for f in (product, jnp.matmul))
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-5)


def test_product_under_vmap_and_twice_differentiated():
    x, kernels = normal(0, 6, 3), normal(1, 2, 3, 9)

    def energy(multiply, kernel):
        return jnp.sum(jnp.sin(multiply(x, kernel)) ** 2)

    for multiply in (product, jnp.matmul):
        slope = jax.grad(lambda k, m=multiply: energy(m, k))
        curve = jax.vmap(lambda k, s=slope: jax.jvp(s, (k,), (jnp.ones_like(k),))[1])(kernels)
        if multiply is product:
            found = curve
    np.testing.assert_allclose(found, curve, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("classes", [1, 2, 5, 8, 9])
def test_log_softmax_is_jax_s_with_first_and_second_derivative(classes):
    logits = 3.0 * normal(0, 4, classes)
    np.testing.assert_allclose(log_softmax(logits), jax.nn.log_softmax(logits), atol=2e-6)
    weight = normal(1, 4, classes)

    def slope(function, z):
        return jax.grad(lambda z: jnp.sum(weight * function(z) ** 2))(z)

    found, wanted = slope(log_softmax, logits), slope(jax.nn.log_softmax, logits)
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    found, wanted = (
        jax.jvp(lambda z, f=f: slope(f, z), (logits,), (weight,))[1]
        for f in (log_softmax, jax.nn.log_softmax)
    )
    np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_log_softmax_of_classes_that_are_ruled_out():
    for z in ([0.0, -jnp.inf, 1.0], [-1e9, 2.0, -1e9]):
        logits = jnp.asarray(z)
        np.testing.assert_allclose(log_softmax(logits), jax.nn.log_softmax(logits), atol=1e-6)
