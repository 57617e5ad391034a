"""Tabular learners and exploration-guided shaping, against sequential NumPy replays."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explicable_cases import line_model, random_model
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.reward_design.explicable.exploration import shaping_start
from jaxrl_rewards.reward_design.explicable.tabular_learning import draw_next


@given(st.integers(0, 10_000))
def test_the_sampler_holds_the_model(seed):
    model = random_model(seed)
    sampler = explicable.make_sampler(model)
    chances = np.diff(np.asarray(sampler.cumulative), axis=-1, prepend=0.0)
    rebuilt = np.zeros(model.transition.shape)
    for state, action, index in np.ndindex(*chances.shape):
        following = sampler.successors[state, action, index]
        rebuilt[state, action, following] += chances[state, action, index]
    np.testing.assert_allclose(rebuilt, model.transition, atol=1e-6)


def test_draws_fall_where_the_intervals_say():
    model = line_model(noise=0.25)
    sampler = explicable.make_sampler(model)
    units = jnp.asarray([0.0, 0.7499, 0.7501, 0.99999])
    found = jax.vmap(lambda u: draw_next(sampler, jnp.int32(2), jnp.int32(1), u))(units)
    assert np.array_equal(found, [3, 3, 1, 1])


def test_an_episode_ends_at_the_terminal_state():
    model = line_model(cells=3, noise=0.0)
    sampler = explicable.make_sampler(model)
    right = jnp.asarray([[0.0, 1.0]] * 4)
    episode = explicable.play(jax.random.key(0), sampler, right, 6)
    assert np.array_equal(episode.mask, [1, 1, 1, 0, 0, 0])
    assert np.array_equal(episode.states[:3], [0, 1, 2])
    assert np.array_equal(episode.following[:3], [1, 2, 3])


def loop_returns(reward, mask, discount):
    total, returns = 0.0, np.zeros(len(reward))
    for t in reversed(range(len(reward))):
        if mask[t]:
            total = reward[t] + discount * total
            returns[t] = total
    return returns


def steps_of(seed, count=12, states=4, actions=3):
    generator = np.random.default_rng(seed)
    return (
        generator.integers(0, states, count),
        generator.integers(0, actions, count),
        generator.normal(size=count),
        np.arange(count) < generator.integers(0, count + 1),
        generator.normal(size=(states, actions)),
    )


@pytest.mark.parametrize("seed", range(4))
def test_returns_and_reinforce(seed):
    states, actions, reward, mask, theta = steps_of(seed)
    with jax.enable_x64(True):
        returns = explicable.discounted_returns(jnp.asarray(reward), jnp.asarray(mask), 0.9)
        np.testing.assert_allclose(returns, loop_returns(reward, mask, 0.9), atol=1e-12)
        updated = explicable.reinforce_tabular_update(
            jnp.asarray(theta), 0.1, states, actions, returns, jnp.asarray(mask)
        )

        def surrogate(theta):
            chosen = jax.nn.log_softmax(theta, axis=-1)[states, actions]
            return jnp.sum(jnp.where(mask, chosen * returns, 0.0)) / max(mask.sum(), 1)

        expected = theta + 0.1 * jax.grad(surrogate)(jnp.asarray(theta))
        np.testing.assert_allclose(updated, expected, atol=1e-12)


def loop_selfrs(states, actions, returns, mask, policies, phi, values, rate, value_rate, clip):
    gain, change = np.zeros_like(phi), np.zeros_like(values)
    for t in np.flatnonzero(mask):
        s, a = states[t], actions[t]
        weight = policies[t, a] * (returns[t] - values[s])
        gain[s, a] += weight
        gain[s] -= weight * policies[t]
        change[s] += returns[t] - values[s]
    phi = phi + rate * gain
    phi = phi if clip is None else np.clip(phi, -clip, clip)
    return phi, values + value_rate * change / max(mask.sum(), 1)


@pytest.mark.parametrize(("seed", "clip"), [(0, None), (1, 0.05), (2, None)])
def test_selfrs(seed, clip):
    states, actions, returns, mask, phi = steps_of(seed)
    generator = np.random.default_rng(seed)
    policies = generator.dirichlet(np.ones(3), len(states))
    values = generator.normal(size=4)
    args = states, actions, returns, mask, policies, 0.1 * phi, values
    with jax.enable_x64(True):
        found = explicable.selfrs_update(*map(jnp.asarray, args), 0.02, 0.3, clip)
    expected = loop_selfrs(*args, 0.02, 0.3, clip)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    assert clip is None or np.abs(found[0]).max() == pytest.approx(clip)


def test_the_bonus_falls_and_is_switched_off():
    counts = jnp.arange(0.0, 50.0)
    terminal = jnp.arange(50) == 3
    bonus = explicable.exploration_bonus(counts, 2.0, 0.5, terminal)
    assert float(bonus[0]) == 0.5 and float(bonus[3]) == 0.0
    assert np.all(np.diff(np.delete(bonus, 3)) < 0)
    for scale, largest in ((0.0, 1.0), (1.0, 0.0)):
        assert not np.any(explicable.exploration_bonus(counts, scale, largest, terminal))
    slope = jax.grad(lambda scale: explicable.exploration_bonus(counts, scale, 0.5, terminal).sum())
    assert np.isfinite(slope(2.0)) and np.isfinite(slope(0.0))


SHAPED = dict(steps=7, learner_batch=3, teacher_period=3, teacher_batch=4)


def replay(model, episodes, settings, *, steps, learner_batch, teacher_period, teacher_batch):
    """Step by step, episode by episode, in the order of the algorithm; returns per episode too."""
    reward, discount = model.reward, float(settings.discount)
    theta = np.zeros(reward.shape)
    phi, values = np.zeros(reward.shape), np.zeros(len(reward))
    counts = np.zeros(len(reward))
    buffer, earned = [], []
    for number, (states, actions, following, mask, policy) in enumerate(episodes(theta)):
        task, shaped = np.zeros(steps), np.zeros(steps)
        for t in np.flatnonzero(mask):
            s, a, z = states[t], actions[t], following[t]
            root = np.sqrt((settings.bonus_scale / settings.bonus_largest) ** 2 + counts[z])
            bonus = 0.0 if model.terminal[z] else float(settings.bonus_scale / root)
            task[t], shaped[t] = reward[s, a], reward[s, a] + phi[s, a] + bonus
            counts[s] += 1
        row = states, actions, loop_returns(task, mask, discount), mask, policy[states]
        buffer.append((*row, loop_returns(shaped, mask, discount)))
        earned.append(row[2][0])
        if number % teacher_period == teacher_period - 1:
            recent = [np.concatenate(part) for part in zip(*buffer[-teacher_batch:], strict=True)]
            rates = float(settings.shaping_rate), float(settings.value_rate)
            phi, values = loop_selfrs(*recent[:5], phi, values, *rates, None)
        if number % 2 == 1:
            recent = [np.concatenate(part) for part in zip(*buffer[-learner_batch:], strict=True)]
            gradient = np.zeros_like(theta)
            now = np.exp(theta) / np.exp(theta).sum(axis=1, keepdims=True)
            for t in np.flatnonzero(recent[3]):
                s, a, gain = recent[0][t], recent[1][t], recent[5][t]
                gradient[s, a] += gain
                gradient[s] -= gain * now[s]
            theta += float(settings.learner_rate) * gradient / recent[3].sum()
    return theta, phi, values, counts, np.asarray(earned)


def test_shaped_learning_equals_a_sequential_replay():
    model = random_model(5)
    sampler = explicable.make_sampler(model)
    settings = explicable.shaping_settings(discount=0.9, shaping_rate=0.05, learner_rate=0.5)
    key, count = jax.random.key(4), 12
    reward = jnp.asarray(model.reward, jnp.float32)
    learn = functools.partial(explicable.shaped_learning, episodes=count, every=4, **SHAPED)
    curve, last = jax.jit(learn)(key, sampler, reward, settings)
    player = jax.jit(lambda key, policy: explicable.play(key, sampler, policy, SHAPED["steps"]))
    keys = jax.random.split(key, (count // 4, 2)).reshape(-1)

    def episodes(theta):
        """The same random keys; `theta` is updated in place between the pairs."""
        for pair in keys:
            policy = np.asarray(explicable.softmax_policy(jnp.asarray(theta, jnp.float32)))
            for one in jax.random.split(pair, 2):
                played = jax.device_get(player(one, policy))
                yield played.states, played.actions, played.following, played.mask, policy

    theta, phi, values, counts, earned = replay(model, episodes, settings, **SHAPED)
    np.testing.assert_allclose(last.theta, theta, atol=2e-5)
    np.testing.assert_allclose(last.phi, phi, atol=2e-5)
    np.testing.assert_allclose(last.values, values, atol=2e-5)
    assert np.array_equal(last.counts, counts)
    np.testing.assert_allclose(curve, earned.reshape(-1, 4).mean(axis=1), atol=1e-5)
    assert np.any(phi != 0) and np.any(earned > 0)


@pytest.mark.slow
def test_shaped_learning_is_lifted_by_vmap():
    model = line_model()
    sampler = explicable.make_sampler(model)
    reward = jnp.asarray(model.reward, jnp.float32)
    arms = [explicable.shaping_settings(bonus=b, shaping=s) for b, s in ((0, 1), (1, 0))]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arms)
    keys = jax.random.split(jax.random.key(0), 3)
    learn = functools.partial(explicable.shaped_learning, episodes=20, every=10, steps=6)
    both = jax.jit(jax.vmap(jax.vmap(learn, (0, None, None, None)), (None, None, None, 0)))
    curves, states = both(keys, sampler, reward, stacked)
    curve, state = jax.jit(learn)(keys[2], sampler, reward, arms[1])
    np.testing.assert_allclose(curves[1, 2], curve, atol=1e-6)
    np.testing.assert_allclose(states.theta[1, 2], state.theta, atol=1e-6)
    assert not np.any(states.phi[1])  # the second arm learns no reward
    empty = shaping_start(reward.shape, 10, 5)
    assert jax.tree.structure(empty) == jax.tree.structure(state)


def test_reinforce_with_a_given_reward_finds_the_end():
    """Under V* shaping every step is informative; margin seen on 20 other keys: 0.97 and more."""
    model = line_model()
    target = explicable.target_of(model)
    shaped = explicable.potential_shaped_reward(
        model.transition, model.discount, model.reward, target.values
    )
    sampler = explicable.make_sampler(model)

    @jax.jit
    def learn(key):
        start = explicable.reinforce_start(model.reward.shape, 5)
        args = sampler, jnp.asarray(shaped, jnp.float32), model.discount, 0.5
        return explicable.reinforce_chunk(key, start, *args, updates=300, steps=15)

    state = learn(jax.random.key(3))
    policy = np.asarray(explicable.softmax_policy(state.theta), np.float64)
    assert explicable.share_of_optimal(model, policy) > 0.9
    assert np.all(state.steps > 0) and np.all(state.steps <= 15)


def replay_q_learning(model, key, episodes, steps, rate, exploration):
    q_values = np.zeros(model.reward.shape, np.float32)
    sampler = explicable.make_sampler(model)
    for one in jax.random.split(key, (episodes, 1)).reshape(-1):
        _, key_units, _ = jax.random.split(one, 3)
        units = np.asarray(jax.random.uniform(key_units, (steps, 3)))
        state = int(np.argmax(model.start))
        for unit in units:
            action = int(np.argmax(q_values[state]))
            if unit[0] < exploration:
                action = int(unit[1] * model.num_actions)
            cumulative = np.asarray(sampler.cumulative[state, action])
            index = int(np.sum(unit[2] >= cumulative[:-1]))
            following = int(sampler.successors[state, action, index])
            beyond = 0.0 if model.terminal[following] else q_values[following].max()
            error = model.reward[state, action] + model.discount * beyond - q_values[state, action]
            q_values[state, action] += rate * error
            state = following
            if model.terminal[state]:
                break
    return q_values


def test_q_learning_equals_a_sequential_replay():
    model = line_model(cells=4, noise=0.2)
    key = jax.random.key(1)
    greedy = explicable.q_learning(
        key,
        explicable.make_sampler(model),
        jnp.asarray(model.reward, jnp.float32),
        model.discount,
        exploration=0.5,
        episodes=25,
        steps=12,
        every=1,
    )
    q_values = replay_q_learning(model, key, 25, 12, 0.5, 0.5)
    assert np.any(q_values > 0)
    best = q_values >= q_values.max(axis=1, keepdims=True)
    assert np.array_equal(greedy[-1], best)
    policy = explicable.greedy_policy(greedy)
    assert policy.shape == (25, 5, 2) and np.all(policy.sum(axis=-1) == 1.0)
    assert np.array_equal(policy[-1].argmax(axis=1), q_values.argmax(axis=1))
    even = explicable.greedy_policy(greedy, "random")
    assert np.all(even[-1, -1] == 0.5)  # the terminal state was never left: all actions tie


def test_random_ties_explore_where_the_first_action_is_stuck():
    """Without exploration and noise the first action never leaves the left end."""
    model = line_model(noise=0.0)
    args = explicable.make_sampler(model), jnp.asarray(model.reward, jnp.float32), 0.9
    learn = functools.partial(
        explicable.q_learning, exploration=0.0, episodes=40, steps=60, every=40
    )
    stuck = learn(jax.random.key(0), *args, ties="first")
    free = learn(jax.random.key(0), *args, ties="random")
    assert np.all(stuck) and not np.all(free[0, :-1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s, r: explicable.q_learning(0, s, r, 0.9, episodes=7, every=2), "multiple"),
        (lambda s, r: explicable.q_learning(0, s, r, 0.9, episodes=2, every=2, ties="x"), "ties"),
        (lambda s, r: explicable.shaped_learning(0, s, r, None, episodes=9, every=4), "episodes=9"),
        (lambda s, r: explicable.shaped_learning(0, s, r, None, episodes=9, every=3), "every=3"),
        (
            lambda s, r: explicable.shaped_learning(0, s, r, None, episodes=100, learner_batch=11),
            "learner_batch=11",
        ),
    ],
)
def test_bad_sizes_are_refused(call, words):
    model = line_model()
    with pytest.raises(InputError, match=words):
        call(explicable.make_sampler(model), jnp.asarray(model.reward, jnp.float32))
