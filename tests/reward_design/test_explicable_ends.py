"""Designed rewards where episodes end: nothing optimal under one is worse for the task."""

import argparse
import itertools

import numpy as np
import pytest
from explicable_cases import line_model, random_model

from jaxrl_rewards.commands.design import design
from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.tabular import TabularModel
from jaxrl_rewards.reward_design import explicable

DISCOUNTS = (0.05, 0.3, 0.6, 0.9, 0.95, 0.99, 0.999)
STATES = 6


def any_model(seed: int) -> TabularModel:
    """A random model: chains and tangles, with up to three ends, traps that never end, rewards of
    any sign and size, and any discount."""
    generator = np.random.default_rng(seed)
    states, actions = STATES, int(generator.integers(2, 4))
    terminal = np.zeros(states, bool)
    terminal[generator.choice(states, generator.integers(0, 4), replace=False)] = True
    if generator.random() < 0.4:  # a chain: action 0 goes back, the others ahead
        transition = np.zeros((states, actions, states))
        for state in range(states):
            transition[state, :, min(state + 1, states - 1)] = 1.0
            transition[state, 0] = np.eye(states)[max(state - 1, 0)]
    else:
        transition = generator.dirichlet(np.full(states, 0.15), (states, actions))
        transition = np.where(transition < 0.01, 0.0, transition)
        transition /= transition.sum(axis=-1, keepdims=True)
    if generator.random() < 0.5:
        noise = generator.choice([1e-3, 0.1, 0.3])
        transition = (1 - noise) * transition + noise * transition.mean(axis=1, keepdims=True)
    for state in np.flatnonzero(generator.random(states) < 0.15):  # a trap
        transition[state] = np.eye(states)[state]
    transition[terminal] = np.eye(states)[terminal][:, None]
    reward = generator.normal(size=(states, actions)) * 10.0 ** generator.integers(-3, 4)
    kind = generator.integers(4)
    if kind == 0:
        reward = np.abs(reward)
    elif kind == 1:  # a price for every step
        reward = np.full_like(reward, -np.abs(reward[0, 0]))
    if kind != 1:  # sparse
        reward *= (np.arange(states) == generator.choice(np.flatnonzero(~terminal)))[:, None]
    reward[terminal] = 0.0
    return TabularModel(
        transition=transition,
        reward=reward,
        start=generator.dirichlet(np.ones(states)),
        terminal=terminal,
        discount=float(generator.choice(DISCOUNTS)),
    )


def values_of_all_policies(model, reward) -> tuple[np.ndarray, np.ndarray]:
    """`[P, S]` for every deterministic policy, and `[S]`: the scale, by the same enumeration."""
    going = np.flatnonzero(~model.terminal)
    policies = np.array(list(itertools.product(range(model.num_actions), repeat=len(going))))
    step = model.transition[going, policies][:, :, going]  # [P, G, G]
    system = np.eye(len(going)) - model.discount * step
    paid = reward[going, policies]
    asked = np.stack([paid, np.abs(paid)], axis=-1)
    both = np.linalg.solve(system, asked)
    for _ in range(2):  # small values far from any reward need their own digits
        both = both + np.linalg.solve(system, asked - system @ both)
    return both[..., 0], both[..., 1].max(axis=0)


def changed_policies(model, reward) -> int:
    """How many policies are optimal under the reward and not for the task; by enumeration."""
    if model.terminal.all():
        return 0
    own, own_scale = values_of_all_policies(model, model.reward)
    new, new_scale = values_of_all_policies(model, reward)
    # where no reward can be reached, rounding leaves up to 1e-30 instead of 0
    rounding = 5e-15 / (1 - model.discount) * new_scale + 1e-28 * new_scale.max()
    optimal = np.all(new >= new.max(axis=0) - rounding, axis=1)
    assert optimal.any()
    room = 2e-8 / (1 - model.discount) * own_scale + 1e-28 * own_scale.max()
    return int(np.sum(optimal & np.any(own < own.max(axis=0) - room, axis=1)))


def options(**changes) -> argparse.Namespace:
    given = {"budget": 1, "goals": [], "max_reward": None, "horizons": (1, 4), "tie_break": "largest"}
    return argparse.Namespace(**(given | changes))


def changes_of(count: int) -> tuple[int, int, int]:
    """Designs made, designs that change what is optimal, models refused."""
    made = changed = refused = 0
    for seed in range(count):
        model = any_model(seed)
        if not model.reward_states:
            continue
        try:
            _, reward = design(model, options())
        except InputError:
            refused += 1
            continue
        made += 1
        changed += changed_policies(model, reward) > 0
        assert not np.any(reward[model.terminal])
    return made, changed, refused


def test_no_designed_reward_changes_what_is_optimal():
    made, changed, refused = changes_of(100)
    assert changed == 0 and refused <= 2 and made >= 90


@pytest.mark.slow
def test_no_designed_reward_of_a_thousand_changes_what_is_optimal():
    made, changed, refused = changes_of(1000)
    assert changed == 0 and refused <= 20 and made >= 900
