"""Potential-based shaping leaves what is optimal as it is, on random decision processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import record
from jaxrl_rewards.rewards import potential_shaping, shaping_reward

STATES, ACTIONS, DISCOUNT = 7, 3, 0.9


@record
class Place:
    index: jax.Array


def by_table(state, table):
    """Φ of a state, from a table."""
    return table[state.index]


def at_the_end(state):
    """The last state ends the episode."""
    return state.index == STATES - 1


def random_model(seed):
    """Transitions `[S, A, S]`, rewards `[S, A]` of size 1 and potentials of size 10."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(STATES, 0.3), size=(STATES, ACTIONS))
    return transition, rng.normal(size=(STATES, ACTIONS)), 10.0 * rng.normal(size=STATES)


def action_values(transition, reward):
    """Q of episodes that end in the last state, by value iteration."""
    going = transition.copy()
    going[..., -1] = 0.0
    values = np.zeros(STATES)
    for _ in range(400):
        q_values = reward + DISCOUNT * going @ values
        values = q_values.max(axis=1)
        values[-1] = 0.0
    return q_values[:-1]


def expected(term, transition):
    """What the term pays on average for every state and action."""

    def paid(state, nxt):
        return term.value(Place(index=state), None, Place(index=nxt))

    states = jnp.arange(STATES)
    pairs = np.asarray(jax.vmap(jax.vmap(paid, (None, 0)), (0, None))(states, states), np.float64)
    return np.einsum("sat,st->sa", transition, pairs)


def test_what_is_optimal_stays_optimal():
    """And every action's value moves by −Φ of its state, no more and no less."""
    for seed in range(60):
        transition, reward, potential = random_model(seed)
        term = potential_shaping(by_table, DISCOUNT, ended=at_the_end, table=potential)
        own = action_values(transition, reward)
        shaped = action_values(transition, reward + expected(term, transition))
        np.testing.assert_allclose(shaped, own - potential[:-1, None], atol=2e-4)
        best = own.max(axis=1, keepdims=True) - own < 1e-3
        np.testing.assert_array_equal(shaped.max(axis=1, keepdims=True) - shaped < 1e-3, best)


def test_an_end_with_a_potential_would_change_what_is_optimal():
    """Why `ended` is needed, and that the property above can fail."""
    changed = 0
    for seed in range(60):
        transition, reward, potential = random_model(seed)
        term = potential_shaping(by_table, DISCOUNT, table=potential)
        shaped = action_values(transition, reward + expected(term, transition))
        own = action_values(transition, reward)
        changed += not np.array_equal(shaped.argmax(axis=1), own.argmax(axis=1))
    assert changed > 10


def test_the_potential_is_data():
    """Swept and differentiated without a new compile; masks and weights work as for any term."""
    table = jnp.arange(4.0)
    term = potential_shaping(by_table, 0.5, name="hint", table=table)
    prev, nxt = Place(index=jnp.int32(1)), Place(index=jnp.int32(3))
    assert float(term.value(prev, None, nxt)) == 0.5 * 3.0 - 1.0
    slope = jax.grad(lambda t: t.value(prev, None, nxt), allow_int=True)(term)
    np.testing.assert_array_equal(slope.params["table"], [0.0, -1.0, 0.0, 0.5])
    assert float(slope.discount) == 3.0
    total, terms = (2.0 * term)(prev, None, nxt)
    assert float(total) == 1.0 and set(terms) == {"hint"}


@pytest.mark.parametrize(("ended", "value"), [(False, 0.9 * 4.0 - 3.0), (True, -3.0)])
def test_the_kernel(ended, value):
    assert float(shaping_reward(3.0, 4.0, 0.9, ended)) == pytest.approx(value, rel=1e-6)
    assert float(shaping_reward(3.0, jnp.nan, 0.9, True)) == -3.0
