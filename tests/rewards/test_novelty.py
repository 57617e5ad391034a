"""Bonuses for what is new: counts as a loop counts, a network that gets used to what it sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs import make
from jaxrl_envs.visits import CountVisits

from jaxrl_rewards.core import check_env, record
from jaxrl_rewards.rewards import (
    EpisodicBonus,
    count_bonus,
    distillation_bonus,
    learning_terms,
    novelty_of_count,
    reward_term,
    with_terms,
)
from jaxrl_rewards.rollout import AutoReset


@record
class State:
    x: jax.Array


def place(prev, action, nxt):
    """The state's number."""
    return nxt.x


def coordinates(prev, action, nxt):
    """The state's numbers."""
    return nxt.x


def test_counts_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    term, counts = count_bonus(9, place, power=0.5), np.zeros(9, int)
    learn = jax.jit(lambda term, places, seen: term.learn(places, seen))
    for _ in range(6):
        places, seen = rng.integers(-2, 12, size=50), rng.random(50) < 0.7
        evidence = jax.vmap(term.evidence, (None, None, 0))(
            None, None, State(x=jnp.asarray(places))
        )
        scores = jax.vmap(term.score)(evidence)
        for number, visited in enumerate(np.clip(places, 0, 8)):
            assert float(scores[number]) == pytest.approx((counts[visited] + 1) ** -0.5, rel=1e-6)
        term = learn(term, evidence, jnp.asarray(seen))
        for visited, counted in zip(np.clip(places, 0, 8), seen):
            counts[visited] += counted
        np.testing.assert_array_equal(term.counts, counts)


def test_powers_of_counts():
    counts = jnp.asarray([0, 1, 2, 4])
    np.testing.assert_allclose(novelty_of_count(counts, 1.0), [1.0, 1.0, 0.5, 0.25])
    np.testing.assert_allclose(novelty_of_count(counts, jnp.inf), [1.0, 1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="places must be at least 1, got 0"):
        count_bonus(0, place)


def test_the_error_falls_where_the_network_has_been():
    """Half of the plane is visited again and again, the other half never."""
    term = distillation_bonus(
        jax.random.key(0), coordinates, 2, hidden=(64, 64), outputs=16, learning_rate=1e-3, steps=4
    )
    keys = jax.random.split(jax.random.key(1), 60)
    left = jnp.asarray([-0.7, 0.0]) + 0.3 * jax.random.normal(jax.random.key(2), (64, 2))
    right = jnp.asarray([2.5, 0.0]) + 0.3 * jax.random.normal(jax.random.key(3), (64, 2))

    @jax.jit
    def visit(term, key):
        rows = jnp.asarray([-0.7, 0.0]) + 0.3 * jax.random.normal(key, (128, 2))
        rows = rows.at[0].set(jnp.nan)
        return term.learn(rows, jnp.arange(128) > 0)

    started = visit(term, keys[0])  # features are standardised from here on
    learnt = started
    for key in keys[1:]:
        learnt = visit(learnt, key)
    before, after = started.error(left).mean(), learnt.error(left).mean()
    unvisited = learnt.error(right).mean() / started.error(right).mean()
    assert float(after) < 0.05 * float(before)
    assert float(unvisited) > 0.3 and float(learnt.error(right).mean()) > 20.0 * float(after)
    assert float(learnt.inputs.count) == 60 * 127
    np.testing.assert_allclose(learnt.inputs.mean, [-0.7, 0.0], atol=0.03)
    np.testing.assert_allclose(learnt.inputs.deviation, [0.3, 0.3], atol=0.03)
    jax.tree.map(np.testing.assert_array_equal, learnt.target, term.target)


def test_the_error_stays_where_features_share_nothing():
    """One number for every place: half of the places are visited."""
    term = distillation_bonus(jax.random.key(3), coordinates, 12, hidden=(64,), outputs=16)
    places, visited = jnp.eye(12), jnp.eye(12)[:6]
    rows = jnp.tile(visited, (10, 1))
    started = jax.jit(lambda t: t.learn(rows, jnp.ones(60, bool)))(term)
    learn = jax.jit(lambda t: t.learn(rows, jnp.ones(60, bool)))
    learnt = started
    for _ in range(60):
        learnt = learn(learnt)
    share = np.asarray(learnt.error(places) / started.error(places))
    assert share[:6].max() < 0.01 and share[6:].min() > 100.0 * share[:6].max(), share
    assert share[6:].min() > 0.2  # the outputs' biases are common to all places


def test_a_batch_in_which_nothing_was_seen_teaches_nothing():
    term = distillation_bonus(jax.random.key(0), coordinates, 2, hidden=(4,), outputs=2, steps=2)
    after = jax.jit(lambda t: t.learn(jnp.full((3, 2), jnp.nan), jnp.zeros(3, bool)))(term)
    jax.tree.map(np.testing.assert_array_equal, after, term)
    with pytest.raises(ValueError, match="size, outputs and steps must be at least 1, got 0"):
        distillation_bonus(jax.random.key(0), coordinates, 0)


def test_learning_terms_are_found_and_put_back():
    bonus = count_bonus(3, place)
    reward = 2.0 * reward_term(lambda prev, action, nxt: nxt.x, "x") + 0.5 * bonus
    assert set(learning_terms(reward)) == {"count"} == set(learning_terms(bonus))
    learnt = bonus.replace(counts=jnp.asarray([3, 0, 0]))
    total, _ = with_terms(reward, {"count": learnt})(None, None, State(x=jnp.int32(0)))
    assert float(total) == 0.25
    assert with_terms(bonus, {"count": learnt}) is learnt


def test_visits_of_an_episode_are_counted_and_forgotten():
    """Walking on a map with restarts, against a loop."""
    inner = make("gridworld", max_steps=5)
    env = CountVisits(inner, lambda state: state.cell, inner.layout.height * inner.layout.width)
    params = env.default_params()
    params = params.replace(reward=params.reward + 1.0 * EpisodicBonus(power=1.0))
    check_env(env, params)
    worlds = AutoReset(env, "fresh")
    ready = worlds.prepare(jax.random.key(2), params)
    state, timestep = worlds.reset(jax.random.key(0), ready)
    step = jax.jit(worlds.step)
    visits, ends, paid = {int(state.inner.cell): 1}, 0, []
    for number in range(16):
        key = jax.random.fold_in(jax.random.key(1), number)
        state, timestep = step(key, state, jnp.int32(number // 2 % 4), ready)
        paid.append(float(timestep.terms["episodic"]))
        cell = int(state.inner.cell)
        if bool(timestep.done):
            ends, visits = ends + 1, {}
        visits[cell] = visits.get(cell, 0) + 1
        if not bool(timestep.done):
            assert paid[-1] == pytest.approx(1.0 / visits[cell])
        assert {c: int(n) for c, n in enumerate(state.inner.visits) if n} == visits
    assert ends == 3 and min(paid) < 1.0 == max(paid)
    with pytest.raises(ValueError, match="places must be at least 1, got 0"):
        CountVisits(inner, lambda state: state.cell, 0)
