"""Which states to reward: greedy growth of the active set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design.explicable.programme import Design, DesignProblem, solve_explicable

TIE = 1e-9
ENOUGH = 1e-7
"""Relative to the largest margin: less than this is short by the solver's tolerance only."""


def select_states(
    problem: DesignProblem,
    goals: Sequence[int],
    budget: int,
    *,
    candidates: Sequence[int] | None = None,
    tie_break: str = "solver",
    report: Callable[[int, float], None] | None = None,
) -> list[Design]:
    """Designs with 0, 1, ..., `budget` states beside the goals, each the best next step.

    A step solves one programme per candidate and keeps the state with the least `−I`, the first
    of several. Stops early when no gap is short any more, or no candidate is left; terminal states
    are none. `report(step, objective)` is called after each; `tie_break` is that of
    `solve_explicable`. InputError for a negative budget, a terminal goal, or where the goals alone
    allow no reward. Devidze et al., NeurIPS 2021, algorithm 1.
    """
    if budget < 0:
        raise InputError(f"budget must be at least 0 states, got {budget}")
    active = problem.check_states(goals)
    pool = problem.open_states if candidates is None else problem.check_states(candidates)
    enough = ENOUGH * float(problem.margins.max())
    designs = [solve_explicable(problem, active, tie_break=tie_break)]
    for step in range(1, budget + 1):
        if designs[-1].objective <= enough:
            break
        tried = [
            (solve_explicable(problem, (*active, state)).objective, state)
            for state in pool
            if state not in active
        ]
        if not tried:
            break
        least = min(objective for objective, _ in tried)
        best = next(state for objective, state in tried if objective <= least + TIE)
        active = problem.check_states((*active, best))
        designs.append(solve_explicable(problem, active, tie_break=tie_break))
        if report is not None:
            report(step, designs[-1].objective)
    return designs
