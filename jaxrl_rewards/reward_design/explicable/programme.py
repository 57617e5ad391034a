"""The linear programmes that design a reward; solved on the host by HiGHS, in float64."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.tabular import TabularModel, continuing_transition
from jaxrl_rewards.reward_design.explicable.gaps import finite_gap_matrices, gap_matrix
from jaxrl_rewards.reward_design.explicable.informativeness import informativeness_exprd
from jaxrl_rewards.reward_design.explicable.planning import Target, optimal_values, target_of

HORIZONS = (1, 4, 8, 16, 32)
SLACK = 1.0 + 1e-5
"""The explicable programme divides its margins by this, so that R̄ itself is well inside."""
METHOD = "highs-ds"
"""The arg-max is not unique: one fixed solver gives one reward."""
ATTEMPTS = ((METHOD, True), (METHOD, False), ("highs-ipm", True))
"""Tried in order: presolve sometimes calls a programme infeasible by a rounding error."""
USUAL_BOUND = 10.0
"""Programmes are solved in units in which the reward's bound is this: the solver's tolerances are
absolute."""
SMALL_MARGIN = 1e-4
"""In these units: rows with smaller margins are scaled up to it, or the tolerance would hide
them."""
ROOMS = (1e-9, 1e-7)
"""By how much the objective may be worse when ties are broken, tried in order: the solver's own
tolerance is 1e-7. Where both fail, its vertex stays."""
TIE_BREAKS = ("solver", "least", "largest")


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """A designed reward."""

    reward: np.ndarray
    """Float64 `[S, A]`."""
    objective: float
    """What was optimised: `−I(R)` for the explicable programme, `I_L(R)` for the adaptive one."""
    states: tuple[int, ...]
    """States in which the reward may differ from 0."""


@dataclasses.dataclass(frozen=True, eq=False)
class DesignProblem:
    """A decision process, the policy to keep optimal, and the bounds of the reward."""

    transition: np.ndarray
    """`[S, A, S]`."""
    discount: float
    actions: np.ndarray
    """π*, int `[S]`."""
    optimal: np.ndarray
    """Optimal actions, bool `[S, A]`; list ties, or there may be no feasible reward."""
    margins: np.ndarray
    """δ, `[S]`."""
    horizons: tuple[int, ...] = HORIZONS
    max_reward: float = 10.0
    """`|R(s, a)|` is at most this."""
    terminal: np.ndarray | None = None
    """Where episodes end, bool `[S]`: never rewarded, worth 0; None for nowhere."""

    def __post_init__(self):
        if not 0.0 < self.max_reward < np.inf:
            raise InputError(f"max_reward must be positive and finite, got {self.max_reward}")
        ends = np.zeros(len(self.optimal), bool) if self.terminal is None else self.terminal
        object.__setattr__(self, "terminal", np.asarray(ends, bool))

    @classmethod
    def of(cls, model: TabularModel, target: Target | None = None, **options: Any) -> DesignProblem:
        """The problem of keeping a model's optimal policy."""
        target = target_of(model) if target is None else target
        return cls(
            transition=model.transition,
            discount=model.discount,
            actions=target.actions,
            optimal=target.optimal,
            margins=target.margins,
            terminal=model.terminal,
            **options,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """`(S, A)`."""
        return self.optimal.shape

    @functools.cached_property
    def infinite(self) -> np.ndarray:
        """`A_∞`, `[S·A, S·A]`; what a terminal state pays counts nothing."""
        found = gap_matrix(self.continuing, self.discount, self.actions)
        return np.where(self._paid, found, 0.0)

    @functools.cached_property
    def finite(self) -> np.ndarray:
        """`A_h`, `[H, S·A, S·A]`."""
        found = finite_gap_matrices(self.continuing, self.discount, self.actions, self.horizons)
        return np.where(self._paid, found, 0.0)

    @functools.cached_property
    def continuing(self) -> np.ndarray:
        """`T` with episodes that end, `[S, A, S]`."""
        return continuing_transition(self.transition, self.terminal)

    @functools.cached_property
    def usual(self) -> DesignProblem:
        """The same problem in units in which `max_reward` is `USUAL_BOUND`."""
        if self.max_reward == USUAL_BOUND:
            return self
        unit = self.max_reward / USUAL_BOUND
        found = dataclasses.replace(self, margins=self.margins / unit, max_reward=USUAL_BOUND)
        found.__dict__.update(infinite=self.infinite, finite=self.finite)
        return found

    @property
    def open_states(self) -> tuple[int, ...]:
        """The states in which there is something to choose: all that are not terminal."""
        return tuple(int(s) for s in np.flatnonzero(~self.terminal))

    @property
    def row_scale(self) -> np.ndarray:
        """What the rows of `A_∞ R ≥ δ` are multiplied by, `[S·A]`; 1 unless margins are tiny."""
        positive = np.where(self.margins > 0.0, self.margins, SMALL_MARGIN)
        return np.repeat(np.maximum(1.0, SMALL_MARGIN / positive), self.shape[1])

    @property
    def _paid(self) -> np.ndarray:
        return np.repeat(~self.terminal, self.shape[1])

    def required_gaps(self, slack: float = 1.0) -> np.ndarray:
        """What `A_∞ R` must reach: `δ_s / slack`, 0 for optimal actions; `[S, A]`."""
        return np.where(self.optimal, 0.0, self.margins[:, None] / slack)

    def shortfall(self, reward: np.ndarray, slack: float = 1.0) -> np.ndarray:
        """By how much a reward misses each required gap; `[S, A]`, at most 0 where it keeps it."""
        gaps = (self.infinite @ np.asarray(reward, np.float64).reshape(-1)).reshape(self.shape)
        return self.required_gaps(slack) - gaps

    def informativeness(self, reward: np.ndarray) -> float:
        """`I(R)` of a reward `[S, A]` (`informativeness_exprd`), which ignores ties."""
        found = informativeness_exprd(
            self.transition, self.discount, self.actions, self.margins, self.horizons, reward
        )
        return float(found)

    def keeps_optima(self, model: TabularModel, reward: np.ndarray) -> bool:
        """Whether every action that is optimal in `model` under `reward` `[S, A]` is one of the
        `optimal`."""
        q_values, values = optimal_values(model.transition, reward, model.discount)
        return bool(np.all(self.optimal[q_values >= values[:, None] - 1e-9]))

    def check_states(self, states: Sequence[int]) -> tuple[int, ...]:
        """The states sorted and without repetition; InputError where one may not be rewarded."""
        wrong = [s for s in states if not 0 <= s < self.shape[0]]
        if wrong:
            raise InputError(f"state {wrong[0]} does not exist; there are {self.shape[0]}")
        ends = [s for s in states if self.terminal[s]]
        if ends:
            raise InputError(
                f"state {ends[0]} is terminal: the episode is over there and nothing can be paid; "
                "name the states from which it is reached"
            )
        if not len(states):
            raise InputError("no states are given; name those that may be rewarded")
        return tuple(sorted({int(s) for s in states}))


def solve_explicable(
    problem: DesignProblem, states: Sequence[int], *, tie_break: str = "solver"
) -> Design:
    """The most informative reward that is 0 outside `states` and keeps the target optimal.

    Minimise `−I(R)` subject to `A_∞ R ≥ δ/(1 + 1e-5)` and `|R| ≤ R_max`: a linear programme with
    one hinge variable per horizon and state. Optimal rewards are many, and they teach at different
    speed. `tie_break` "solver" takes the vertex that the solver finds, "least" the reward with
    the least sum of absolute values, "largest" the one with the largest sum, which punishes
    least. InputError where no reward is feasible, with the state at fault. Devidze et al.,
    NeurIPS 2021, equation 6.
    """
    from scipy import sparse

    if tie_break not in TIE_BREAKS:
        raise InputError(
            f"tie_break {tie_break!r} is unknown; choose one of {', '.join(TIE_BREAKS)}"
        )
    unit, problem = problem.max_reward / USUAL_BOUND, problem.usual
    states = problem.check_states(states)
    columns = _columns(problem, states)
    cost, rows, limit = _explicable_rows(problem, columns)
    hinges = len(cost) - len(columns)
    bounds = [(-problem.max_reward, problem.max_reward)] * len(columns) + [(0.0, None)] * hinges
    solution, objective = _solve(problem, unit, states, columns, cost, rows, limit, bounds)
    if tie_break != "solver":
        break_tie = _least_sum if tie_break == "least" else _largest_sum
        rows = sparse.vstack([rows, sparse.csr_matrix(cost)]).tocsr()
        for room in ROOMS:
            most = objective + room * max(1.0, abs(objective))
            found = break_tie(rows, np.append(limit, most), bounds, len(columns))
            if found is not None:
                solution = found
                break
    return Design(
        reward=unit * _fill(problem, columns, solution[: len(columns)]),
        objective=unit * float(objective),
        states=states,
    )


def _columns(problem: DesignProblem, states: Sequence[int]) -> np.ndarray:
    """Places of the states' actions in the order `s·A + a`."""
    actions = problem.shape[1]
    return (np.asarray(states)[:, None] * actions + np.arange(actions)).reshape(-1)


def _explicable_rows(problem: DesignProblem, columns: np.ndarray) -> tuple[np.ndarray, Any, Any]:
    """Cost, rows and limits over the rewards in `columns`, then one hinge per horizon and state."""
    from scipy import sparse

    count, actions = problem.shape
    margins = problem.margins / SLACK
    asked = np.flatnonzero(~problem.optimal.reshape(-1))
    of_state = asked // actions
    hinges = len(problem.horizons) * count
    scale = problem.row_scale
    blocks = [
        sparse.hstack(
            [
                sparse.csr_matrix(-scale[:, None] * problem.infinite[:, columns]),
                sparse.csr_matrix((count * actions, hinges)),
            ]
        )
    ]
    limits = [-scale * problem.required_gaps(SLACK).reshape(-1)]
    for index, matrix in enumerate(problem.finite):
        place = (np.arange(len(asked)), index * count + of_state)
        hinge = sparse.csr_matrix((-np.ones(len(asked)), place), shape=(len(asked), hinges))
        blocks.append(sparse.hstack([sparse.csr_matrix(-matrix[asked][:, columns]), hinge]))
        limits.append(-margins[of_state])
    rows, limit = sparse.vstack(blocks).tocsr(), np.concatenate(limits)
    return np.concatenate([np.zeros(len(columns)), np.full(hinges, 1.0 / hinges)]), rows, limit


def solve_linear(
    problem: DesignProblem, weights: np.ndarray, features: np.ndarray | None = None
) -> Design:
    """Maximise `Σ weights · R` over the rewards that keep the target optimal, `|R| ≤ R_max`.

    `weights` `[S, A]`, e.g. `adaptive_weights`; all 0 asks for any feasible reward. With
    `features` `[S, K]` the reward is `features · w`, one `w` per feature and action. InputError
    where no reward is feasible. Devidze et al., AAMAS 2024, equation 7.
    """
    unit, problem = problem.max_reward / USUAL_BOUND, problem.usual
    count, actions = problem.shape
    states = problem.open_states
    if features is None:
        basis = np.eye(count * actions)[:, _columns(problem, states)]
    else:
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or len(features) != count:
            raise InputError(f"features have shape {features.shape}; {count} rows are needed")
        features = np.where(problem.terminal[:, None], 0.0, features)
        basis = np.kron(features, np.eye(actions))
        states = tuple(int(s) for s in np.flatnonzero(np.any(features != 0.0, axis=1)))
    flat = np.asarray(weights, np.float64).reshape(-1)
    scale = float(np.abs(flat).max())
    cost = -(flat / scale if scale > 0.0 else flat) @ basis
    rows = -problem.row_scale[:, None] * (problem.infinite @ basis)
    limit = -problem.row_scale * problem.required_gaps().reshape(-1)
    largest = problem.max_reward
    if features is None:
        bounds = [(-largest, largest)] * basis.shape[1]
    else:
        used = np.flatnonzero(np.any(basis != 0.0, axis=1))
        rows = np.concatenate([rows, basis[used], -basis[used]])
        limit = np.concatenate([limit, np.full(2 * len(used), largest)])
        bounds = [(None, None)] * basis.shape[1]
    solution, _ = _solve(problem, unit, states, basis, cost, rows, limit, bounds)
    reward = unit * (basis @ solution).reshape(count, actions)
    return Design(reward=reward, objective=float(flat @ reward.reshape(-1)), states=states)


def _solve(problem, unit, states, columns, cost, rows, limit, bounds) -> tuple[np.ndarray, float]:
    result = _minimise(cost, rows, limit, bounds)
    if result.status == 0:
        return result.x, result.fun
    if result.status == 2:
        raise InputError(_explain(problem, unit, states, columns))
    raise InputError(f"the linear programme was not solved: {result.message}")


def _explain(
    problem: DesignProblem, unit: float, states: tuple[int, ...], columns: np.ndarray
) -> str:
    """Which required gap cannot be kept, by the programme with the least total violation."""
    from scipy.optimize import linprog

    basis = columns if columns.ndim == 2 else np.eye(np.prod(problem.shape))[:, columns]
    rows = -problem.infinite @ basis
    size, free = rows.shape
    used = np.flatnonzero(np.any(basis != 0.0, axis=1))
    bound = np.hstack([basis[used], np.zeros((len(used), size))])
    result = linprog(
        np.concatenate([np.zeros(free), np.ones(size)]),
        A_ub=np.vstack([np.hstack([rows, -np.eye(size)]), bound, -bound]),
        b_ub=np.concatenate(
            [-problem.required_gaps().reshape(-1), np.full(2 * len(used), problem.max_reward)]
        ),
        bounds=[(None, None)] * free + [(0.0, None)] * size,
        method=METHOD,
    )
    largest = unit * problem.max_reward
    if result.x is None:
        return f"the solver finds no reward with |R| <= {largest:g}; raise max_reward"
    violation = unit * result.x[free:].reshape(problem.shape)
    state, action = np.unravel_index(int(np.argmax(violation)), problem.shape)
    needed = unit * problem.required_gaps()[state, action]
    shown = f"{len(states)} states" if len(states) > 12 else f"states {list(states)}"
    return (
        f"no reward on {shown} with |R| <= {largest:g} keeps the best actions best: "
        f"in state {state} the best action should be better than action {action} by "
        f"{needed:.3g}, and {violation[state, action]:.3g} of it is missing; reward more states "
        "(the goals first), raise max_reward, or list ties among optimal actions"
    )


def _least_sum(rows, limit, bounds, free) -> np.ndarray | None:
    """The point of the polyhedron whose first `free` entries have the least absolute sum."""
    from scipy import sparse

    size = rows.shape[1]
    chosen = sparse.hstack([sparse.eye(free), sparse.csr_matrix((free, size - free))])
    above = sparse.eye(free)
    split = sparse.vstack(
        [
            sparse.hstack([rows, sparse.csr_matrix((rows.shape[0], free))]),
            sparse.hstack([chosen, -above]),
            sparse.hstack([-chosen, -above]),
        ]
    ).tocsr()
    cost = np.concatenate([np.zeros(size), np.ones(free)])
    limit = np.concatenate([limit, np.zeros(2 * free)])
    found = _optimum(cost, split, limit, [*bounds, *([(0.0, None)] * free)])
    return None if found is None else found[:size]


def _largest_sum(rows, limit, bounds, free) -> np.ndarray | None:
    """The point of the polyhedron whose first `free` entries have the largest sum."""
    cost = np.zeros(rows.shape[1])
    cost[:free] = -1.0
    return _optimum(cost, rows, limit, bounds)


def _optimum(cost, rows, limit, bounds) -> np.ndarray | None:
    result = _minimise(cost, rows, limit, bounds)
    return result.x if result.status == 0 else None


def _minimise(cost, rows, limit, bounds) -> Any:
    """The first of the attempts that succeeds (status 0, with a point), else the last."""
    from scipy.optimize import linprog

    for method, presolve in ATTEMPTS:
        result = linprog(
            cost, rows, limit, bounds=bounds, method=method, options={"presolve": presolve}
        )
        if result.x is not None and result.status == 0:
            break
    return result


def _fill(problem: DesignProblem, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    reward = np.zeros(problem.shape).reshape(-1)
    reward[columns] = np.where(np.abs(values) < 1e-9, 0.0, values)
    return reward.reshape(problem.shape)
