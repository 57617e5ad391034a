"""Distributions against scipy and numerical integrals, and masks that leave nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from jaxrl_rewards.losses import (
    Categorical,
    DiagonalGaussian,
    TanhNormal,
    categorical_entropy,
    masked_categorical,
)
from jaxrl_rewards.losses.distributions import normal_log_prob, tanh_normal_log_prob

RNG = np.random.default_rng(0)
LOGITS = (3 * RNG.normal(size=(4, 6))).astype(np.float32)
VALID = np.array([[1, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1, 0], [1] * 6, [0] * 6], bool)


@jax.jit
def of_categorical(logits, action):
    distribution = Categorical(logits=logits)
    return distribution.log_prob(action), distribution.entropy(), distribution.mode()


@jax.jit
def of_masked(logits, valid, action):
    distribution = masked_categorical(logits, valid)
    return distribution.log_prob(action), distribution.entropy(), distribution.mode()


def test_categorical_equals_scipy():
    action = np.array([0, 5, 2, 3])
    log_prob, entropy, mode = of_categorical(LOGITS, action)
    wide = scipy.special.log_softmax(LOGITS.astype(np.float64), axis=-1)
    np.testing.assert_allclose(log_prob, wide[np.arange(4), action], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        entropy, scipy.stats.entropy(np.exp(wide), axis=-1), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(mode, LOGITS.argmax(axis=-1))
    shifted = of_categorical(LOGITS + np.float32(64.0), action)
    np.testing.assert_allclose(shifted[0], log_prob, rtol=1e-4, atol=1e-4)


def test_categorical_kl_equals_scipy_and_is_zero_with_itself():
    p, q = Categorical(logits=LOGITS), Categorical(logits=LOGITS[::-1])
    kl = jax.jit(lambda p, q: p.kl(q))
    wide = scipy.special.softmax(LOGITS.astype(np.float64), axis=-1)
    np.testing.assert_allclose(
        kl(p, q), scipy.stats.entropy(wide, wide[::-1], axis=-1), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(kl(p, p), 0.0, atol=1e-6)


def test_samples_follow_the_probabilities():
    draw = jax.jit(jax.vmap(Categorical(logits=LOGITS[0]).sample))
    counts = np.bincount(draw(jax.random.split(jax.random.key(1), 20_000)), minlength=6)
    probabilities = scipy.special.softmax(LOGITS[0].astype(np.float64))
    statistic = ((counts - 20_000 * probabilities) ** 2 / (20_000 * probabilities)).sum()
    assert statistic < scipy.stats.chi2.ppf(0.9999, 5)


def test_masked_categorical_is_the_categorical_of_the_valid_classes():
    for row in range(3):
        keep = np.flatnonzero(VALID[row])
        action = np.full(4, keep[-1])
        log_prob, entropy, mode = of_masked(LOGITS, VALID, action)
        wide = scipy.special.log_softmax(LOGITS[row, keep].astype(np.float64))
        np.testing.assert_allclose(log_prob[row], wide[-1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(entropy[row], -(np.exp(wide) * wide).sum(), rtol=1e-5, atol=1e-6)
        assert mode[row] == keep[LOGITS[row, keep].argmax()]


def test_where_nothing_is_valid_all_classes_are_equal():
    log_prob, entropy, _ = of_masked(LOGITS, VALID, np.full(4, 2))
    np.testing.assert_allclose(log_prob[3], -np.log(6), rtol=1e-6)
    np.testing.assert_allclose(entropy[3], np.log(6), rtol=1e-6)
    np.testing.assert_allclose(entropy[1], 0.0, atol=1e-6)


def test_invalid_classes_are_never_drawn_have_finite_numbers_and_no_gradient():
    logits = np.where(VALID, LOGITS, np.nan).astype(np.float32)

    @jax.jit
    def draw(keys):
        return jax.vmap(masked_categorical(logits, VALID).sample)(keys)

    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 2000)))
    for row in range(3):
        assert VALID[row][drawn[:, row]].all()
    assert len(np.unique(drawn[:, 3])) == 6

    def loss(logits):
        distribution = masked_categorical(logits, VALID)
        return (distribution.entropy() + distribution.log_prob(jnp.array([0, 4, 1, 1]))).sum()

    value, gradient = jax.jit(jax.value_and_grad(loss))(logits)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert (np.asarray(gradient)[~VALID] == 0).all()
    impossible = of_masked(LOGITS, VALID, np.array([2, 0, 0, 0]))[0]
    assert np.isfinite(impossible).all() and (impossible[:2] < -1e8).all()


def test_minus_infinity_as_a_logit_adds_nothing():
    logits = np.array([0.5, -np.inf, 1.0, -np.inf], np.float32)
    value, gradient = jax.jit(jax.value_and_grad(categorical_entropy))(logits)
    np.testing.assert_allclose(value, scipy.stats.entropy(scipy.special.softmax(logits)), rtol=1e-6)
    assert np.isfinite(gradient).all()
    other = Categorical(logits=jnp.zeros(4))
    kl = Categorical(logits=jnp.asarray(logits)).kl(other)
    np.testing.assert_allclose(kl, np.log(4) - value, rtol=1e-6)


MEAN = RNG.normal(size=(4, 3)).astype(np.float32)
LOG_STD = (0.4 * RNG.normal(size=(4, 3)) - 0.5).astype(np.float32)


def test_gaussian_equals_scipy():
    value = RNG.normal(size=(4, 3)).astype(np.float32)
    std = np.exp(LOG_STD.astype(np.float64))

    @jax.jit
    def ours(value):
        p = DiagonalGaussian(mean=MEAN, log_std=LOG_STD)
        q = DiagonalGaussian(mean=MEAN[::-1], log_std=LOG_STD[::-1])
        return p.log_prob(value), p.entropy(), p.kl(q), p.mode()

    log_prob, entropy, kl, mode = ours(value)
    normal = scipy.stats.norm(MEAN, std)
    np.testing.assert_allclose(log_prob, normal.logpdf(value).sum(axis=-1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(entropy, normal.entropy().sum(axis=-1), rtol=1e-5, atol=1e-6)
    other, shift = std[::-1], MEAN - MEAN[::-1]
    wanted = np.log(other / std) + (std**2 + shift**2) / (2 * other**2) - 0.5
    np.testing.assert_allclose(kl, wanted.sum(axis=-1), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(mode, MEAN)


def tanh_log_density(mean, std, value):
    raw = np.arctanh(value)
    return scipy.stats.norm(mean, std).logpdf(raw) - np.log1p(-(value**2))


def test_tanh_normal_equals_scipy_and_integrates_to_one():
    value = np.tanh(RNG.normal(size=(4, 3))).astype(np.float32)
    wide = value.astype(np.float64)
    wanted = tanh_log_density(MEAN, np.exp(LOG_STD.astype(np.float64)), wide).sum(axis=-1)
    log_prob = jax.jit(TanhNormal(mean=MEAN, log_std=LOG_STD).log_prob)
    np.testing.assert_allclose(log_prob(value), wanted, rtol=1e-4, atol=1e-4)
    grid = np.tanh(np.linspace(-7, 7, 20001))
    log_density = tanh_normal_log_prob(0.3, -0.4, grid.astype(np.float32))
    density = np.exp(np.asarray(log_density, np.float64))
    np.testing.assert_allclose(np.trapezoid(density, grid), 1.0, atol=1e-3)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, -2.0), (0.5, -1.0), (-1.5, -0.5), (0.0, 0.0)])
def test_tanh_normal_entropy_equals_the_integral(mean, log_std):
    std = np.exp(log_std)

    def integrand(x):
        correction = 2 * (np.log(2) - x - np.logaddexp(0, -2 * x))
        return scipy.stats.norm.pdf(x, mean, std) * correction

    integral = scipy.integrate.quad(integrand, mean - 12 * std, mean + 12 * std)[0]
    wanted = 0.5 * np.log(2 * np.pi * np.e) + log_std + integral
    found = TanhNormal(mean=jnp.asarray([mean]), log_std=jnp.asarray([log_std])).entropy()
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_tanh_normal_is_finite_at_the_ends_and_for_its_own_samples():
    def loss(mean, log_std, value):
        return TanhNormal(mean=mean, log_std=log_std).log_prob(value).sum()

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    for value in (np.ones((4, 3)), -np.ones((4, 3)), 5 * np.ones((4, 3))):
        assert all(np.isfinite(g).all() for g in gradients(MEAN, LOG_STD, np.float32(value)))
    wide = TanhNormal(mean=jnp.asarray([30.0, -30.0, 0.0]), log_std=jnp.asarray([1.0, 1.0, 3.0]))
    samples = jax.jit(jax.vmap(wide.sample))(jax.random.split(jax.random.key(0), 256))
    assert (np.abs(samples) < 1).all()
    assert np.isfinite(jax.jit(wide.log_prob)(samples)).all()
    np.testing.assert_allclose(wide.mode(), np.tanh([30.0, -30.0, 0.0]), rtol=1e-6)


def test_gaussian_gradients_equal_central_differences():
    value = 0.37

    def numeric(function, x):
        return (function(x + 1e-5) - function(x - 1e-5)) / 2e-5

    for ours, density in (
        (normal_log_prob, lambda m, s, v: scipy.stats.norm(m, np.exp(s)).logpdf(v)),
        (tanh_normal_log_prob, lambda m, s, v: tanh_log_density(m, np.exp(s), v)),
    ):
        gradient = jax.jit(jax.grad(ours, argnums=(0, 1, 2)))(0.2, -0.3, value)
        wanted = (
            numeric(lambda x, d=density: d(x, -0.3, value), 0.2),
            numeric(lambda x, d=density: d(0.2, x, value), -0.3),
            numeric(lambda x, d=density: d(0.2, -0.3, x), value),
        )
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4)


def test_same_key_same_sample_and_vmap_equals_rows():
    key = jax.random.key(3)
    for distribution in (
        Categorical(logits=LOGITS),
        DiagonalGaussian(mean=MEAN, log_std=LOG_STD),
        TanhNormal(mean=MEAN, log_std=LOG_STD),
    ):
        draw = jax.jit(lambda key, d=distribution: (d.sample(key), d.log_prob(d.sample(key))))
        sample, log_prob = draw(key)
        np.testing.assert_array_equal(sample, draw(key)[0])
        lifted = jax.jit(jax.vmap(lambda d, x: d.log_prob(x)))(distribution, sample)
        np.testing.assert_allclose(lifted, log_prob, rtol=1e-5, atol=1e-6)
