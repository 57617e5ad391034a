"""Schedules, normalisers, recurrent and asymmetric networks, auto-reset, config errors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import Box, DictSpace, Discrete, MultiDiscrete
from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.learners.epochs import _worlds_in_parts
from jaxrl_rewards.learners.grpo import GRPOConfig
from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo
from jaxrl_rewards.networks.actor_critic import gru_actor_critic, mlp_actor_critic
from jaxrl_rewards.rewards.schedule import Linear, Piecewise
from tests.learners.toys import (
    Corridor,
    Memory,
    assert_close,
    assert_same,
    distance,
    rollout,
    with_weights,
)

PPO = PPOConfig(num_envs=4, unroll_length=8, num_epochs=1, num_minibatches=2, hidden=(8,))


def test_scheduled_weights_and_rates_are_those_of_the_update_count():
    learner = make_ppo(Corridor(), PPO)
    update = jax.jit(learner.update)
    weight = Linear(start=0.0, stop=1.0, begin=0.0, end=4.0)
    moving = with_weights(learner.hparams, weight, -0.1).replace(
        learning_rate=Piecewise(boundaries=jnp.asarray([3.0]), values=jnp.asarray([0.0, 0.01]))
    )
    state = jax.jit(learner.init)(jax.random.key(0), moving)
    first, _ = update(state, moving)
    assert_same(first.params, state.params)  # rate 0
    late = state.replace(step=jnp.int32(3))
    scheduled, metrics = update(late, moving)
    still = with_weights(learner.hparams, weight.replace(start=0.75, stop=0.75), -0.1).replace(
        learning_rate=Piecewise(boundaries=jnp.asarray([0.0]), values=jnp.asarray([0.01, 0.01]))
    )
    constant, expected = update(late, still)
    assert_close(scheduled.params, constant.params)
    assert_close(metrics, expected)
    assert distance(scheduled.params, late.params) > 1e-3


def rollouts(settings, updates, env=None, hparams=None):
    """The rollouts that `updates` calls of update collect, and the states before each."""
    env = env or Corridor()
    learner = make_ppo(env, settings)
    hparams = hparams or learner.hparams
    head = action_head(env.spec.action_space)
    network = mlp_actor_critic(env.spec.observation_space, head.size, hidden=(8,))
    state = jax.jit(learner.init)(jax.random.key(5), hparams)

    @jax.jit
    def step(state):
        collected = rollout(env, settings, network, head, state, hparams)
        return collected, learner.update(state, hparams)[0]

    found = []
    for _ in range(updates):
        collected, after = step(state)
        found.append((state, collected, after))
        state = after
    return found


@pytest.fixture(scope="module")
def normalised():
    settings = dataclasses.replace(
        PPO, normalise_observations=True, normalise_rewards=True, normalise_terms=True
    )
    return rollouts(settings, 3)


@pytest.fixture(scope="module")
def plain():
    return rollouts(PPO, 1)


def test_observations_are_standardised_by_what_was_seen_before(normalised):
    raw = []
    for state, (collected, _), _ in normalised:
        seen = np.asarray(collected.obs, np.float64)
        if raw:
            data = np.concatenate(raw).reshape(-1, 2)
            mean, deviation = data.mean(0), data.std(0)
        else:
            mean, deviation = np.zeros(2), np.ones(2)
        np.testing.assert_allclose(
            np.asarray(state.normaliser.obs.mean), mean, rtol=1e-5, atol=1e-6
        )
        assert float(state.normaliser.obs.count) == sum(r.shape[0] * r.shape[1] for r in raw)
        raw.append(seen * deviation + mean)  # nothing is near the limit of ±10
        first = np.asarray(state.env_state.timestep.obs)
        np.testing.assert_allclose(raw[-1][0], first, rtol=1e-4, atol=1e-5)
        assert np.abs(seen).max() < 10


def test_terms_and_rewards_are_divided_by_their_running_deviation(normalised, plain):
    terms = {"position": [], "effort": []}
    running, sums = np.zeros(4), []
    for _, (collected, raw_reward), _ in normalised:
        total = 0.0
        for name, weight in (("position", 1.0), ("effort", -0.1)):
            values = np.asarray(collected.terms[name], np.float64)
            terms[name].append(values)
            total = total + weight * values / np.concatenate(terms[name]).std()
        done = np.asarray(collected.done)
        for t in range(len(total)):
            running = 0.99 * running + total[t]
            sums.append(running.copy())
            running = np.where(done[t], 0.0, running)
        expected = total / np.std(sums)
        np.testing.assert_allclose(np.asarray(collected.reward), expected, rtol=1e-4, atol=1e-5)
        raw = collected.terms["position"] - 0.1 * collected.terms["effort"]
        np.testing.assert_allclose(raw_reward, raw, rtol=1e-5, atol=1e-6)
    ((_, (collected, raw_reward), after),) = plain
    assert_same(collected.reward, raw_reward)
    assert after.normaliser.obs == () == after.normaliser.terms


@pytest.mark.parametrize("mode", ["fresh", "pool", "cached"])
def test_every_auto_reset_mode_trains(mode, plain):
    found = plain if mode == "fresh" else rollouts(dataclasses.replace(PPO, auto_reset=mode), 1)
    state, (collected, _), after = found[0]
    assert distance(after.params, state.params) > 1e-6
    done, obs = np.asarray(collected.done), np.asarray(collected.obs)
    start = np.asarray(state.env_state.timestep.obs)
    again = obs[1:][done[:-1]]
    assert len(again) and np.allclose(again[:, 1], 0.0)  # the clock is back at 0
    if mode == "cached":
        _, world = np.nonzero(done[:-1])
        np.testing.assert_array_equal(again, start[world])
    else:
        assert len(np.unique(again[:, 0])) > 1 and np.abs(again[:, 0]).max() <= 0.6


def test_asymmetric_actor_and_critic_see_their_own_part():
    env = Corridor(view=True)
    network = mlp_actor_critic(
        env.spec.observation_space, 2, hidden=(8,), actor_key="part", critic_key="whole"
    )
    learner = make_ppo(env, PPO, network=network)
    state = jax.jit(learner.init)(jax.random.key(0), learner.hparams)
    assert state.params["actor"][0]["kernel"].shape == (1, 8)
    assert state.params["critic"][0]["kernel"].shape == (2, 8)
    new, metrics = jax.jit(learner.update)(state, learner.hparams)
    assert distance(new.params, state.params) > 1e-6
    assert np.isfinite([float(v) for v in metrics.values()]).all()
    obs = {"part": jnp.asarray([0.3]), "whole": jnp.asarray([0.3, 5.0])}
    action, _ = learner.act(new, obs, (), jax.random.key(0))
    other, _ = learner.act(new, {**obs, "whole": jnp.asarray([-9.0, 0.0])}, (), jax.random.key(0))
    assert int(action) == int(other) and action.shape == ()


def test_recurrent_update_and_acting_from_no_carry():
    env = Memory()
    network = gru_actor_critic(env.spec.observation_space, 2, width=4)
    learner = make_ppo(env, PPO, network=network)
    state = jax.jit(learner.init)(jax.random.key(0), learner.hparams)
    new, _ = jax.jit(learner.update)(state, learner.hparams)
    assert distance(new.params, state.params) > 1e-6
    assert new.env_state.carry.shape == (4, 4)
    one, carry = learner.act(new, jnp.ones((1,)), None, jax.random.key(0))
    other, same = learner.act(new, jnp.ones((1,)), network.initial_carry(), jax.random.key(0))
    assert_same((one, carry), (other, same))
    assert float(jnp.abs(carry).max()) > 0.0
    with pytest.raises(ValueError, match="divide num_envs"):
        make_ppo(env, dataclasses.replace(PPO, num_minibatches=8), network=network)
    with pytest.raises(ValueError, match="shuffle_shards=4"):
        make_ppo(env, dataclasses.replace(PPO, shuffle_shards=4), network=network)
    order = _worlds_in_parts(
        jax.random.key(0), 12, dataclasses.replace(PPO, num_envs=12, shuffle_shards=3)
    )
    assert sorted(order.ravel().tolist()) == list(range(12))
    np.testing.assert_array_equal(np.sort(order // 4, -1), [[0, 0, 1, 1, 2, 2]] * 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ({"num_epochs": -1}, "num_epochs must be at least 1"),
        ({"num_minibatches": 5}, "num_minibatches=5 must divide"),
        ({"shuffle_shards": 3}, "shuffle_shards=3 must divide num_envs=4"),
        ({"time_limits": "ignore"}, "time_limits='ignore' is unknown"),
    ],
)
def test_ppo_config_names_the_bad_value(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PPO, **changes)


def test_other_bad_settings_are_named():
    with pytest.raises(ValueError, match="'sometimes'"):
        dataclasses.replace(PPO, auto_reset="sometimes")
    with pytest.raises(ValueError, match="advantage='best'"):
        GRPOConfig(advantage="best")
    with pytest.raises(ValueError, match="loss='l2'"):
        GRPOConfig(loss="l2")
    with pytest.raises(ValueError, match="kl='k9'"):
        GRPOConfig(kl="k9")
    with pytest.raises(ValueError, match="aggregation='mean'"):
        GRPOConfig(aggregation="mean")
    for size in (0, 1):
        with pytest.raises(ValueError, match=f"group_size.*{size}"):
            GRPOConfig(group_size=size)
    with pytest.raises(ValueError, match="no action head"):
        action_head(DictSpace.of(a=Discrete(2)))
    with pytest.raises(ValueError, match="finite"):
        action_head(Box(-jnp.inf, jnp.inf, (2,)), squash=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "squash"),
    [
        (Discrete(3), False),
        (MultiDiscrete((3, 3)), False),
        (MultiDiscrete((2, 4)), False),
        (Box(-2.0, 1.0, (2,)), False),
        (Box(-2.0, 1.0, (2,)), True),
        (Box(-2.0, 1.0, ()), False),
        (Box(-2.0, 1.0, ()), True),
    ],
    ids=str,
)
def test_action_heads_are_consistent(space, squash):
    head = action_head(space, squash=squash)
    output = 0.5 * jax.random.normal(jax.random.key(0), (5, head.size))
    action, log_prob = head.sample(jax.random.key(1), output)
    assert action.shape == (5, *space.shape) and log_prob.shape == (5,)
    np.testing.assert_allclose(head.log_prob(output, action), log_prob, rtol=1e-4, atol=1e-5)
    tokens = head.token_log_prob(output, action)
    assert tokens.shape == (5, max(1, int(np.prod(space.shape))))
    np.testing.assert_allclose(tokens.sum(-1), log_prob, rtol=1e-4, atol=1e-5)
    entropy = head.entropy(output)
    assert entropy.shape == (5,)
    one_by_one = jnp.stack([head.entropy(row) for row in output])
    np.testing.assert_allclose(entropy, one_by_one, rtol=1e-5)
    assert head.mode(output).shape == (5, *space.shape)
    for sample in (action, head.mode(output)):
        assert bool(space.contains(head.to_env(sample)).all())


@pytest.mark.parametrize(
    "space", [Discrete(4), MultiDiscrete((2, 4)), Box(-2.0, 1.0, (2,)), Box(-2.0, 1.0, ())], ids=str
)
def test_a_temperature_is_a_power_of_the_distribution(space):
    head = action_head(space)
    output = jnp.broadcast_to(
        0.5 * jax.random.normal(jax.random.key(0), (head.size,)), (9, head.size)
    )
    action, log_prob = head.sample(jax.random.key(1), output)
    warm = head.log_prob(head.temper(output, 2.0), action)
    np.testing.assert_allclose(warm - warm[0], (log_prob - log_prob[0]) / 2.0, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(head.temper(output, 1.0), output)
    np.testing.assert_array_equal(head.mode(head.temper(output, 2.0)), head.mode(output))


@pytest.mark.slow
def test_entropies_are_those_of_samples():
    """Monte Carlo: -E log p, for every kind of head."""
    for space, squash in (
        (MultiDiscrete((2, 4)), False),
        (Box(-1.0, 1.0, (2,)), False),
        (Box(-1.0, 1.0, (2,)), True),
        (Box(-1.0, 1.0, ()), True),
    ):
        head = action_head(space, squash=squash)
        output = jnp.broadcast_to(0.3 * jnp.arange(head.size), (20_000, head.size)) - 0.5
        _, log_prob = head.sample(jax.random.key(0), output)
        error = 5.0 * float(log_prob.std()) / 20_000**0.5
        assert abs(float(-log_prob.mean()) - float(head.entropy(output[0]))) < error + 1e-3
