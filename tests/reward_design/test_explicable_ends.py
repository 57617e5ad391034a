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
from jaxrl_rewards.reward_design.explicable.programme import SLACK

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
    given = {
        "budget": 1,
        "goals": [],
        "max_reward": None,
        "horizons": (1, 4),
        "tie_break": "largest",
    }
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
    made, changed, refused = changes_of(200)
    assert changed == 0 and refused <= 2 and made >= 190


@pytest.mark.slow
def test_no_designed_reward_of_a_thousand_changes_what_is_optimal():
    made, changed, refused = changes_of(1000)
    assert changed == 0 and refused <= 10 and made >= 980


def test_the_verdict_is_that_of_the_enumeration():
    """Of rewards drawn at random some keep what is optimal; a terminal state's cannot count."""
    verdicts = []
    for seed in range(100):
        model = any_model(seed)
        generator = np.random.default_rng(seed)
        share = generator.choice([0.0, 0.02, 1.0])
        noise = generator.normal(size=model.reward.shape) * np.abs(model.reward).max()
        reward = np.where(model.terminal[:, None], 0.0, model.reward + share * noise)
        verdict = explicable.check_design(model, reward)
        assert verdict.kept == (changed_policies(model, reward) == 0)
        if not verdict.kept:
            assert not model.terminal[verdict.state] and verdict.loss > 0.0
        verdicts.append(verdict.kept)
    assert 20 < sum(verdicts) < 80


def test_a_reward_that_never_ends_is_found_out():
    """Paying for staying makes the line's end worthless, which an endless sum in it would hide."""
    model = line_model()
    stays = np.where(model.terminal[:, None], 0.0, 10.0) * np.ones((1, 2))
    verdict = explicable.check_design(model, stays)
    assert not verdict.kept and verdict.loss > 0.0
    assert explicable.check_design(model, model.reward).kept
    with pytest.raises(InputError, match="pays in a terminal state"):
        explicable.check_design(model, np.ones((6, 2)))
    with pytest.raises(InputError, match="must be finite"):
        explicable.check_design(model, np.full((6, 2), np.nan))
    with pytest.raises(InputError, match="must be finite"):
        explicable.check_design(model, np.ones((5, 2)))


def test_nothing_that_a_terminal_state_pays_counts():
    model = random_model(2)
    target = explicable.target_of(model)
    problem = explicable.DesignProblem.of(model, target, horizons=(1, 4))
    paid = model.reward + 7.0 * model.terminal[:, None] * np.arange(3)
    args = model.transition, model.discount, target.actions, problem.horizons
    ends = {"terminal": model.terminal}
    np.testing.assert_allclose(problem.shortfall(paid), problem.shortfall(model.reward))
    np.testing.assert_allclose(
        problem.finite @ paid.reshape(-1), problem.finite @ model.reward.reshape(-1)
    )
    np.testing.assert_allclose(
        explicable.finite_gaps(*args, paid, **ends), explicable.finite_gaps(*args, model.reward)
    )
    table = model.transition, paid, model.discount
    q_values, values = explicable.optimal_values(*table, model.terminal)
    np.testing.assert_allclose(values, target.values)
    assert not q_values[model.terminal].any()
    policy = np.eye(3)[target.actions]
    np.testing.assert_allclose(explicable.policy_values(*table, policy, model.terminal), values)
    lifted = target.values + 5.0 * model.terminal
    shape = model.transition, model.discount, model.reward
    np.testing.assert_allclose(
        explicable.potential_shaped_reward(*shape, lifted, model.terminal),
        explicable.potential_shaped_reward(*shape, target.values),
        atol=1e-5,
    )


def test_the_adaptive_teacher_pays_nothing_in_terminal_states():
    model = random_model(4)
    learner = np.full((1, model.num_states, model.num_actions), 1 / 3)
    for features in (None, np.eye(model.num_states)):
        teacher = explicable.AdaptiveTeacher(model, features=features)
        for found in (*teacher.design(learner), teacher.any_design()):
            assert not found.reward[model.terminal].any()
            assert explicable.check_design(model, found.reward).kept
            assert model.terminal_state not in found.states


def test_a_design_scales_with_the_task():
    model = line_model()
    problem = explicable.DesignProblem.of(model)
    expected = explicable.solve_explicable(problem, (0, 4), tie_break="largest")
    for scale in (1e-7, 1e6):
        tiny = type(model)(
            transition=model.transition,
            reward=scale * model.reward,
            start=model.start,
            terminal=model.terminal,
            discount=model.discount,
        )
        problem = explicable.DesignProblem.of(tiny, max_reward=10.0 * scale)
        found = explicable.solve_explicable(problem, (0, 4), tie_break="largest")
        np.testing.assert_allclose(found.reward / scale, expected.reward, atol=1e-6)
        np.testing.assert_allclose(found.objective / scale, expected.objective, atol=1e-9)
        assert problem.shortfall(found.reward, SLACK).max() <= 1e-7 * scale


def test_ties_that_cannot_be_broken_leave_the_solvers_reward(monkeypatch):
    from jaxrl_rewards.reward_design.explicable import programme

    problem = explicable.DesignProblem.of(line_model())
    expected = explicable.solve_explicable(problem, (4,))
    monkeypatch.setattr(programme, "_optimum", lambda *_: None)
    for rule in ("least", "largest"):
        found = explicable.solve_explicable(problem, (4,), tie_break=rule)
        assert np.array_equal(found.reward, expected.reward)


def test_designing_stops_when_nothing_is_short():
    problem = explicable.DesignProblem.of(line_model(), horizons=(8,))
    designs = explicable.select_states(problem, (4,), 5)
    assert len(designs) < 6 and abs(designs[-1].objective) < 1e-6
    assert all(design.objective > 1e-6 for design in designs[:-1])


def test_far_from_the_reward_a_small_discount_leaves_small_differences():
    """Values of 1e-13 are not ties: the best action there leads to the reward."""
    model = line_model(cells=12, noise=0.0, discount=0.08)
    target = explicable.target_of(model)
    assert target.values[0] < 1e-11 and np.all(target.actions[:-1] == 1)
    assert np.array_equal(target.optimal[:-1].sum(axis=1), np.ones(12))


def test_q_learning_does_not_act_after_the_end():
    import jax

    model = line_model()
    ended = type(model)(
        transition=model.transition,
        reward=model.reward,
        start=np.eye(6)[5],
        terminal=model.terminal,
        discount=model.discount,
    )
    sampler = explicable.make_sampler(ended)
    greedy = explicable.q_learning(
        jax.random.key(0), sampler, 1.0 + model.reward, 0.9, episodes=2, steps=5, every=2
    )
    assert np.all(greedy)  # nothing was learnt: all values are still 0
