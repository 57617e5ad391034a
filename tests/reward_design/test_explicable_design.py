"""Gap matrices, informativeness and the programmes, against independent evaluations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explicable_cases import line_model, random_model
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.reward_design.explicable.programme import SLACK

SEEDS = st.integers(0, 10_000)


def loop_values(model, reward, actions, steps):
    """Q of `steps` rewards, the first by any action, the others by `actions`; plain loops."""
    q_values = np.array(reward)
    for _ in range(steps - 1):
        following = q_values[np.arange(model.num_states), actions]
        q_values = reward + model.discount * model.transition @ following
    return q_values


def gaps_of(q_values, actions):
    return q_values[np.arange(len(actions)), actions][:, None] - q_values


@given(SEEDS)
def test_gap_matrices_are_differences_of_values(seed):
    model = random_model(seed)
    generator = np.random.default_rng(seed)
    reward = generator.normal(size=model.reward.shape)
    actions = generator.integers(0, model.num_actions, model.num_states)
    args = model.transition, model.discount, actions
    horizons = (0, 3, 1)
    finite = explicable.finite_gap_matrices(*args, horizons) @ reward.reshape(-1)
    for row, horizon in zip(finite, horizons, strict=True):
        expected = gaps_of(loop_values(model, reward, actions, horizon + 1), actions)
        np.testing.assert_allclose(row.reshape(expected.shape), expected, atol=1e-10)
    policy = np.eye(model.num_actions)[actions]
    values = explicable.policy_values(model.transition, reward, model.discount, policy)
    q_values = reward + model.discount * model.transition @ values
    infinite = (explicable.gap_matrix(*args) @ reward.reshape(-1)).reshape(reward.shape)
    np.testing.assert_allclose(infinite, gaps_of(q_values, actions), atol=1e-9)
    with jax.enable_x64(True):
        recursion = np.asarray(explicable.finite_gaps(*args, horizons, reward))
    np.testing.assert_allclose(recursion.reshape(finite.shape), finite, atol=1e-10)


@given(SEEDS)
def test_policy_iteration_equals_value_iteration(seed):
    model = random_model(seed)
    values = np.zeros(model.num_states)
    for _ in range(400):
        q_values = model.reward + model.discount * model.transition @ values
        values = q_values.max(axis=1)
    found, best = explicable.optimal_values(model.transition, model.reward, model.discount)
    np.testing.assert_allclose(found, q_values, atol=1e-9)
    np.testing.assert_allclose(best, values, atol=1e-9)


@given(SEEDS)
def test_shaping_with_the_optimal_values_says_everything_and_changes_nothing(seed):
    model = random_model(seed)
    target = explicable.target_of(model)
    problem = explicable.DesignProblem.of(model, target, horizons=(1, 2, 5), max_reward=50.0)
    with jax.enable_x64(True):
        shaped = np.asarray(
            explicable.potential_shaped_reward(
                model.transition, model.discount, model.reward, target.values
            )
        )
        args = model.transition, model.discount, target.actions, target.margins, (1, 2, 5)
        informed = float(explicable.informativeness_exprd(*args, shaped))
        plain = float(explicable.informativeness_exprd(*args, model.reward))
    assert abs(informed) < 1e-9 and plain <= 0.0
    infinite = problem.infinite
    np.testing.assert_allclose(
        infinite @ shaped.reshape(-1), infinite @ model.reward.reshape(-1), atol=1e-8
    )


def masked_informativeness(problem, reward):
    """The programme's objective by plain loops over horizons, states and actions."""
    total = 0.0
    for matrix in problem.finite:
        gaps = (matrix @ reward.reshape(-1)).reshape(problem.shape)
        for state in range(problem.shape[0]):
            short = [
                problem.margins[state] / SLACK - gaps[state, action]
                for action in range(problem.shape[1])
                if not problem.optimal[state, action]
            ]
            total += max([0.0, *short])
    return total / (len(problem.horizons) * problem.shape[0])


@pytest.mark.parametrize("seed", range(4))
def test_the_explicable_programme(seed):
    model = random_model(seed)
    problem = explicable.DesignProblem.of(model, horizons=(1, 3), max_reward=10.0)
    goals = model.reward_states
    before = np.inf
    for states in (goals, (*goals, 2), (*goals, 2, 4), range(model.num_states - 1)):
        designs = [
            explicable.solve_explicable(problem, states, tie_break=rule)
            for rule in ("solver", "least", "largest")
        ]
        for design in designs:
            assert np.abs(design.reward).max() <= 10.0 + 1e-7
            assert problem.shortfall(design.reward, SLACK).max() <= 1e-7
            assert not np.any(np.delete(design.reward, list(states), axis=0))
            value = masked_informativeness(problem, design.reward)
            np.testing.assert_allclose(value, designs[0].objective, atol=1e-7)
            with jax.enable_x64(True):
                ours = explicable.informativeness_exprd(
                    model.transition,
                    model.discount,
                    problem.actions,
                    problem.margins / SLACK,
                    problem.horizons,
                    design.reward,
                    optimal=problem.optimal,
                )
                np.testing.assert_allclose(-ours, value, atol=1e-9)
            assert keeps_optima(model, problem, design.reward)
        solver, least, largest = designs
        assert np.abs(least.reward).sum() <= np.abs(solver.reward).sum() + 1e-6
        assert largest.reward.sum() >= max(solver.reward.sum(), least.reward.sum()) - 1e-6
        assert solver.objective <= before + 1e-9
        before = solver.objective
    assert masked_informativeness(problem, model.reward) >= before - 1e-9


def keeps_optima(model, problem, reward):
    q_values, values = explicable.optimal_values(model.transition, reward, model.discount)
    return np.all(problem.optimal[q_values >= values[:, None] - 1e-9])


def test_an_optimum_that_can_be_worked_out():
    """Two actions in one state: the gap over h + 1 steps is r(1) − r(0), so nothing is missing."""
    model = line_model(cells=1, noise=0.0)
    problem = explicable.DesignProblem.of(model, horizons=(0, 2))
    design = explicable.solve_explicable(problem, (0,), tie_break="least")
    assert abs(design.objective) < 1e-9
    # staying gives r(0) and then the rest by the target: the gap is r(1)(1 − γ) − r(0) = δ/slack
    gap = design.reward[0, 1] * (1 - model.discount) - design.reward[0, 0]
    assert gap >= problem.margins[0] / SLACK - 1e-9
    np.testing.assert_allclose(problem.margins[0], 10.0 * (1 - model.discount))
    np.testing.assert_allclose(design.reward[0], [-1.0 / SLACK, 0.0], atol=1e-8)


def test_greedy_takes_the_best_next_state():
    problem = explicable.DesignProblem.of(line_model(), horizons=(0, 1))
    seen = []
    designs = explicable.select_states(
        problem, (4,), 2, report=lambda step, value: seen.append((step, value))
    )
    assert [len(design.states) for design in designs] == [1, 2, 3]
    assert [step for step, _ in seen] == [1, 2]
    for earlier, later in zip(designs, designs[1:], strict=False):
        others = [s for s in problem.open_states if s not in earlier.states]
        values = [
            explicable.solve_explicable(problem, (*earlier.states, state)).objective
            for state in others
        ]
        np.testing.assert_allclose(later.objective, min(values), atol=1e-8)
    assert len(explicable.select_states(problem, (4,), 3, candidates=(0, 4))) == 2


def test_infeasible_programmes_name_the_state():
    model = line_model()
    problem = explicable.DesignProblem.of(model)
    with pytest.raises(
        InputError, match=r"in state \d the best action should be better than action 0 by"
    ):
        explicable.solve_explicable(problem, (0,))
    small = explicable.DesignProblem.of(model, max_reward=0.01)
    with pytest.raises(InputError, match="raise max_reward"):
        explicable.solve_explicable(small, (4,))
    with pytest.raises(InputError, match="keeps the best actions best: in state"):
        explicable.solve_linear(small, np.zeros(problem.shape))
    with pytest.raises(InputError, match="keeps the best actions best"):
        explicable.solve_linear(problem, np.zeros(problem.shape), np.eye(6)[:, :1])


@pytest.mark.parametrize("tie_break", ["solver", "least"])
def test_a_solver_that_errs_is_asked_again(monkeypatch, tie_break):
    """Presolve may call a feasible programme infeasible; the answer is that of the next attempt."""
    import scipy.optimize

    problem = explicable.DesignProblem.of(line_model())
    expected = explicable.solve_explicable(problem, (4,), tie_break=tie_break)
    real, options = scipy.optimize.linprog, []

    def flaky(*args, **kwargs):
        result = real(*args, **kwargs)
        options.append((kwargs["method"], kwargs["options"]["presolve"]))
        if kwargs["options"]["presolve"]:
            result.status, result.x = 2, None
        return result

    monkeypatch.setattr(scipy.optimize, "linprog", flaky)
    found = explicable.solve_explicable(problem, (4,), tie_break=tie_break)
    programmes = 1 if tie_break == "solver" else 2
    assert options == [("highs-ds", True), ("highs-ds", False)] * programmes
    np.testing.assert_allclose(found.objective, expected.objective, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p, m: explicable.solve_explicable(p, (9,)), "state 9 does not exist"),
        (lambda p, m: explicable.solve_explicable(p, ()), "no states are given"),
        (lambda p, m: explicable.solve_explicable(p, (4,), tie_break="x"), "tie_break 'x'"),
        (lambda p, m: explicable.select_states(p, (4,), -1), "budget must be at least 0"),
        (lambda p, m: explicable.solve_linear(p, np.zeros(p.shape), np.ones((2, 1))), "6 rows"),
        (lambda p, m: explicable.gap_matrix(m.transition, 1.0, p.actions), "discount"),
        (lambda p, m: explicable.optimal_values(m.transition, m.reward, 1.5), "discount"),
        (lambda p, m: explicable.finite_gaps(m.transition, 0.9, p.actions, (), m.reward), "horiz"),
        (lambda p, m: explicable.DesignProblem.of(m, max_reward=0.0), "max_reward must be"),
        (lambda p, m: explicable.target_of(m).softened(2.0), "epsilon"),
        (lambda p, m: explicable.solve_explicable(p, (4, 5)), "state 5 is terminal"),
        (lambda p, m: explicable.select_states(p, (4,), 1, candidates=(5,)), "state 5 is terminal"),
        (lambda p, m: explicable.DesignProblem.of(m, max_reward=np.inf), "positive and finite"),
    ],
)
def test_bad_input_is_refused(call, words):
    model = line_model()
    with pytest.raises(InputError, match=words):
        call(explicable.DesignProblem.of(model), model)


def test_ties_between_optimal_actions_need_no_gap():
    """Two actions that do the same are both listed, and a design exists."""
    model = line_model()
    doubled = type(model)(
        transition=model.transition[:, [0, 1, 1]],
        reward=model.reward[:, [0, 1, 1]],
        start=model.start,
        terminal=model.terminal,
        discount=model.discount,
    )
    target = explicable.target_of(doubled)
    assert np.array_equal(target.optimal[:-1], np.tile([False, True, True], (5, 1)))
    assert np.all(target.margins[:-1] > 0) and target.margins[-1] == 0.0
    design = explicable.solve_explicable(explicable.DesignProblem.of(doubled, target), (4,))
    same = explicable.solve_explicable(explicable.DesignProblem.of(model), (4,))
    np.testing.assert_allclose(design.objective, same.objective, atol=1e-8)


def loop_adaptive(reward, advantages, learner, teacher_visits, learner_visits):
    total = 0.0
    for s, policy in enumerate(learner):
        for a, chance in enumerate(policy):
            weight = teacher_visits[s] * learner_visits[s] * chance * chance
            total += (
                weight
                * (advantages[s, a] - policy @ advantages[s])
                * (reward[s, a] - policy @ reward[s])
            )
    return total


@given(SEEDS)
def test_adaptive_informativeness(seed):
    model = random_model(seed)
    teacher = explicable.AdaptiveTeacher(model, epsilon=0.3, max_reward=20.0)
    generator = np.random.default_rng(seed)
    learner = generator.dirichlet(np.ones(model.num_actions), model.num_states)
    weights = teacher.weights(learner[None])[0]
    visits = sum_of_visits(model, learner)
    soft = sum_of_visits(model, teacher.target.softened(0.3))
    np.testing.assert_allclose(teacher.visits, soft, atol=1e-8)
    reward = generator.normal(size=model.reward.shape)
    args = teacher.target.advantages, learner, teacher.visits, visits
    expected = loop_adaptive(reward, *args)
    np.testing.assert_allclose(np.sum(weights * reward), expected, atol=1e-9)
    with jax.enable_x64(True):
        gradient = jax.grad(explicable.informativeness_adaptive)(reward, *args)
    np.testing.assert_allclose(gradient, weights, atol=1e-9)


def sum_of_visits(model, policy):
    """Discounted visits by summing powers of the transition matrix."""
    step = np.einsum("sa,saz->sz", policy, model.transition)
    now, total = model.start, np.zeros(model.num_states)
    for power in range(400):
        total += model.discount**power * now
        now = now @ step
    total[model.terminal] = 0.0
    return total / total.sum()


@pytest.mark.parametrize("seed", range(3))
def test_the_adaptive_programme(seed):
    model = random_model(seed)
    generator = np.random.default_rng(seed)
    learner = generator.dirichlet(np.ones(model.num_actions), (2, model.num_states))
    features = np.concatenate([np.eye(model.num_states), np.ones((model.num_states, 1))], axis=1)
    free = explicable.AdaptiveTeacher(model)
    shared = explicable.AdaptiveTeacher(model, features=features)
    weights = free.weights(learner)
    for index, (one, other) in enumerate(
        zip(free.design(learner), shared.design(learner), strict=True)
    ):
        for design in (one, other):
            assert np.abs(design.reward).max() <= 10.0 + 1e-6
            assert free.problem.shortfall(design.reward).max() <= 1e-6
            np.testing.assert_allclose(
                design.objective, np.sum(weights[index] * design.reward), atol=1e-9
            )
        # the features span every reward, so both find the same optimum
        np.testing.assert_allclose(one.objective, other.objective, rtol=1e-5, atol=1e-8)
        plain = free.any_design().reward
        assert free.problem.shortfall(plain).max() <= 1e-6
        assert one.objective >= np.sum(weights[index] * plain) - 1e-9
        assert one.objective >= np.sum(weights[index] * model.reward) - 1e-9


def test_a_deterministic_learner_still_gets_a_direction():
    model = line_model()
    teacher = explicable.AdaptiveTeacher(model)
    stuck = np.tile([1.0, 0.0], (model.num_states, 1))
    weights = teacher.weights(stuck[None])[0]
    assert np.all(np.isfinite(weights)) and np.any(weights != 0.0)
    assert teacher.design(stuck[None])[0].objective > 0.0


def test_visitation_under_jit_and_vmap_and_without_visits():
    model = line_model()
    policies = np.random.default_rng(0).dirichlet(np.ones(2), (3, model.num_states))
    args = jnp.asarray(model.transition, jnp.float32), model.discount

    def visits(policy, start):
        return explicable.state_visitation(*args, start, policy, jnp.asarray(model.terminal))

    start = jnp.asarray(model.start, jnp.float32)
    batch = jax.jit(jax.vmap(visits, (0, None)))(jnp.asarray(policies, jnp.float32), start)
    for row, policy in zip(batch, policies, strict=True):
        np.testing.assert_allclose(row, visits(jnp.float32(policy), start), atol=1e-6)
        np.testing.assert_allclose(row, sum_of_visits(model, policy), atol=1e-5)
    nowhere = jnp.eye(model.num_states)[model.terminal_state]
    assert not np.any(visits(jnp.float32(policies[0]), nowhere))
    with pytest.raises(InputError, match="discount"):
        explicable.state_visitation(args[0], 1.0, start, policies[0], model.terminal)


def test_shares_of_the_optimal_value():
    model = line_model()
    target = explicable.target_of(model)
    best = np.eye(2)[target.actions]
    other = np.eye(2)[np.zeros(model.num_states, int)]
    shares = explicable.share_of_optimal(model, np.stack([[best, other], [best, best]]))
    np.testing.assert_allclose(shares[:, 0], 1.0)
    assert shares[0, 1] < 0.1 and shares.shape == (2, 2)
    poor = type(model)(
        transition=model.transition,
        reward=-model.reward,
        start=np.eye(6)[4],
        terminal=model.terminal,
        discount=model.discount,
    )
    with pytest.raises(InputError, match="a share needs it positive"):
        explicable.share_of_optimal(poor, best)
