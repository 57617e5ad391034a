"""Warm start by imitation, starts weighed by failure, and learning rates of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxrl_envs import control

from jaxrl_rewards.core import record
from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.learners.adaptive_rate import RATE_BOUNDS, RATE_STEP, adapted_rate
from jaxrl_rewards.learners.api import Learner, LearnerState
from jaxrl_rewards.learners.clone import CloneConfig, clone_expert
from jaxrl_rewards.learners.optimise import guarded_step
from jaxrl_rewards.learners.ppo import (
    PPOConfig,
    PPOHParams,
    make_ppo,
)
from jaxrl_rewards.learners.start_sampling import (
    StartCounts,
    count_starts,
    start_weights,
    weigh_starts,
)
from jaxrl_rewards.networks.actor_critic import mlp_actor_critic


@record
class Starts:
    """Params of a world that has nothing but starts."""

    start_weights: jax.Array


CONFIG = PPOConfig(
    num_envs=8, unroll_length=8, num_epochs=2, num_minibatches=2, hidden=(32, 32),
    normalise_observations=True, adapt_to_kl=True, clip_values=False,
)  # fmt: skip


def pendulum(**hparams):
    env = control.Pendulum(max_steps=40)
    size = action_head(env.spec.action_space).size
    network = mlp_actor_critic(
        env.spec.observation_space, size, hidden=(32, 32), log_std=-1.0, learn_std=False
    )
    hparams = PPOHParams(env_params=env.default_params(), **hparams)
    return env, network, make_ppo(env, CONFIG, network=network, hparams=hparams)


def expert(state, params):
    """A smooth function of what the policy sees."""
    return jnp.stack([jnp.sin(state.theta) - 0.2 * state.theta_dot])


@pytest.mark.slow
def test_the_actor_learns_what_the_expert_does_where_the_policy_goes():
    env, network, learner = pendulum()
    state = learner.init(jax.random.key(0), learner.hparams)
    config = CloneConfig(rounds=4, num_envs=16, unroll_length=8, fits=150, batch=128)
    clone = jax.jit(
        lambda key, state: clone_expert(
            key, state, env, env.default_params(), network, expert, config
        )
    )
    cloned, losses = clone(jax.random.key(1), state)
    assert losses.shape == (4,) and losses[-1] < 2e-3
    worlds, first = jax.vmap(env.reset, (0, None))(
        jax.random.split(jax.random.key(2), 64), env.default_params()
    )
    wanted = jax.vmap(lambda s: expert(s, None))(worlds)
    act = lambda s: jax.vmap(lambda obs: learner.act(s, obs, None, None)[0])(first.obs)  # noqa: E731
    error = float(jnp.mean((act(cloned) - wanted) ** 2))
    assert error < 0.05 * float(jnp.mean((act(state) - wanted) ** 2))
    for name in ("critic",):
        jax.tree.map(np.testing.assert_array_equal, cloned.params[name], state.params[name])
    assert float(cloned.normaliser.obs.count) == 4 * 16 * 8
    again, _ = clone(jax.random.key(1), state)
    jax.tree.map(np.testing.assert_array_equal, again.params, cloned.params)


def test_clone_sizes_are_checked():
    with pytest.raises(ValueError, match="fits must be above 0"):
        CloneConfig(fits=0)


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(0.06, 1.0), (0.12, 0.5**0.5), (0.05, 1.2**0.5), (10.0, 1 / RATE_STEP), (0.0, RATE_STEP),
     (np.nan, 1 / RATE_STEP), (np.inf, 1 / RATE_STEP)],
)  # fmt: skip
def test_the_rate_follows_the_root_of_the_divergence(kl, factor):
    rate = adapted_rate(jnp.float32(1e-4), jnp.float32(kl), jnp.float32(0.06))
    np.testing.assert_allclose(rate, 1e-4 * factor, rtol=1e-5)


def test_the_rate_stays_within_its_bounds():
    for start, kl in ((RATE_BOUNDS[0], 1.0), (RATE_BOUNDS[1], 1e-6)):
        assert adapted_rate(jnp.float32(start), jnp.float32(kl), 0.06) == jnp.float32(start)


def test_each_network_moves_at_its_own_rate():
    params = {"actor": jnp.array([1.0]), "critic": jnp.array([1.0])}
    optimiser = optax.identity()
    rates = {"actor": jnp.float32(0.1), "critic": jnp.float32(0.5)}
    moved, _, _, _ = guarded_step(
        optimiser,
        params,
        optimiser.init(params),
        params,
        rates,
        jnp.float32(np.inf),
        groups={"actor": "actor", "critic": "critic"},
    )
    np.testing.assert_allclose([moved["actor"][0], moved["critic"][0]], [0.9, 0.5], rtol=1e-6)


def test_ppo_steers_the_actors_rate_and_leaves_the_critics():
    _, _, learner = pendulum(learning_rate=1e-3, critic_learning_rate=0.0, target_kl=1e-7)
    update = jax.jit(learner.update)
    state = learner.init(jax.random.key(0), learner.hparams)
    critic, actor = state.params["critic"], state.params["actor"]
    rates = []
    for _ in range(4):
        state, metrics = update(state, learner.hparams)
        rates.append(float(metrics["actor_learning_rate"]))
    np.testing.assert_allclose(rates[:2], [1e-3, 1e-3 / RATE_STEP], rtol=1e-5)
    assert rates[3] < rates[2] < rates[1] and float(metrics["kl"]) >= 0
    jax.tree.map(np.testing.assert_array_equal, state.params["critic"], critic)
    assert not np.array_equal(
        state.params["actor"]["mean"][0]["kernel"], actor["mean"][0]["kernel"]
    )
    np.testing.assert_array_equal(state.params["actor"]["log_std"], actor["log_std"])


def test_own_rates_need_separate_networks():
    with pytest.raises(ValueError, match="separate"):
        PPOConfig(adapt_to_kl=True, share_trunk=True)


def test_starts_are_weighed_by_their_failures():
    ended, failed = np.array([9.0, 9.0, 0.0, 9.0]), np.array([9.0, 4.0, 0.0, 0.0])
    steps = np.array([90.0, 900.0, 0.0, 1809.0])
    counts = StartCounts(
        steps=jnp.asarray(steps), ended=jnp.asarray(ended), failed=jnp.asarray(failed)
    )
    weights = start_weights(counts, floor=0.2)
    rate = np.array([1.0, 0.5, 1.0, 0.1])
    share = 0.05 + 0.8 * rate / rate.sum()
    mean = 2800.0 / 28.0
    length = np.array([190.0, 1000.0, 10 * mean, 1909.0]) / 10.0
    np.testing.assert_allclose(weights, share / length / (share / length).sum(), rtol=1e-6)
    # Played so often, at these lengths, every start gets its share of the steps.
    got = np.asarray(weights) * length
    np.testing.assert_allclose(got / got.sum(), share, rtol=1e-6)


def test_without_counts_all_starts_are_alike_and_no_length_is_below_one_step():
    zeros = jnp.zeros(4)
    even = start_weights(StartCounts(steps=zeros, ended=zeros, failed=zeros), floor=0.3)
    np.testing.assert_allclose(even, np.full(4, 0.25), rtol=1e-6)
    odd = StartCounts(steps=zeros, ended=zeros + 5, failed=zeros + 5)
    np.testing.assert_allclose(start_weights(odd, floor=0.0), np.full(4, 0.25), rtol=1e-6)


def test_counts_are_taken_per_start_over_time_and_worlds():
    info = {
        "start": jnp.array([[0, 2], [0, 1]]),
        "ended": jnp.array([[True, True], [False, True]]),
        "failed": jnp.array([[True, False], [False, True]]),
    }
    counts = count_starts(4)(info)
    np.testing.assert_array_equal(counts.steps, [2, 1, 1, 0])
    np.testing.assert_array_equal(counts.ended, [1, 1, 1, 0])
    np.testing.assert_array_equal(counts.failed, [1, 1, 0, 0])


def test_the_learner_around_it_sets_the_weights_and_remembers():
    """A stand-in for PPO shows what it was given and reports one episode per start."""
    seen = StartCounts(steps=jnp.full(2, 7.0), ended=jnp.ones(2), failed=jnp.array([1.0, 0.0]))

    def init(key, hparams):
        empty = jax.tree.map(jnp.zeros_like, seen)
        return LearnerState(
            params=(), opt_state=(), summary=empty, skipped=jnp.int32(0), key=key,
            step=jnp.int32(0),
        )  # fmt: skip

    def update(state, hparams):
        return state.replace(summary=seen), {"given": hparams.env_params.start_weights}

    hparams = PPOHParams(env_params=Starts(start_weights=jnp.ones((1, 2))))
    learner = weigh_starts(Learner(init, update, 1, hparams), floor=0.0, memory=0.5)
    state = learner.init(jax.random.key(0), hparams)
    state, metrics = learner.update(state, hparams)
    np.testing.assert_allclose(metrics["given"], [[0.5, 0.5]])
    state, metrics = learner.update(state, hparams)
    np.testing.assert_allclose(metrics["given"], [[2 / 3, 1 / 3]], rtol=1e-6)  # 2/2 and 1/2
    state, metrics = learner.update(state, hparams)
    rate = np.array([2.5 / 2.5, 1 / 2.5])
    np.testing.assert_allclose(metrics["given"][0], rate / rate.sum(), rtol=1e-6)
    with pytest.raises(ValueError, match="floor"):
        weigh_starts(learner, floor=2.0)
