"""BARFI: the loop, its warm-up, buffer, restarts and worlds."""

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np
import pytest
from barfi_cases import TINY, settings_of

from jaxrl_rewards.core import InputError
from jaxrl_rewards.networks.cosine_basis import cosine_basis
from jaxrl_rewards.reward_design import barfi, barfi_loop


@pytest.fixture(scope="module")
def program(square):
    return jax.jit(jax.vmap(square.run, (0, None, None)))


@pytest.mark.slow
def test_the_outer_step_is_the_only_difference_between_a_and_b(square, program):
    """Reward rate 0 leaves φ as it was and everything up to the first outer step equal."""
    keys = jax.random.split(jax.random.key(1), 2)
    params = square.env.default_params()
    off = program(keys, settings_of(square, outer=False), params)
    on = program(keys, settings_of(square), params)
    start = settings_of(square).start
    for leaf, first in zip(jax.tree.leaves(off.state.phi), jax.tree.leaves(start), strict=True):
        np.testing.assert_array_equal(leaf, np.broadcast_to(first, leaf.shape))
    moved = jnp.abs(on.state.phi.kernel - start.kernel).max(axis=(1, 2))
    # RMSprop's first step is ten times its rate, whatever the size of the gradient.
    assert np.all(moved > 0.005) and np.all(moved < 3 * 0.05 + 1e-6)
    np.testing.assert_array_equal(on.returns[:, :3], off.returns[:, :3])
    assert on.returns.shape == (2, 5) and on.weights.shape == (2, 5, 1)
    assert np.all(on.fallbacks == 0) and np.all(on.restarts == 0)
    assert int(on.state.collected[0]) == 10
    again = program(keys, settings_of(square), params)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(
            jax.tree.leaves((on.returns, on.state.theta)),
            jax.tree.leaves((again.returns, again.state.theta)),
            strict=True,
        )
    )


@pytest.mark.slow
def test_restarts_begin_afresh_and_give_back_what_drifted(square, program):
    """A threshold above every return restarts as soon as patience allows; `keep` mixes φ."""
    keys, params = jax.random.split(jax.random.key(2), 2), square.env.default_params()
    rule = barfi_loop.RestartRule(
        threshold=jnp.float32(1e3), signal=jnp.float32(-np.inf), patience=jnp.int32(3),
        warmup=jnp.int32(5), keep=jnp.float32(1.0),
    )  # fmt: skip
    never = rule.replace(threshold=jnp.float32(-np.inf))
    settings = settings_of(square).replace(discount_rate=jnp.float32(0.0))
    start = settings.start.kernel
    rules = [rule, *(rule.replace(keep=jnp.float32(k)) for k in (0.5, 0.0)), never]
    kept, half, none, free = (program(keys, settings.replace(restart=r), params) for r in rules)
    for found in (kept, half, none):  # the rule acts after the outer step of the last round
        np.testing.assert_array_equal(found.restarts, [[0, 0, 0, 0, 1]] * 2)
        np.testing.assert_array_equal(found.state.oldest, 8)
    np.testing.assert_array_equal(free.restarts, 0)
    np.testing.assert_array_equal(kept.state.phi.kernel, free.state.phi.kernel)
    np.testing.assert_array_equal(none.state.phi.kernel, jnp.stack([start, start]))
    np.testing.assert_allclose(
        half.state.phi.kernel, 0.5 * (kept.state.phi.kernel + start), rtol=1e-6
    )
    # Two steps from scratch on the primary reward alone against two on: other policies.
    assert float(jnp.abs(kept.state.theta.kernel - free.state.theta.kernel).max()) > 0.01
    # The warm-up after a restart sees no auxiliary weight, so what φ keeps makes no difference.
    np.testing.assert_array_equal(kept.state.theta.kernel, none.state.theta.kernel)


@pytest.mark.slow
def test_rounds_without_signal_make_no_outer_step(square, program):
    keys, params = jax.random.split(jax.random.key(2), 2), square.env.default_params()
    settings = settings_of(square)
    deaf = settings.restart.replace(signal=jnp.float32(1e3))
    found = program(keys, settings.replace(restart=deaf), params)
    for leaf, first in zip(
        jax.tree.leaves(found.state.phi), jax.tree.leaves(settings.start), strict=True
    ):
        np.testing.assert_array_equal(leaf, jnp.broadcast_to(first, leaf.shape))


def test_what_is_drawn_from_the_buffer(square):
    """Only usable episodes, the newest round only on demand, places modulo the buffer."""
    state = square.begin(jax.random.key(0), settings_of(square))
    for collected, oldest, newest, expected in (
        (2, 0, True, {0, 1}),
        (2, 0, False, {0, 1}),  # nothing older: better than nothing
        (6, 0, False, {0, 1, 2, 3}),
        (8, 0, True, set(range(6))),
        (8, 0, False, {2, 3, 4, 5}),
        (8, 6, False, {0, 1}),
    ):
        state = state.replace(collected=jnp.int32(collected), oldest=jnp.int32(oldest))
        picks = square._pick(jax.random.key(1), state, 300, newest)
        assert set(np.asarray(picks).tolist()) == expected, (collected, oldest, newest)


@pytest.mark.slow
def test_the_warm_up_learns_from_its_newest_episode_alone(square):
    """What older places of the buffer hold makes no difference; the newest episode does."""
    settings, params = settings_of(square), square.env.default_params()
    warm = jax.jit(lambda state: square.round(state, settings, params, False)[0])
    state = warm(square.begin(jax.random.key(0), settings))

    def trained(place):
        spoilt = state.buffer.primary.at[place].add(50.0)
        return warm(state.replace(buffer=state.buffer.replace(primary=spoilt)))

    older = trained(1)  # not among the places that the second round writes to
    np.testing.assert_array_equal(square._newest(older, 2), [2, 3])
    np.testing.assert_array_equal(older.theta.kernel, trained(0).theta.kernel)
    one = jax.tree.map(lambda leaf: leaf[3][None], older.buffer)
    gradient = jax.grad(barfi.aligned_objective)(state.theta, state.phi, one, settings.entropy)
    moments = jax.tree.map(lambda m, g: 0.99 * m + 0.01 * g**2, state.theta_moments.nu, gradient)
    expected = state.theta.kernel + settings.policy_rate * gradient.kernel / (
        jnp.sqrt(moments.kernel) + 1e-8
    )
    np.testing.assert_allclose(older.theta.kernel, expected, rtol=1e-4, atol=1e-6)
    wrapped = state.replace(collected=jnp.int32(7))
    np.testing.assert_array_equal(square._newest(wrapped, 2), [5, 0])


def test_collected_episodes_are_the_worlds(square):
    """Features of the state acted in, terms as mixed, padding all zero."""
    settings = settings_of(square)
    theta = square.init(jax.random.key(3))
    found = jax.jit(square.collect)(theta, jax.random.key(4), settings, square.env.default_params())
    barfi.check_episodes(found)
    start = cosine_basis(jnp.full((2,), 0.125))
    np.testing.assert_allclose(found.features[:, 0], jnp.stack([start, start]), rtol=1e-6)
    mask = np.asarray(found.mask)
    assert np.all(np.diff(mask, axis=1) <= 0) and np.all(mask[:, 0] == 1)
    steps = mask.sum(axis=1)
    goals = np.asarray(found.primary).sum(axis=1) + 0.1 * steps
    assert np.all(np.isclose(goals, 0, atol=1e-3) | np.isclose(goals, 100, atol=1e-3))
    assert np.all(np.asarray(found.auxiliary)[mask == 0] == 0)
    assert set(np.unique(np.asarray(found.auxiliary))) <= {0.0, 50.0, 100.0, 150.0, 200.0}


def test_worlds_and_terms_that_do_not_fit_are_refused(square):
    with pytest.raises(InputError, match="discrete actions"):
        barfi_loop.Barfi(jaxrl_envs.make("Pendulum-v1"), lambda obs: obs)
    with pytest.raises(InputError, match="no reward term 'gaol'"):
        square.term_weights({"gaol": 1.0})
    with pytest.raises(InputError, match="vector per observation"):
        barfi_loop.Barfi(square.env, lambda obs: obs[None])
    with pytest.raises(InputError, match="must hold two rounds"):
        barfi_loop.BarfiConfig(buffer_episodes=5)
    with pytest.raises(InputError, match="warmup_steps=4 must not exceed the 3 episodes"):
        barfi_loop.BarfiConfig(warmup_steps=4)
    with pytest.raises(InputError, match="rounds must be at least 1"):
        barfi_loop.BarfiConfig(rounds=0)


@pytest.mark.slow
def test_another_world_with_two_auxiliary_terms(square):
    """Nothing knows the square: a cart pole with made-up roles of its term, and a network."""
    from jaxrl_rewards.networks.mlp import mlp, mlp_init

    env = jaxrl_envs.make("CartPole-v1", max_steps=6)
    size, names = 4, env.spec.term_names
    learner = barfi_loop.Barfi(
        env, lambda obs: obs, TINY, policy=mlp,
        init=lambda key: mlp_init(key, (size, 4, env.spec.action_space.n)),
    )  # fmt: skip
    settings = settings_of(square).replace(
        primary=learner.term_weights({names[0]: 1.0}),
        auxiliary=jnp.ones((len(names), 2), jnp.float32),
        potential=jnp.zeros(2),
        warmup=barfi_loop.reward_start(size, [0.0, 0.0]),
        start=barfi_loop.reward_start(size, [1.0, -1.0]),
    )
    found = jax.jit(learner.run)(jax.random.key(0), settings, env.default_params())
    assert found.weights.shape == (5, 2)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found.state.phi))
    assert float(jnp.abs(found.state.phi.kernel).max()) > 0
