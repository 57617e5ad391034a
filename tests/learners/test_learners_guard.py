"""Nothing to learn moves nothing; what is not finite is refused and counted."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl_rewards.learners.grpo import GRPOConfig, make_grpo
from jaxrl_rewards.learners.optimise import adam, guarded_step
from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo
from jaxrl_rewards.rewards.base import reward_term
from jaxrl_rewards.rewards.normalise import init_term_statistics, update_term_statistics
from jaxrl_rewards.rollout.normalise import (
    discounted_returns,
    init_moments,
    normalise_observation,
    standard_deviation,
    update_moments,
)
from tests.learners.toys import Bandit, Corridor, assert_same, distance, fixed, with_weights

PPO = PPOConfig(num_envs=4, unroll_length=8, num_epochs=2, num_minibatches=2, hidden=(8,))
GRPO = GRPOConfig(num_prompts=4, group_size=4, num_epochs=2, hidden=(8,))


@pytest.fixture(scope="module")
def grpo():
    learner = make_grpo(Bandit(), GRPO)
    hparams = fixed(learner.hparams)
    state = jax.jit(learner.init)(jax.random.key(0), hparams)
    return state, jax.jit(learner.update), hparams


def test_equal_rewards_leave_grpo_where_it_is(grpo):
    state, update, hparams = grpo
    new, metrics = update(state, with_weights(hparams, 0.0).replace(kl_coefficient=jnp.float32(0)))
    assert_same(new.params, state.params)
    assert float(metrics["grad_norm"]) == 0.0
    assert float(metrics["groups_with_spread"]) == 0.0
    moved, metrics = update(state, hparams)
    assert distance(moved.params, state.params) > 1e-5
    assert float(metrics["groups_with_spread"]) > 0.0


def test_grpo_ignores_answers_whose_score_is_not_finite(grpo):
    state, update, hparams = grpo
    broken = with_weights(hparams, jnp.nan).replace(kl_coefficient=jnp.float32(0))
    new, metrics = update(state, broken)
    assert_same(new.params, state.params)
    assert 0.0 < float(metrics["broken"]) <= 1.0
    # compilers may take NaN * 0 for 0; where no answer is left, the update counts as refused
    refused = GRPO.num_epochs if float(metrics["broken"]) == 1.0 else 0
    assert int(new.skipped) == refused


def test_grpo_refuses_a_gradient_that_is_not_finite(grpo):
    state, update, hparams = grpo
    new, metrics = update(state, hparams.replace(kl_coefficient=jnp.float32(jnp.nan)))
    assert_same((new.params, new.opt_state), (state.params, state.opt_state))
    assert int(new.skipped) == GRPO.num_epochs == int(metrics["skipped"])


def test_ppo_refuses_what_is_not_finite_and_goes_on_after_it():
    learner = make_ppo(Corridor(), PPO)
    update, hparams = jax.jit(learner.update), fixed(learner.hparams)
    state = jax.jit(learner.init)(jax.random.key(0), hparams)
    steps = PPO.num_epochs * PPO.num_minibatches
    for broken in (
        with_weights(hparams, jnp.nan, 0.0),
        with_weights(hparams, jnp.inf, 0.0),
        hparams.replace(value_coefficient=jnp.float32(jnp.nan)),
    ):
        new, metrics = update(state, broken)
        assert_same((new.params, new.opt_state), (state.params, state.opt_state))
        assert int(new.skipped) == steps == int(metrics["skipped"])
        assert int(new.step) == 1
    after, metrics = update(new, hparams)
    assert int(after.skipped) == steps
    assert distance(after.params, new.params) > 1e-5
    assert np.isfinite(float(metrics["grad_norm"]))


def test_one_broken_step_spoils_no_later_statistics():
    """A reward that is NaN once leaves later episode returns and normalisers finite."""

    def sometimes(prev, action, nxt, bad):
        return jnp.where((nxt.time == 2) & (nxt.x > 0.9), bad, nxt.x)

    settings = PPOConfig(**{**PPO.__dict__, "normalise_rewards": True})
    env = Corridor()
    learner = make_ppo(env, settings)
    params = env.default_params()

    def hparams(bad):
        reward = 1.0 * reward_term(sometimes, name="position", bad=bad)
        return learner.hparams.replace(env_params=params.replace(reward=reward))

    state = jax.jit(learner.init)(jax.random.key(2), hparams(0.0))
    update = jax.jit(learner.update)
    broken = []
    for _ in range(3):
        before, (state, metrics) = state, update(state, hparams(jnp.nan))
        broken.append(float(metrics["broken"]))
        assert distance(state.params, before.params) > 0  # the sound steps teach on
    assert 0.0 < max(broken) < 1.0
    for _ in range(2):
        state, metrics = update(state, hparams(0.0))
    assert int(state.skipped) == 0 and float(metrics["broken"]) == 0.0
    for name, value in metrics.items():
        assert np.isfinite(float(value)), name
    for leaf in jax.tree.leaves((state.normaliser, state.statistics)):
        assert np.isfinite(np.asarray(leaf)).all()


@pytest.mark.parametrize("size", [np.nan, 1e10, 1e20, np.inf])
def test_normalisers_survive_one_broken_number(size):
    """A NaN or huge reward or observation, once, leaves the statistics those of the others."""
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(20, 8)).astype(np.float32)
    done = np.zeros((20, 8), bool)
    spoilt = rewards.copy()
    spoilt[3, 2] = size
    clean, sums = discounted_returns(jnp.zeros(8), rewards, done, jnp.float32(0.99))
    found, other = discounted_returns(jnp.zeros(8), spoilt, done, jnp.float32(0.99))
    rest = np.arange(8) != 2
    np.testing.assert_array_equal(np.asarray(found)[rest], np.asarray(clean)[rest])
    assert np.isfinite(np.asarray(other)).all() and np.abs(other).max() < 100
    moments = init_moments(jnp.zeros(()))
    for values in (spoilt, rewards):
        moments = update_moments(moments, values)
    assert 0.9 < float(standard_deviation(moments)) < 1.1
    terms = update_term_statistics(
        init_term_statistics(("a",)), {"a": spoilt}, {"a": np.ones_like(done)}
    )
    assert float(terms.count["a"]) == 159 and 0.8 < float(terms.squares["a"]) / 159 < 1.2
    seen = normalise_observation(moments, jnp.asarray([size, 0.5]))
    assert np.isfinite(np.asarray(seen)).all() and np.abs(seen).max() <= 10


@pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
def test_normalisers_are_not_blinded_by_numbers_far_off_all_others(size):
    """One of 10,000 in each of three batches; among values of deviation 1, and of 1e-3."""
    rng = np.random.default_rng(0)
    for scale in (1.0, 1e-3):
        moments, terms = init_moments(jnp.zeros(())), init_term_statistics(("a",))
        for batch in range(4):
            values = scale * rng.normal(size=10_000).astype(np.float32)
            if batch:  # where nothing has been seen yet, nobody knows what is far
                values[17] = size
            applies = {"a": np.ones(values.shape, bool)}
            moments = update_moments(moments, values)
            terms = update_term_statistics(terms, {"a": values}, applies)
        assert float(standard_deviation(moments)) < 2.0 * scale
        assert float(terms.squares["a"] / terms.count["a"]) ** 0.5 < 2.0 * scale


def test_statistics_follow_a_change_of_scale_and_rare_events():
    """What is clipped as far off is believed soon where it stays; what is rare but regular never
    counts as far off."""
    rng = np.random.default_rng(0)
    moments = init_moments(jnp.zeros(()))
    for scale in (1.0, 1e6, 1e6, 1e6, 1e6):
        moments = update_moments(moments, scale * rng.normal(size=5000).astype(np.float32))
    assert float(standard_deviation(moments)) > 3e5
    rare = np.zeros((40, 5000), np.float32)
    rare[:, 3] = 1.0
    for values in (rare, 1e-3 * rare, rare + 1e-3 * rng.normal(size=rare.shape)):
        moments = init_moments(jnp.zeros(()))
        for batch in np.asarray(values, np.float32):
            moments = update_moments(moments, batch)
        expected = max(float(np.std(np.asarray(values, np.float64))), 1e-4)
        np.testing.assert_allclose(float(standard_deviation(moments)), expected, rtol=1e-3)


@pytest.mark.parametrize("size", [np.nan, 1e12])
def test_a_world_that_breaks_now_and_then_teaches_the_others(size):
    """Observations that blow up once in a while neither refuse steps nor blind the network."""

    class Blows(Corridor):
        def step(self, key, state, action, params):
            nxt, timestep = super().step(key, state, action, params)
            bad = jax.random.uniform(jax.random.fold_in(key, 7), dtype=jnp.float32) < 0.05
            obs = jnp.where(bad, jnp.float32(size), timestep.obs)
            return nxt, timestep.replace(obs=obs, final_obs=obs)

    learner = make_ppo(
        Blows(), PPOConfig(**{**PPO.__dict__, "num_envs": 16, "normalise_observations": True})
    )
    state = jax.jit(learner.init)(jax.random.key(0), learner.hparams)
    update = jax.jit(learner.update)
    broken = []
    for _ in range(4):
        before, (state, metrics) = state, update(state, learner.hparams)
        broken.append(float(metrics["broken"]))
        assert int(metrics["skipped"]) == 0 and distance(state.params, before.params) > 1e-6
    assert 0.0 < np.mean(broken) < 0.2
    seen = normalise_observation(state.normaliser.obs, jnp.asarray([[-0.5, 0.0], [0.5, 0.5]]))
    assert (np.abs(seen[1] - seen[0]) > 0.5).all()


def test_guarded_step_is_optax_clip_and_adam():
    params = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray(0.5)}
    grads = {"a": jnp.asarray([3.0, -4.0]), "b": jnp.asarray(12.0)}
    peer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1, eps=1e-5))
    updates, _ = peer.update(grads, peer.init(params))
    optimiser = adam()
    state = optimiser.init(params)
    new, moments, refused, norm = guarded_step(
        optimiser, params, state, grads, jnp.float32(0.1), jnp.float32(0.5)
    )
    for ours, theirs in zip(
        jax.tree.leaves(new), jax.tree.leaves(optax.apply_updates(params, updates)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert float(norm) == 13.0 and not bool(refused)
    for bad in (jnp.nan, jnp.inf, -jnp.inf):
        broken = {**grads, "b": jnp.asarray(bad)}
        kept, same, refused, norm = guarded_step(
            optimiser, new, moments, broken, jnp.float32(0.1), jnp.float32(jnp.inf)
        )
        assert bool(refused) and float(norm) == 0.0
        assert_same((kept, same), (new, moments))
