"""BARFI: returns, objectives, penalties and the checks of their input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from barfi_cases import episodes, policy, reward
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design import barfi, implicit


@given(st.integers(0, 1000), st.floats(0.05, 0.999))
def test_returns_equal_the_backward_sum(seed, gamma):
    draw = np.random.default_rng(seed)
    rewards = draw.standard_normal(7)
    mask = (np.arange(7) < draw.integers(1, 8)).astype(float)
    expected, total = np.zeros(7), 0.0
    for t in reversed(range(7)):
        total = mask[t] * rewards[t] + gamma * total
        expected[t] = total
    found = barfi.discounted_returns(
        jnp.asarray(rewards, jnp.float32), jnp.asarray(mask, jnp.float32), jnp.float32(gamma)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_returns_ignore_what_is_masked_and_differentiate_in_gamma():
    rewards = jnp.asarray([1.0, 2.0, jnp.nan])
    mask = jnp.asarray([1.0, 1.0, 0.0])
    slope = jax.grad(lambda g: barfi.discounted_returns(rewards, mask, g)[0])(jnp.float32(0.5))
    np.testing.assert_allclose(slope, 2.0)


def test_shaping_by_a_potential_telescopes():
    """Stepwise `r + γΦ(s') − Φ(s)` has the returns of the closed form."""
    draw = np.random.default_rng(0)
    primary, potential = draw.standard_normal((2, 6))
    gamma = 0.9
    after = np.append(potential[1:], 0.0)
    shaped = primary + gamma * after - potential
    ones = jnp.ones(6)
    one = barfi.discounted_returns(jnp.asarray(shaped, jnp.float32), ones, jnp.float32(gamma))
    two = barfi.potential_returns(
        jnp.asarray(primary, jnp.float32), jnp.asarray(potential, jnp.float32), ones, gamma
    )
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_aligned_objective_reduces_to_the_primary_one():
    """No weights and the same discount: equal; the potential argument is potential_returns."""
    batch, theta = episodes(), policy()
    none = jax.tree.map(jnp.zeros_like, reward()).replace(discount_logit=jnp.float32(1.0))
    gamma = float(jax.nn.sigmoid(1.0))
    one = barfi.aligned_objective(theta, none, batch, 0.3)
    two = barfi.primary_objective(theta, batch, gamma, 0.3)
    np.testing.assert_allclose(one, two, rtol=1e-5)
    shaped = barfi.aligned_objective(theta, none, batch, 0.0, potential=jnp.asarray([1.0, 0.0]))
    returns = jax.vmap(barfi.potential_returns, (0, 0, 0, None))(
        batch.primary, batch.auxiliary[..., 0], batch.mask, gamma
    )
    expected = barfi.surrogate_objective(
        barfi.linear_logits(theta, batch.features), batch.actions, returns, batch.mask, 0.0
    )
    np.testing.assert_allclose(shaped, expected, rtol=1e-5)


def test_the_surrogate_divides_by_the_padded_length():
    """Padding with one more empty step shrinks the score by H / (H + 1) and not the entropy."""
    batch, theta = episodes(), policy()
    logits = barfi.linear_logits(theta, batch.features)
    pad = lambda x: jnp.pad(x, [(0, 0), (0, 1)] + [(0, 0)] * (x.ndim - 2))  # noqa: E731
    score, longer = (
        barfi.surrogate_objective(f(logits), f(batch.actions), f(batch.primary), f(batch.mask), 0.0)
        for f in (lambda x: x, pad)
    )
    np.testing.assert_allclose(longer, score * 5 / 6, rtol=1e-5)
    alone, padded = (
        barfi.surrogate_objective(
            f(logits), f(batch.actions), 0 * f(batch.primary), f(batch.mask), 1.0
        )
        for f in (lambda x: x, pad)
    )
    np.testing.assert_allclose(alone, padded, rtol=1e-5)
    assert 0 < float(alone) <= np.log(3) + 1e-6


def test_more_auxiliary_terms_extend_fewer():
    """A second column with weight 0 changes nothing; the hypergradient has a column per term."""
    batch, theta, phi = episodes(terms=2), policy(), reward(terms=2)
    phi = phi.replace(kernel=phi.kernel.at[:, 2].set(0.0), bias=phi.bias.at[2].set(0.0))
    fewer = batch.replace(auxiliary=batch.auxiliary[..., :1])
    less = phi.replace(kernel=phi.kernel[:, :2], bias=phi.bias[:2])
    np.testing.assert_allclose(
        barfi.aligned_objective(theta, phi, batch, 0.2),
        barfi.aligned_objective(theta, less, fewer, 0.2),
        rtol=1e-5,
    )
    solver = implicit.neumann(0.05, 3)
    hypergradient = jax.jit(barfi.barfi_hypergradient)
    found = hypergradient(theta, phi, episodes(1), batch, solver)
    alone = hypergradient(
        theta, less, episodes(1).replace(auxiliary=fewer.auxiliary), fewer, solver
    )
    assert found.gradient.kernel.shape == (2, 3)
    np.testing.assert_allclose(found.gradient.kernel[:, :2], alone.gradient.kernel, atol=1e-5)
    assert float(jnp.abs(found.gradient.kernel[:, 2]).max()) > 1e-4


def test_penalties_pull_the_discount_down_and_the_weights_in():
    batch, theta, phi = episodes(), policy(), reward()
    call = jax.jit(
        lambda phi, r, d: barfi.barfi_hypergradient(
            theta, phi, episodes(1), batch, implicit.first_order(), reward_penalty=r,
            discount_penalty=d,
        ).gradient
    )  # fmt: skip
    parts = [call(phi, r, d) for r, d in ((0.0, 0.0), (2.0, 0.0), (0.0, 3.0))]
    gamma = float(jax.nn.sigmoid(1.0))
    np.testing.assert_allclose(
        parts[2].discount_logit - parts[0].discount_logit, -3 * gamma * (1 - gamma), rtol=1e-4
    )
    unit = phi.kernel / jnp.linalg.norm(phi.kernel)
    np.testing.assert_allclose(parts[1].kernel - parts[0].kernel, -2 * unit, rtol=1e-3, atol=1e-5)
    at_zero = call(jax.tree.map(jnp.zeros_like, phi), 1.0, 0.0)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(at_zero))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": jnp.ones((0, 5))}, "B, H >= 1"),
        ({"primary": jnp.ones((3, 4))}, "primary must be"),
        ({"auxiliary": jnp.ones((3, 5))}, "auxiliary must be"),
        ({"mask": jnp.ones((3, 5)).at[1].set(0.0)}, "episode 1 has no step"),
        ({"primary": jnp.full((3, 5), jnp.nan)}, "not finite"),
    ],
)
def test_bad_episodes_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        barfi.check_episodes(episodes().replace(**changes))


def test_a_reward_of_other_sizes_is_refused():
    with pytest.raises(InputError, match=r"phi.kernel must have shape \(2, 3\)"):
        barfi.check_reward(reward(terms=1), episodes(terms=2))
