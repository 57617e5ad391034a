"""REINFORCE in two rooms under fixed rewards and under one that follows the learner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.tabular import TabularModel
from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.expadard.arms import ARMS, WORLDS, fixed_rewards
from jaxrl_rewards.studies.expadard.claim import CLAIMS, SPARSE, claim
from jaxrl_rewards.studies.shared.arms import portion, share_row
from jaxrl_rewards.studies.shared.panels import strip
from jaxrl_rewards.studies.shared.sizes import at_least

SHOWN = {
    "at the start": 0.0,
    "after a tenth": 0.1,
    "after a quarter": 0.25,
    "half way": 0.5,
    "at the end": 1.0,
}
"""When the pictures show the adaptive reward, as shares of all designs."""


@dataclasses.dataclass(frozen=True)
class ExpAdaRDConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about.

    The authors' rooms have two kinds of noise: the action is drawn anew (2022), or the agent goes
    to another neighbour (2021). The paper does not say which, and it decides whether a
    reward designed once is slower than one that follows the learner. Both are run; the claim is
    judged under the later kind, which was decided after seeing both with another root key than
    the study's and the earlier kind with the study's own; the verdict shows the other beside it.

    One-shot needs only about 1.06 times the episodes of adaptive, and 8 seeds do not tell that
    from 1: on the study's own root key they gave a mean log ratio of .049 [-.004, .109]. So the
    number of seeds was chosen on root keys 101, 202 and 303: with 32 the ratios were .056, .064
    and .059, each with its interval above 0. What the method leaves open does not explain why the
    gap is small: on root key 77 it stayed within .06 to .09 with the other of two tied actions as
    the target, with ties drawn at random, with the advantages of the softened teacher, and with
    its randomness on the other actions only; learning rates of .02, .05 and .1 gave .06, .08, .11.
    Ties between ExpRD's rewards are broken in its favour: there its mean share was .018 with the
    largest sum, .015 with the least absolute sum, .012 with the solver's own.
    """

    seeds: int = 32
    root_key: int = 2024
    """All that is random comes from this key."""
    noise: float = 0.1
    episodes: int = 12_000
    design_every: int = 100
    """Episodes between designs; the policy is evaluated as often."""
    steps: int = 30
    """Time limit of an episode."""
    learner_period: int = 2
    """Episodes between the learner's updates, which use the last 5."""
    learner_rate: float = 0.03
    max_reward: float = 10.0
    teacher_epsilon: float = 0.4

    def __post_init__(self):
        at_least(self, 1, "seeds", "steps", "learner_period")
        if self.episodes % self.design_every or self.design_every % self.learner_period:
            raise InputError(
                f"design_every={self.design_every} must divide episodes={self.episodes} and be a "
                f"multiple of learner_period={self.learner_period}"
            )


def learning_curves(
    model: TabularModel, config: ExpAdaRDConfig, report: Callable[[str, float], None]
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Shares of the optimal value `[arms, seeds, points]`; fixed rewards; the first seed's."""
    from jaxrl_envs.control import room_squares

    teacher = explicable.AdaptiveTeacher(
        model,
        epsilon=config.teacher_epsilon,
        features=room_squares(model),
        max_reward=config.max_reward,
    )
    report("designing", 0.0)
    fixed = fixed_rewards(teacher)
    designs = config.episodes // config.design_every

    def progress(index: int) -> None:
        if index % max(1, designs // 20) == 0:
            report(f"episode {(index + 1) * config.design_every}", (index + 1) / designs)

    policies, given = explicable.teach(
        teacher,
        np.stack(list(fixed.values())),
        jax.random.split(jax.random.key(config.root_key), config.seeds),
        designs=designs,
        updates=config.design_every // config.learner_period,
        rate=config.learner_rate,
        episodes=config.learner_period,
        steps=config.steps,
        report=progress,
    )
    return explicable.share_of_optimal(model, policies), fixed, given


def run(config: ExpAdaRDConfig, report: Callable[[str, float], None]) -> StudyResult:
    """All arms and seeds side by side, in both rooms; one programme per seed and design."""
    from jaxrl_envs.control import rooms_model

    episodes = np.arange(config.episodes // config.design_every + 1) * config.design_every
    table: dict[str, dict[str, list[float]]] = {}
    curves: dict[str, dict[str, Any]] = {}
    shown = {}
    for number, (ending, kind) in enumerate(WORLDS.items()):
        start, stop = number / len(WORLDS), (number + 1) / len(WORLDS)
        progress = portion(report, start, stop, f"noise: {kind}, ")
        model = rooms_model(noise=config.noise, noise_kind=kind)
        measured, *rewards = learning_curves(model, config, progress)
        shown[kind] = (model, *rewards)
        curves[f"share of V*{ending}"] = {
            **{"x": episodes, "xlabel": "episode"},
            **dict(zip(ARMS, measured, strict=True)),
        }
        for arm, values in zip(ARMS, measured, strict=True):
            table[arm + ending] = share_row(values, episodes)
    model, fixed, given = shown["action"]
    return StudyResult(
        arms=table,
        curves=curves,
        budget={
            "episodes per seed": config.episodes,
            "steps per episode at most": config.steps,
            "programmes solved by the adaptive arm": config.seeds * (len(episodes) - 1),
        },
        figures={
            "expadard_rewards.png": lambda figure: draw_rewards(figure, model, fixed, given),
        },
        files={
            "expadard_reward.csv": lambda path: explicable.write_design_csv(path, model, given[-1]),
        },
    )


def draw_rewards(
    figure: Any, model: TabularModel, fixed: dict[str, np.ndarray], given: np.ndarray
) -> None:
    """Heat maps of the adaptive reward as the first seed's learner changes."""
    axes = strip(figure, len(SHOWN) + 1, title="rewards per cell and direction")
    explicable.draw_design(axes[0], model, fixed[SPARSE], SPARSE)
    for axis, (name, share) in zip(axes[1:], SHOWN.items(), strict=True):
        reward = given[min(int(share * len(given)), len(given) - 1)]
        explicable.draw_design(axis, model, reward, f"adaptive, {name}")
    figure.tight_layout()


STUDY = Study(
    slug="expadard",
    title="ExpAdaRD: a reward that follows the learner",
    paper="Devidze, Kamalaruban, Singla, Informativeness of Reward Functions in Reinforcement "
    "Learning, AAMAS 2024, arXiv 2402.07019",
    claims=CLAIMS,
    config=ExpAdaRDConfig(),
    run=run,
    claim=claim,
    functions=tuple(
        f"jaxrl_rewards.reward_design.explicable.{name}"
        for name in (
            *("informativeness_adaptive", "adaptive_weights", "state_visitation", "solve_linear"),
            *("AdaptiveTeacher", "reinforce_tabular_update"),
        )
    ),
    worlds=("tabular-rooms",),
    needs=32,
    quick={"seeds": 4, "episodes": 5000},
)
