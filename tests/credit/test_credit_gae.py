"""Advantages along one trajectory, against plain float64 loops and fixed points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards import credit

T = 12
ARGUMENTS = ("rewards", "values", "next_values", "terminated", "truncated")
gae = jax.jit(credit.gae)
token_gae = jax.jit(credit.token_gae)
lambda_returns = jax.jit(credit.lambda_returns)


def trajectory(seed, ends=True):
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(size=(2, T)).astype(np.float32)
    terminated = (rng.random(T) < 0.2) * ends
    truncated = (rng.random(T) < 0.2) * ends & ~terminated.astype(bool)
    next_values = np.append(values[1:], rng.normal()).astype(np.float32)
    done = terminated.astype(bool) | truncated
    next_values[done] = rng.normal(size=done.sum())
    flags = (terminated.astype(np.float32), truncated.astype(np.float32))
    return dict(zip(ARGUMENTS, (rewards, values, next_values, *flags), strict=True))


def loop(rewards, values, next_values, terminated, truncated, discount, decay, mask=None):
    advantages = np.zeros(len(rewards))
    running = 0.0
    for t in reversed(range(len(rewards))):
        if mask is not None and not mask[t]:
            running = 0.0
            continue
        following = 0.0 if terminated[t] else float(next_values[t])
        delta = float(rewards[t]) + discount * following - float(values[t])
        if terminated[t] or truncated[t]:
            running = 0.0
        running = delta + discount * decay * running
        advantages[t] = running
    kept = np.asarray(values, np.float64) if mask is None else np.where(mask, values, 0.0)
    return advantages, advantages + kept


@given(seed=st.integers(0, 2**31), discount=st.floats(0, 1), decay=st.floats(0, 1))
def test_gae_equals_a_loop(seed, discount, decay):
    data = trajectory(seed)
    found = gae(**data, discount=discount, trace_decay=decay)
    for one, other in zip(found, loop(**data, discount=discount, decay=decay), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 2**31), discount=st.floats(0, 1), decay=st.floats(0, 1))
def test_lambda_returns_are_gae_returns(seed, discount, decay):
    data = trajectory(seed)
    returns = gae(**data, discount=discount, trace_decay=decay)[1]
    data.pop("values")
    other = lambda_returns(**data, discount=discount, trace_decay=decay)
    # The two forms agree where the successor's value is the next step's own value.
    np.testing.assert_allclose(other, returns, rtol=1e-4, atol=1e-5)


def test_truncation_in_the_middle_bootstraps_and_stops_the_trace():
    data = trajectory(3, ends=False)
    data["truncated"][5] = 1.0
    data["next_values"][5] = 7.0
    advantages, _ = gae(**data, discount=0.9, trace_decay=0.8)
    expected = data["rewards"][5] + 0.9 * 7.0 - data["values"][5]
    np.testing.assert_allclose(advantages[5], expected, rtol=1e-6)
    later = {name: np.where(np.arange(T) > 5, x + 100.0, x) for name, x in data.items()}
    later.update(terminated=data["terminated"], truncated=data["truncated"])
    np.testing.assert_array_equal(
        gae(**later, discount=0.9, trace_decay=0.8)[0][:6], advantages[:6]
    )


def test_a_terminal_step_ignores_its_successor_value():
    data = trajectory(4, ends=False)
    data["terminated"][4] = 1.0
    wanted = gae(**data, discount=0.9, trace_decay=0.8)
    data["next_values"][4] = np.nan

    def total(numbers, next_values):
        rest = {**data, "next_values": next_values}
        advantages, _ = credit.gae(**rest, discount=numbers[0], trace_decay=numbers[1])
        return advantages.sum()

    for one, other in zip(gae(**data, discount=0.9, trace_decay=0.8), wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    grads = jax.grad(total, argnums=(0, 1))(jnp.asarray([0.9, 0.8]), data["next_values"])
    assert all(np.isfinite(g).all() for g in grads)
    assert grads[1][4] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["gae", "lambda_returns"])
def test_nan_under_the_mask_reaches_neither_value_nor_gradient(kernel):
    data = trajectory(5)
    mask = np.ones(T, np.float32)
    mask[[3, 4, 10, 11]] = 0
    names = ARGUMENTS if kernel == "gae" else tuple(n for n in ARGUMENTS if n != "values")
    function = getattr(credit, kernel)

    def call(arrays, numbers):
        out = function(*arrays, *numbers, mask)
        return out[0] if kernel == "gae" else out

    clean = tuple(data[n] for n in names)
    dirty = tuple(np.where(mask > 0, x, np.nan).astype(np.float32) for x in clean)
    numbers = (jnp.float32(0.9), jnp.float32(0.8))
    np.testing.assert_array_equal(call(dirty, numbers), call(clean, numbers))
    assert (np.asarray(call(dirty, numbers))[mask == 0] == 0).all()
    floats = tuple(jnp.asarray(x) for x in dirty)
    grads = jax.grad(lambda a, n: call(a, n).sum(), argnums=(0, 1))(floats, numbers)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_masked_gae_equals_a_loop_and_all_masked_gives_zero():
    data = trajectory(6)
    mask = np.arange(T) % 5 != 2
    found = gae(**data, discount=0.95, trace_decay=0.9, mask=mask.astype(np.float32))
    wanted = loop(**data, discount=0.95, decay=0.9, mask=mask)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    nothing = gae(**data, discount=0.95, trace_decay=0.9, mask=np.zeros(T, np.float32))
    assert all((np.asarray(x) == 0).all() for x in nothing)


def test_padding_changes_no_bit():
    data = trajectory(7, ends=False)
    data["terminated"][-1] = 1.0
    mask = np.ones(T, np.float32)
    short = gae(**data, discount=0.95, trace_decay=0.9, mask=mask)
    padded = {name: np.concatenate([x, np.full(5, np.nan, np.float32)]) for name, x in data.items()}
    long_mask = np.concatenate([mask, np.zeros(5, np.float32)])
    long = gae(**padded, discount=0.95, trace_decay=0.9, mask=long_mask)
    for one, other in zip(short, long, strict=True):
        np.testing.assert_array_equal(one, other[:T])


def test_time_limits_do_not_shorten_the_horizon():
    """Reward 1 for ever, a time limit of 20, one observation: V = 1/(1 − γ) when truncation
    bootstraps, 1/(1 − γ (1 − 1/20)) when it counts as an end."""
    limit, discount = 20, 0.95
    at_limit = np.zeros(limit, np.float32)
    at_limit[-1] = 1.0

    def fixed_point(terminated, truncated):
        def sweep(value, _):
            values = jnp.full(limit, value)
            args = (jnp.ones(limit), values, values, terminated, truncated)
            advantages, _ = credit.gae(*args, discount, 0.0)  # λ = 0: TD(0)
            return value + advantages.mean(), None

        return jax.lax.scan(sweep, jnp.float32(0.0), None, length=600)[0]

    zeros = np.zeros(limit, np.float32)
    np.testing.assert_allclose(fixed_point(zeros, at_limit), 20.0, rtol=1e-5)
    np.testing.assert_allclose(fixed_point(at_limit, zeros), 1 / (1 - 0.95 * 0.95), rtol=1e-5)


def token_loop(rewards, values, mask, discount, decay):
    advantages, running, following = np.zeros(len(rewards)), 0.0, 0.0
    for t in reversed(range(len(rewards))):
        if mask[t]:
            delta = rewards[t] + discount * following - values[t]
            running, following = delta + discount * decay * running, float(values[t])
        advantages[t] = running
    return advantages


@given(seed=st.integers(0, 2**31), discount=st.floats(0, 1), decay=st.floats(0, 1))
def test_token_gae_steps_over_forced_tokens(seed, discount, decay):
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(size=(2, T)).astype(np.float32)
    mask = (rng.random(T) < 0.6).astype(np.float32)
    advantages, returns = token_gae(rewards, values, mask, discount, decay)
    wanted = token_loop(rewards, values, mask, discount, decay)
    np.testing.assert_allclose(advantages, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(returns, wanted + values, rtol=1e-5, atol=1e-5)
    # Taking the forced tokens out altogether gives the same numbers for the others.
    keep = mask > 0
    if keep.any():
        alone = token_loop(rewards[keep], values[keep], np.ones(keep.sum()), discount, decay)
        np.testing.assert_allclose(np.asarray(advantages)[keep], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_token_gae_with_nan_under_the_mask_has_finite_gradients():
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(2, T)).astype(np.float32)
    mask = (np.arange(T) % 3 != 1).astype(np.float32)
    dirty = [np.where(mask > 0, x, np.nan).astype(np.float32) for x in (rewards, values)]

    def total(rewards, values, discount, decay):
        advantages, returns = credit.token_gae(rewards, values, mask, discount, decay)
        whitened = credit.masked_whiten(advantages, mask)
        return jnp.where(mask > 0, whitened * returns, 0.0).sum()

    value, grads = jax.value_and_grad(total, argnums=(0, 1, 2, 3))(*dirty, 0.9, 0.8)
    np.testing.assert_allclose(value, total(rewards, values, 0.9, 0.8), rtol=1e-6)
    assert all(np.isfinite(g).all() for g in grads)


@pytest.mark.slow
def test_eager_jit_and_vmap_agree_and_the_second_call_does_not_retrace():
    rows = [trajectory(seed) for seed in range(3)]
    batch = {name: np.stack([row[name] for row in rows]) for name in ARGUMENTS}
    traces = []

    def counted(*arrays):
        traces.append(1)
        return credit.gae(*arrays, 0.97, 0.9)

    lifted = jax.jit(jax.vmap(counted))
    first = lifted(*batch.values())
    lifted(*(x + 0 for x in batch.values()))
    assert len(traces) == 1
    for i, row in enumerate(rows):
        with jax.disable_jit():
            eager = credit.gae(**row, discount=0.97, trace_decay=0.9)
        jitted = gae(**row, discount=0.97, trace_decay=0.9)
        for of_batch, one, other in zip(first, eager, jitted, strict=True):
            np.testing.assert_allclose(of_batch[i], other, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_half_precision_input_is_summed_in_single_precision():
    data = {name: jnp.asarray(x, jnp.bfloat16) for name, x in trajectory(8).items()}
    advantages, returns = gae(**data, discount=0.99, trace_decay=0.95)
    assert advantages.dtype == returns.dtype == jnp.float32
    assert token_gae(data["rewards"], data["values"], np.ones(T), 1.0, 1.0)[0].dtype == jnp.float32


def test_advantages_are_differentiable_in_the_rewards():
    data = trajectory(9, ends=False)

    def first(rewards):
        return credit.gae(**{**data, "rewards": rewards}, discount=0.9, trace_decay=0.8)[0][0]

    np.testing.assert_allclose(
        jax.grad(first)(data["rewards"]), 0.72 ** np.arange(T), rtol=1e-5
    )  # ∂A_0/∂r_t = (γλ)^t


@pytest.mark.parametrize("name", ["rewards", "next_values", "mask"])
def test_shapes_that_differ_are_named(name):
    data = {**trajectory(0), "mask": np.ones(T, np.float32)}
    data[name] = data[name][:-1]
    with pytest.raises(ValueError, match=rf"{name} \(11,\)"):
        credit.gae(**data, discount=0.9, trace_decay=0.8)
