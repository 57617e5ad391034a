"""The rewards that the study of explicable design compares, and what is exact about them."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl_rewards.core.tabular import TabularModel
from jaxrl_rewards.reward_design import explicable

TASK, FIVE = "R̄", "ExpRD B=5"
TIES = {"first": "", "random": ", ties at random"}
"""How the learner chooses between equal actions, and what an arm's name gains by it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Designs:
    """Rewards by arm, the states they may use, and exact facts about them."""

    rewards: dict[str, np.ndarray]
    states: dict[str, tuple[int, ...]]
    facts: dict[str, float]


def design_arms(model: TabularModel, budgets: tuple[int, ...], tie_break: str) -> Designs:
    """R̄, the designs with the given budgets, without a budget, and shaping with V*."""
    target = explicable.target_of(model)
    problem = explicable.DesignProblem.of(model, target)
    grown = explicable.select_states(problem, model.reward_states, max(budgets))
    inner = np.flatnonzero(~model.terminal)
    chosen = {f"ExpRD B={budget}": grown[budget].states for budget in budgets}
    designs = {
        arm: explicable.solve_explicable(problem, states, tie_break=tie_break)
        for arm, states in chosen.items()
    }
    # Where every state is free, the largest sum is a flood of rewards: the solver's vertex.
    free = {"solver's vertex B=5": grown[5].states, "no budget": tuple(int(s) for s in inner)}
    designs |= {arm: explicable.solve_explicable(problem, free[arm]) for arm in free}
    chosen |= free
    potential = explicable.potential_shaped_reward(
        model.transition, model.discount, model.reward, target.values
    )
    rewards = {TASK: model.reward}
    rewards |= {arm: design.reward for arm, design in designs.items()}
    rewards["potential V*"] = np.where(np.abs(potential) < 1e-9, 0.0, potential)
    evaluated = {arm: problem.informativeness(rewards[arm]) for arm in (TASK, FIVE, "potential V*")}
    everything = [*(design.reward for design in grown), *(d.reward for d in designs.values())]
    slack = 1.0 + 1e-5
    facts = {f"-I of the programme, B={n}": design.objective for n, design in enumerate(grown)}
    facts["-I of the programme, no budget"] = designs["no budget"].objective
    facts |= {f"I of {arm}, evaluated": value for arm, value in evaluated.items()}
    facts["largest missing gap"] = max(
        float(problem.shortfall(reward, slack).max()) for reward in everything
    )
    facts["share of designs that keep optima"] = float(
        np.mean([problem.keeps_optima(model, reward) for reward in everything])
    )
    states = {arm: tuple(int(s) for s in chosen[arm]) for arm in chosen}
    return Designs(rewards=rewards, states=states, facts=facts)
