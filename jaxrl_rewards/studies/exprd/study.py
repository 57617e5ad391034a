"""Q-learning under designed rewards, with ties taken in order and at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.tabular import TabularModel
from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.exprd.arms import TIES, Designs, design_arms
from jaxrl_rewards.studies.exprd.claim import CLAIMS, claim
from jaxrl_rewards.studies.exprd.figure import draw_designs
from jaxrl_rewards.studies.shared.arms import share_row
from jaxrl_rewards.studies.shared.sizes import at_least


@dataclasses.dataclass(frozen=True)
class ExpRDConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about."""

    root_key: int = 2021
    """All that is random comes from this key."""
    seeds: int = 16
    noise: float = 0.1
    """Chance that a move goes to another neighbour."""
    budgets: tuple[int, ...] = (1, 3, 5)
    """Arms: states that may be rewarded beside the goal; the claim is about 5."""
    tie_break: str = "largest"
    """Which of the equally informative rewards is taken where states are few. "largest" punishes
    least and does not depend on the solver's path. The paper leaves this open; it was chosen
    among five rules by runs with another root key than the study's. The arm "solver's vertex"
    shows B=5 without it."""
    episodes: int = 3000
    first: int = 1000
    """Episodes over which the mean share is taken."""
    every: int = 10
    """Episodes between evaluations of the greedy policy."""
    steps: int = 50
    """Time limit of an episode."""
    learning_rate: float = 0.5
    exploration: float = 0.1

    def __post_init__(self):
        at_least(self, 1, "seeds", "first", "every", "steps")
        if self.episodes % self.every or self.first > self.episodes:
            raise InputError(
                f"episodes={self.episodes} must be a multiple of every={self.every} and at least "
                f"first={self.first}"
            )
        if 5 not in self.budgets:
            raise InputError(f"budgets must hold 5, which the claim is about; got {self.budgets}")


def learning_curves(
    model: TabularModel, rewards: np.ndarray, ties: str, config: ExpRDConfig
) -> np.ndarray:
    """Share of the optimal value of Q-learning's greedy policy; `[rewards, seeds, points]`."""
    sampler = explicable.make_sampler(model)

    def learn(key, reward):
        return explicable.q_learning(
            key,
            sampler,
            reward,
            model.discount,
            rate=config.learning_rate,
            exploration=config.exploration,
            episodes=config.episodes,
            steps=config.steps,
            every=config.every,
            ties=ties,
        )

    keys = jax.random.split(jax.random.key(config.root_key), config.seeds)
    program = jax.jit(jax.vmap(jax.vmap(learn, (0, None)), (None, 0)))
    greedy = np.asarray(program(keys, jnp.asarray(rewards, jnp.float32)))
    return explicable.share_of_optimal(model, explicable.greedy_policy(greedy, ties))


def run(config: ExpRDConfig, report: Callable[[str, float], None]) -> StudyResult:
    """Design the rewards, then train all arms and seeds."""
    from jaxrl_envs.control import rooms_model

    model = rooms_model(noise=config.noise)
    report("designing", 0.0)
    designs = design_arms(model, config.budgets, config.tie_break)
    episodes = np.arange(1, config.episodes // config.every + 1) * config.every
    table: dict[str, dict[str, list[float]]] = {}
    curves: dict[str, dict[str, Any]] = {}
    rewards = np.stack(list(designs.rewards.values()))
    for index, (ties, ending) in enumerate(TIES.items()):
        report(f"Q-learning, ties: {ties}", 0.4 + 0.3 * index)
        measured = learning_curves(model, rewards, ties, config)
        curve: dict[str, Any] = {"x": episodes, "xlabel": "episode"}
        for arm, values in zip(designs.rewards, measured, strict=True):
            table[arm + ending] = share_row(values, episodes, episodes <= config.first)
            curve[arm] = values
        curves[f"share of V*{ending}"] = curve
    design = designs.rewards["ExpRD B=5"]
    return StudyResult(
        arms=table,
        curves=curves,
        budget=spent(designs, config),
        figures={"exprd_rewards.png": lambda figure: draw_designs(figure, model, designs)},
        files={"exprd_reward.csv": lambda path: explicable.write_design_csv(path, model, design)},
    )


def spent(designs: Designs, config: ExpRDConfig) -> dict[str, Any]:
    """What every arm costs, and what is exact about the designs."""
    return {
        "episodes per seed": config.episodes,
        "steps per episode": config.steps,
        "states with rewards": {
            arm: int(np.any(reward != 0, axis=1).sum()) for arm, reward in designs.rewards.items()
        },
        "entries that are not 0": {
            arm: int(np.sum(reward != 0)) for arm, reward in designs.rewards.items()
        },
        "exact": designs.facts,
        "active states": {arm: list(states) for arm, states in designs.states.items()},
    }


STUDY = Study(
    slug="exprd",
    title="ExpRD: rewards in five states against the task's own",
    paper="Devidze, Radanovic, Kamalaruban, Singla, Explicable Reward Design for Reinforcement "
    "Learning Agents, NeurIPS 2021",
    claims=CLAIMS,
    config=ExpRDConfig(),
    run=run,
    claim=claim,
    functions=tuple(
        f"jaxrl_rewards.reward_design.explicable.{name}"
        for name in (
            *("gap_matrix", "informativeness_exprd", "solve_explicable", "select_states"),
            *("potential_shaped_reward", "q_learning"),
        )
    ),
    worlds=("tabular-rooms",),
    needs=16,
    quick={"seeds": 4, "episodes": 600, "first": 600},
)
