"""KL estimators and value losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.losses import kl_estimate, value_loss
from jaxrl_rewards.losses.kl import KINDS
from tests.losses.named import aggregate

ESTIMATES = {kind: jax.jit(lambda p, q, kind=kind: kl_estimate(p, q, kind)) for kind in KINDS}
GRADS = {
    kind: jax.jit(jax.grad(lambda p, q, kind=kind: kl_estimate(p, q, kind).sum())) for kind in KINDS
}
P = np.array([-0.1, -2.0, -0.5, -3.0], np.float32)
Q = np.array([-1.0, -1.0, -3.0, -3.0], np.float32)


def test_values_and_gradients():
    d = (P - Q).astype(np.float64)
    k3 = np.exp(-d) - 1 + d
    values = {"k1": d, "k2": d**2 / 2, "k3": k3, "k3+": k3, "abs": np.abs(d)}
    grads = {"k1": np.ones(4), "k2": d, "k3": 1 - np.exp(-d), "k3+": d, "abs": np.sign(d)}
    for kind in KINDS:
        np.testing.assert_allclose(ESTIMATES[kind](P, Q), values[kind], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(GRADS[kind](P, Q), grads[kind], rtol=1e-5, atol=1e-6)


@given(p=st.floats(-60, 0, width=32), q=st.floats(-60, 0, width=32))
def test_k3_is_never_negative(p, q):
    pair = np.full(4, p, np.float32), np.full(4, q, np.float32)
    assert (np.asarray(ESTIMATES["k3"](*pair)) >= 0).all()
    assert (np.asarray(ESTIMATES["k1"](*pair)) == np.float32(p) - np.float32(q)).all()


def test_the_estimators_are_unbiased_and_only_k2_has_the_gradient_of_the_kl():
    """Exact expectations over a categorical policy instead of samples."""
    logits = jnp.asarray([0.3, -1.0, 0.8, 0.1])
    reference = jax.nn.log_softmax(jnp.asarray([1.0, 0.2, -0.5, 0.0]))

    def exact(logits):
        own = jax.nn.log_softmax(logits)
        return jnp.sum(jnp.exp(own) * (own - reference))

    def expected(logits, kind):
        own = jax.nn.log_softmax(logits)
        # Samples of the policy: the probabilities carry no gradient.
        return jnp.sum(jax.lax.stop_gradient(jnp.exp(own)) * kl_estimate(own, reference, kind))

    for kind in ("k1", "k3"):
        np.testing.assert_allclose(expected(logits, kind), exact(logits), rtol=1e-5)
    wanted = jax.grad(exact)(logits)
    for kind, right in (("k2", True), ("k3+", True), ("k3", False), ("k1", False)):
        found = jax.grad(expected)(logits, kind)
        assert np.allclose(found, wanted, atol=1e-5) == right, kind


def test_limits_and_overflow():
    p, q = jnp.asarray([-1e4, -30.0, 0.0]), jnp.asarray([0.0, 0.0, -40.0])
    assert np.isfinite(kl_estimate(p, q, "k3")).all()
    assert np.isfinite(jax.grad(lambda p: kl_estimate(p, q, "k3").sum())(p)).all()
    bounded = kl_estimate(p, q, "k3", log_ratio_limit=20.0, value_limit=10.0)
    np.testing.assert_allclose(bounded, [10.0, 10.0, 10.0])

    def plus(p):
        return kl_estimate(p, q, "k3+", log_ratio_limit=20.0, value_limit=10.0)

    np.testing.assert_allclose(plus(p), [10.0, 10.0, 10.0])
    # The limits bound the value alone: the gradient is that of k2, the log-ratio.
    np.testing.assert_allclose(jax.grad(lambda p: plus(p).sum())(p), p - q)
    np.testing.assert_allclose(kl_estimate(p, q, "k1", value_limit=10.0), [-10, -10, 10])


@pytest.mark.parametrize("kind", KINDS)
def test_nan_under_the_mask_reaches_no_gradient(kind):
    mask = np.array([1, 1, 0, 0], np.float32)
    dirty = np.where(mask > 0, P, np.nan).astype(np.float32)

    @jax.jit
    def loss(p):
        return aggregate(kl_estimate(p, Q, kind, mask), mask)

    value, gradient = jax.jit(jax.value_and_grad(loss))(dirty)
    np.testing.assert_array_equal(value, loss(P))
    assert np.isfinite(gradient).all() and (gradient[2:] == 0).all()


def test_a_kl_that_is_not_allowed_is_named():
    with pytest.raises(ValueError, match="'k4'.*k1, k2, k3"):
        kl_estimate(P, Q, "k4")
    with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
        kl_estimate(P, Q[:3])
    with pytest.raises(ValueError, match=r"mask \(3,\)"):
        kl_estimate(P, Q, mask=np.ones(3))


VALUE = jax.jit(
    jax.value_and_grad(
        lambda v, r, old, mask: value_loss(v, r, mask, old_values=old, clip=0.2), has_aux=True
    )
)


def test_value_loss_and_gradient_equal_a_loop():
    rng = np.random.default_rng(0)
    values, returns, old = rng.normal(size=(3, 4, 6)).astype(np.float32)
    mask = (rng.random((4, 6)) < 0.7).astype(np.float32)
    mask[2] = 0
    (loss, metrics), gradient = VALUE(values, returns, old, mask)
    total, clipped, wanted = 0.0, 0, np.zeros((4, 6))
    for i, t in np.argwhere(mask > 0):
        v, r, o = (float(x[i, t]) for x in (values, returns, old))
        bounded = min(max(v, o - 0.2), o + 0.2)
        total += 0.5 * max((v - r) ** 2, (bounded - r) ** 2)
        clipped += (bounded - r) ** 2 > (v - r) ** 2
        if (bounded - r) ** 2 <= (v - r) ** 2:
            wanted[i, t] = (v - r) / mask.sum()
    np.testing.assert_allclose(loss, total / mask.sum(), rtol=1e-5)
    np.testing.assert_allclose(metrics["value_clip_fraction"], clipped / mask.sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-7)
    spoilt = [np.where(mask > 0, x, np.nan).astype(np.float32) for x in (values, returns, old)]
    for one, other in zip(
        jax.tree.leaves(VALUE(*spoilt, mask)),
        jax.tree.leaves(VALUE(values, returns, old, mask)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    (nothing, _), gradient = VALUE(*spoilt, 0 * mask)
    assert nothing == 0 and (np.asarray(gradient) == 0).all()


def test_value_loss_without_clip_and_what_is_refused():
    values, returns = jnp.asarray([1.0, 2.0]), jnp.asarray([0.0, 4.0])
    np.testing.assert_allclose(value_loss(values, returns)[0], 0.25 * (1 + 4))
    gradient = jax.grad(lambda r: value_loss(values, r)[0])(returns)
    assert (np.asarray(gradient) == 0).all()
    with pytest.raises(ValueError, match="clip and old_values go together"):
        value_loss(values, returns, clip=0.2)
    with pytest.raises(ValueError, match=r"\(2,\) and returns \(1,\)"):
        value_loss(values, returns[:1])
    with pytest.raises(ValueError, match=r"mask \(1,\)"):
        value_loss(values, returns, jnp.ones(1))
