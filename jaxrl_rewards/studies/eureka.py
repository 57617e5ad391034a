"""Eureka: reward programs found by search, against rewards by people and against chance.

Programs are data, so the candidates of all searches and all their training seeds run through one
compiled training. Source: Ma et al., ICLR 2024, arXiv 2310.12931; the proposer here is offline.
"""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from typing import Any

import jax
import numpy as np

from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.eureka_arms import ARMS, Bench, fixed_arm, run_arm, trained_anew
from jaxrl_rewards.studies.eureka_claim import CLAIMS, EUREKA, SPARSE, claim
from jaxrl_rewards.studies.eureka_worlds import TASKS, Task

SIZES = ("search_seeds", "candidates", "generations", "seeds", "final_seeds", "width", "ball_seeds")


@dataclasses.dataclass(frozen=True)
class EurekaConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about.

    The learner's rates and the ball's sizes were chosen for the expert human reward alone, on other
    root keys than the recorded run's.
    """

    search_seeds: int = 8
    candidates: int = 16
    """Programs per generation, K."""
    generations: int = 5
    seeds: int = 4
    """Trainings per candidate."""
    rescored: int = 3
    """Best candidates that are trained again before the winner is chosen."""
    final_seeds: int = 8
    """Trainings of the winner, with new seeds: what is reported."""
    good: float = 0.1
    """Success from which a candidate counts as good."""
    rooms: int = 3
    envs: int = 32
    steps: int = 64
    updates: int = 10
    epochs: int = 4
    learning_rate: float = 0.1
    entropy: float = 0.01
    discount: float = 0.99
    episodes: int = 64
    """Fresh episodes that measure a trained policy."""
    width: int = 64
    """Trainings under one vmap."""
    root_key: int = 12931
    other_tasks: tuple[str, ...] = ("swing-up", "ball")
    """Further tables, with the main arms only."""
    swing_updates: int = 30
    swing_learning_rate: float = 0.1
    ball_updates: int = 20
    ball_learning_rate: float = 0.1
    ball_envs: int = 16
    ball_seeds: int = 2
    """Trainings per candidate; a training costs ten times one in the rooms."""
    other_candidates: int = 8
    other_generations: int = 3

    def __post_init__(self):
        for name in SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.candidates * self.seeds * 3 % 8:
            raise ValueError(
                f"candidates * seeds = {self.candidates * self.seeds} must be a multiple of 8"
            )
        unknown = set(self.other_tasks) - set(TASKS)
        if unknown:
            raise ValueError(f"there is no task {sorted(unknown)[0]!r}; choose from {list(TASKS)}")


MAIN_ARMS = ("eureka offline", "random search")


def run(config: EurekaConfig, report) -> StudyResult:
    """The key-door world with all arms, then the other tasks with the main ones."""
    from jaxrl_rewards.studies.eureka_figure import draw_population, draw_programs

    table: dict[str, dict[str, list[float]]] = {}
    parts = [("keydoor", tuple(ARMS), config)]
    smaller = dataclasses.replace(
        config, candidates=config.other_candidates, generations=config.other_generations
    )
    ball = dataclasses.replace(smaller, seeds=config.ball_seeds)
    others = [name for name in config.other_tasks if name != "ball" or find_spec("mujoco")]
    parts += [(name, MAIN_ARMS, ball if name == "ball" else smaller) for name in others]
    searched: dict[str, Any] = {}
    spent = {}
    for number, (name, arms, sizes) in enumerate(parts):

        def progress(text, fraction, number=number, name=name):
            report(f"{name}: {text}", (number + fraction) / len(parts))

        progress("compiling", 0.0)
        task = TASKS[name](sizes)
        rows, results = run_task(task, sizes, arms, progress)
        table |= {f"{name}: {arm}": row for arm, row in rows.items()}
        spent[name] = {
            "trainings": task.trainer.trained,
            "compiles": task.trainer.compilations,
            "steps per training": task.trainer.updates * task.trainer.learner.samples_per_update,
        }
        if name == "keydoor":
            searched = results
    curves = {
        "share of good candidates": {
            "x": np.arange(1, config.generations + 1),
            "xlabel": "generation",
            **{arm: result.good for arm, result in searched.items()},
        },
        "best fitness so far": {
            "x": np.arange(1, config.generations + 1),
            "xlabel": "generation",
            **{arm: result.best for arm, result in searched.items()},
        },
    }
    budget = {
        "trainings per search": config.candidates * config.generations * config.seeds,
        "spent": spent,
        "context shown to the proposer": "the archive's best",
    }
    if missing := sorted({*config.other_tasks} - {*others}):
        budget["left out, as mujoco is not installed"] = missing
    figures = {
        "eureka_population.png": lambda figure: draw_population(figure, searched, table),
        "eureka_programs.png": lambda figure: draw_programs(figure, searched[EUREKA]),
    }
    return StudyResult(arms=table, curves=curves, budget=budget, figures=figures)


def run_task(task: Task, config: EurekaConfig, arms: tuple[str, ...], report):
    """Rewards by people, sparse reward, and searches: rows of the table, and search results."""
    bench = Bench(task.trainer, task.quantities, config)
    root = jax.random.key(config.root_key)
    rows = {SPARSE: fixed_arm(None, bench, root, sparse=True)}
    for name, text in task.human.items():
        rows[name] = fixed_arm(text, bench, root)
    results = {}
    for number, arm in enumerate(arms):

        def progress(fraction, number=number, arm=arm):
            report(arm, (number + fraction) / len(arms))

        found = run_arm(ARMS[arm], bench, root, progress)
        results[arm] = found
        rows[arm] = trained_anew(found.retrained) | {
            "in_search": found.in_search,
            "good_first": found.good[:, 0].tolist(),
            "good_last": found.good[:, -3:].mean(axis=1).tolist(),
        }
    return rows, results


STUDY = Study(
    slug="eureka",
    title="Eureka: reward programs by search, against human, sparse and random ones",
    paper="Ma et al., Eureka: Human-Level Reward Design via Coding Large Language Models, ICLR "
    "2024, arXiv 2310.12931",
    claims=CLAIMS,
    config=EurekaConfig(),
    run=run,
    claim=claim,
    functions=(
        *(
            f"jaxrl_rewards.reward_design.eureka.{name}"
            for name in (
                "answers.extract_reward_code",
                "answers.function_signature",
                "answers.filter_traceback",
                "scores.reward_reflection",
                "scores.select_candidate",
                "scores.human_normalized_score",
            )
        ),
        "jaxrl_rewards.reward_design.programs.parser.parse_program",
        "jaxrl_rewards.reward_design.programs.tape.run_tape",
        "jaxrl_rewards.reward_design.programs.slots.run_slots",
    ),
    worlds=("keydoor", "Pendulum-v1"),
)
