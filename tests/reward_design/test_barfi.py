"""BARFI: objectives, the loop's parts, input from files, and the study on a tiny budget."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import jaxrl_envs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design import barfi, barfi_episodes, barfi_loop, implicit
from jaxrl_rewards.reward_design.barfi_offline import (
    OfflineConfig,
    fit_offline,
    importance_weights,
)
from jaxrl_rewards.studies import barfi as study
from jaxrl_rewards.studies import barfi_arms, barfi_claim
from jaxrl_rewards.studies.api import StudyResult

TINY = barfi_loop.BarfiConfig(
    warmup_rounds=2,
    rounds=3,
    episodes_per_round=2,
    inner_steps=2,
    switch_steps=1,
    buffer_episodes=6,
    outer_batch=3,
    neumann_loops=2,
)


def episodes(seed=0, batch=3, horizon=5, size=2, terms=2, actions=3):
    draw = np.random.default_rng(seed)
    length = draw.integers(1, horizon + 1, (batch, 1))
    return barfi.Episodes(
        features=jnp.asarray(draw.standard_normal((batch, horizon, size)), jnp.float32),
        actions=jnp.asarray(draw.integers(0, actions, (batch, horizon)), jnp.int32),
        primary=jnp.asarray(draw.standard_normal((batch, horizon)), jnp.float32),
        auxiliary=jnp.asarray(draw.standard_normal((batch, horizon, terms)), jnp.float32),
        mask=jnp.asarray(np.arange(horizon) < length, jnp.float32),
    )


def reward(seed=0, size=2, terms=2):
    draw = np.random.default_rng(seed)
    return barfi.AlignedReward(
        kernel=jnp.asarray(draw.standard_normal((size, 1 + terms)), jnp.float32),
        bias=jnp.asarray(draw.standard_normal(1 + terms), jnp.float32),
        discount_logit=jnp.float32(1.0),
    )


def policy(size=2, actions=3):
    draw = np.random.default_rng(7)
    return barfi.LinearPolicy(
        kernel=jnp.asarray(0.3 * draw.standard_normal((size, actions)), jnp.float32),
        bias=jnp.asarray(0.3 * draw.standard_normal(actions), jnp.float32),
    )


# ------------------------------------------------------------------ objectives


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


# ------------------------------------------------------------------ the loop


@pytest.fixture(scope="module")
def square():
    env = jaxrl_envs.make("gridworld-continuous")
    return barfi_loop.Barfi(env, barfi_arms.cosine_features, TINY)


@pytest.fixture(scope="module")
def program(square):
    return jax.jit(jax.vmap(square.run, (0, None, None)))


def settings_of(learner, **changes):
    arm = dataclasses.replace(barfi_arms.ARMS["B: wrong weights, BARFI"], **changes)
    return barfi_arms.arm_settings(learner, arm, study.BarfiStudyConfig(), jax.random.key(0))


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
    start = barfi_arms.cosine_features(jnp.full((2,), 0.125))
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


# ------------------------------------------------------------------ files


def logged(tmp_path, **changes):
    """A file of two episodes with two and one steps."""
    columns = {
        "episode": np.asarray([4, 4, 9]),
        "obs": np.asarray([[0.0, 1.0], [0.5, 0.5], [0.0, 1.0]], np.float32),
        "action": np.asarray([0, 2, 1]),
        "r_p": np.asarray([0.0, 1.0, -1.0]),
        "r_aux_b": np.asarray([5.0, 6.0, 7.0]),
        "r_aux_a": np.asarray([1.0, 2.0, 3.0]),
    }
    columns |= changes
    path = tmp_path / "log.npz"
    np.savez(path, **{name: value for name, value in columns.items() if value is not None})
    return path


def test_logged_episodes_are_padded_in_order(tmp_path):
    found, names = barfi_episodes.read_episodes(
        logged(tmp_path), lambda obs: obs, actions=3, horizon=3
    )
    assert names == ("r_aux_a", "r_aux_b")
    np.testing.assert_array_equal(found.mask, [[1, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(found.actions, [[0, 2, 0], [1, 0, 0]])
    np.testing.assert_array_equal(found.primary, [[0, 1, 0], [-1, 0, 0]])
    np.testing.assert_array_equal(found.auxiliary[0], [[1, 5], [2, 6], [0, 0]])
    np.testing.assert_array_equal(found.features[1, 0], [0, 1])


def test_episodes_survive_a_round_trip(tmp_path, square):
    settings = settings_of(square)
    theta, params = square.init(jax.random.key(3)), square.env.default_params()
    found = jax.jit(square.collect)(theta, jax.random.key(4), settings, params)
    path = tmp_path / "written.npz"
    barfi_episodes.write_episodes(path, found.features, found, ["r_aux_bonus"])
    again, names = barfi_episodes.read_episodes(path, lambda obs: obs, actions=4, horizon=50)
    assert names == ("r_aux_bonus",)
    for name in ("primary", "auxiliary", "mask"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    np.testing.assert_array_equal(again.actions, found.actions * found.mask.astype(jnp.int32))
    with pytest.raises(InputError, match="each beginning 'r_aux'"):
        barfi_episodes.write_episodes(path, found.features, found, ["bonus"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r_p": None}, "no column 'r_p'"),
        ({"r_aux_a": None, "r_aux_b": None}, "no auxiliary column"),
        ({"r_p": np.zeros(2)}, "3 rows|2 rows"),
        ({"r_aux_a": np.asarray([0, np.nan, 0])}, "'r_aux_a' is not finite in row 1"),
        ({"action": np.asarray([0, 3, 1])}, "action 3 in row 1 is not an integer from 0 to 2"),
        ({"action": np.asarray([0, 0.5, 1])}, "action 0.5 in row 1"),
        ({"episode": np.asarray([4, 9, 4])}, "must follow one another"),
        ({"obs": np.asarray(["a", "b", "c"])}, "must hold numbers"),
    ],
)
def test_bad_logs_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        barfi_episodes.read_episodes(logged(tmp_path, **changes), lambda obs: obs, actions=3)
    assert "log.npz" in str(caught.value)


def test_files_that_are_no_logs_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        barfi_episodes.read_episodes(tmp_path / "none.npz", lambda obs: obs, actions=3)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InputError, match="cannot be read"):
        barfi_episodes.read_episodes(tmp_path / "text.npz", lambda obs: obs, actions=3)
    with pytest.raises(InputError, match="more than the horizon of 1"):
        barfi_episodes.read_episodes(logged(tmp_path), lambda obs: obs, actions=3, horizon=1)


def test_the_weight_table_has_a_row_per_term_and_state():
    phi = reward(size=2, terms=1)
    rows = barfi_episodes.weight_table(phi, np.eye(2), lambda obs: obs, ["bonus"])
    assert [(row["term"], row["state"]) for row in rows] == [
        ("free", [1.0, 0.0]), ("free", [0.0, 1.0]), ("bonus", [1.0, 0.0]), ("bonus", [0.0, 1.0]),
    ]  # fmt: skip
    expected = np.asarray(phi.kernel + phi.bias).T.ravel()
    np.testing.assert_allclose([row["weight"] for row in rows], expected, rtol=1e-6)
    json.dumps(rows)
    with pytest.raises(InputError, match="2 names given for 1"):
        barfi_episodes.weight_table(phi, np.eye(2), lambda obs: obs, ["a", "b"])


# ------------------------------------------------------------------ from a log alone


def bandit_log(count=60):
    """One-step episodes: action 0 earns 1, action 1 earns 0 and an auxiliary reward of 5."""
    actions = np.arange(count)[:, None] % 2
    return barfi.Episodes(
        features=jnp.ones((count, 1, 1)),
        actions=jnp.asarray(actions, jnp.int32),
        primary=jnp.asarray(1.0 - actions, jnp.float32),
        auxiliary=jnp.asarray(5.0 * actions[..., None], jnp.float32),
        mask=jnp.ones((count, 1)),
    )


def test_a_log_alone_corrects_a_wrong_weight():
    """With the weight frozen the policy takes the bait; with the outer step it does not."""
    log, theta = bandit_log(), policy(size=1, actions=2)
    start, solver = barfi_loop.reward_start(1, [1.0]), implicit.neumann(0.01, 5)

    def fit(rate):
        config = OfflineConfig(rounds=150, inner_steps=5, clone_steps=50, reward_rate=rate)
        return fit_offline(jax.random.key(0), theta, start, log, solver, config)

    found = jax.jit(jax.vmap(fit))(jnp.asarray([0.0, 0.02]))
    weight = found.phi.kernel[:, 0, 1] + found.phi.bias[:, 1]
    first = jax.nn.softmax(found.theta.kernel[:, 0] + found.theta.bias)[:, 0]
    assert int(found.fallbacks.sum()) == 0
    assert float(weight[0]) == 1.0 and float(weight[1]) < 0.2, weight
    assert float(first[0]) < 0.3 and float(first[1]) > 0.8, first
    cloned = jax.nn.softmax(found.behaviour.kernel[:, 0] + found.behaviour.bias)
    np.testing.assert_allclose(cloned, 0.5, atol=0.02)  # the log takes both actions equally often


def test_importance_weights_have_mean_one_before_the_cut():
    log = bandit_log(10)
    behaviour = policy(size=1, actions=2)
    same = importance_weights(behaviour, behaviour, log, barfi.linear_logits, 3.0)
    np.testing.assert_allclose(same, 1.0, rtol=1e-6)
    sharp = behaviour.replace(bias=jnp.asarray([20.0, -20.0]))
    found = importance_weights(sharp, behaviour, log, barfi.linear_logits, 3.0)
    np.testing.assert_allclose(jnp.mean(found), 1.0, rtol=1e-6)
    np.testing.assert_allclose(found[::2], 2.0, rtol=1e-4)
    one = log.replace(actions=jnp.ones((10, 1), jnp.int32).at[0].set(0))
    found = importance_weights(sharp, behaviour, one, barfi.linear_logits, 3.0)
    np.testing.assert_allclose(found, [3.0] + [0.0] * 9, atol=1e-6)  # 10 before the cut


# ------------------------------------------------------------------ the study


def result(late=False, **final):
    """Results in which every claim holds, with the final returns of some arms replaced."""
    numbers = {arm: [98.0] * 8 for arm in barfi_arms.ARMS}
    numbers |= {barfi_claim.NAIVE: [-2.0] * 8, barfi_claim.FROZEN: [0.0] * 8}
    numbers |= {barfi_claim.RESTARTS_ONLY: [10.0] * 8} | final
    arms = {
        arm: {
            "final_return": values,
            "first_500": [90.0 if arm.startswith("helpful") else 80.0] * 8,
            "centre_weight": [0.5] * 8,
            "visited_weight": [1.2] * 8,
            "discount": [0.9] * 8,
            "late_restarts": [float(late and arm == barfi_claim.RECOVERED)] * 8,
        }
        for arm, values in numbers.items()
    }
    return StudyResult(arms=arms)


@pytest.mark.parametrize(
    ("final", "missed"),
    [
        ({}, None),
        ({barfi_claim.NAIVE: [11.0] * 8}, "final return, naive sum"),
        ({barfi_claim.WRONG: [96.0] * 6 + [57.0] * 2}, None),
        ({barfi_claim.WRONG: [96.0] * 5 + [94.0] * 3}, "share of seeds at 95, B"),
        ({barfi_claim.FROZEN: [40.0] * 8}, "final return, B less A"),
        ({barfi_claim.ZERO: [95.0] * 8}, "final return, C less r_p only"),
        ({barfi_claim.RECOVERED: [91.0] * 7 + [0.0]}, None),
        ({barfi_claim.RECOVERED: [91.0] * 6 + [0.0] * 2}, "share of seeds recovered"),
        ({barfi_claim.RESTARTS_ONLY: [99.0] * 8}, "restarts with less without"),
    ],
)
def test_the_claim_is_judged_as_worded(final, missed):
    verdict = barfi_claim.claim(result(**final), study.BarfiStudyConfig())
    assert verdict.passed == (missed is None)
    complaints = [note for note in verdict.notes if note.startswith("not met: ")]
    assert len(complaints) == (missed is not None)
    assert missed is None or missed in complaints[0]


def test_a_restart_near_the_end_is_no_recovery():
    verdict = barfi_claim.claim(result(late=True), study.BarfiStudyConfig())
    assert not verdict.passed and any("seeds recovered" in note for note in verdict.notes)


@pytest.mark.slow
def test_the_study_writes_its_table_maps_and_rows(tmp_path, monkeypatch):
    """Everything around the loop, which is tested above and stands still here."""
    from jaxrl_rewards.studies.reproduce import reproduce

    def still(self, key, settings, params):
        rounds = self.config.warmup_rounds + self.config.rounds
        state = self.begin(key, settings).replace(phi=settings.start)
        seen = self.collect(state.theta, key, settings, params)
        buffer = jax.tree.map(lambda old, new: old.at[:3].set(new), state.buffer, seen)
        rows = jnp.zeros(rounds)
        return barfi_loop.BarfiResult(
            state=state.replace(buffer=buffer), returns=rows, weights=rows[:, None],
            discount=rows, stationarity=rows, fallbacks=rows, restarts=rows,
        )  # fmt: skip

    monkeypatch.setattr(barfi_loop.Barfi, "run", still)
    config = study.BarfiStudyConfig(seeds=2, warmup_rounds=1, rounds=3)
    verdict, paths = reproduce(study.STUDY, config, out_dir=tmp_path, quiet=True)
    assert not verdict.passed
    record = json.loads(paths["study-barfi.json"].read_text())
    assert set(record["arms"]) == set(barfi_arms.ARMS)
    assert record["budget"]["episodes"] == 12
    rows = json.loads(paths["barfi_weights.json"].read_text())
    assert {row["term"] for row in rows} == {"free", "bonus", "distance"}
    assert len(rows) == len(study.MAPPED) * 2 * 2 * 121
    assert all(row["weight"] == 1.0 for row in rows if row["term"] == "distance")
    assert paths["barfi_weights.png"].stat().st_size > 10_000
    cosines = record["arms"][barfi_claim.WRONG]["cosine_series"]["values"]
    assert len(cosines) == 2 and np.all(np.abs(cosines) <= 1.0)
