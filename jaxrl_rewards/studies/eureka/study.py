"""Searches of reward programs in three worlds, and what their winners teach."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec

import jax
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design.eureka.lockstep import (
    Bench,
    Found,
    Sizes,
    search_in_lockstep,
    train_fixed,
)
from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.eureka.arms import ARMS, EUREKA, MAIN_ARMS, SPARSE, trained_anew
from jaxrl_rewards.studies.eureka.claim import CLAIMS, claim
from jaxrl_rewards.studies.eureka.figure import draw_population, draw_programs
from jaxrl_rewards.studies.eureka.train import TRAIN
from jaxrl_rewards.studies.eureka.train.tasks import TASKS, Task
from jaxrl_rewards.studies.shared.arms import per_seed, portion
from jaxrl_rewards.studies.shared.sizes import at_least, shared_fields

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
        at_least(self, 1, *SIZES)
        if self.candidates * self.seeds * 3 % 8:
            raise InputError(
                f"candidates * seeds = {self.candidates * self.seeds} must be a multiple of 8"
            )
        unknown = set(self.other_tasks) - set(TASKS)
        if unknown:
            raise InputError(f"there is no task {sorted(unknown)[0]!r}; choose from {list(TASKS)}")

    def sizes(self, task: str = "keydoor") -> Sizes:
        """Those of a task's searches."""
        given = shared_fields(Sizes, self)
        if task != "keydoor":
            given |= {"candidates": self.other_candidates, "generations": self.other_generations}
        return Sizes(**given | ({"seeds": self.ball_seeds} if task == "ball" else {}))


def run(config: EurekaConfig, report) -> StudyResult:
    """The key-door world with all arms, then the other tasks with the main ones."""
    table: dict[str, dict[str, list[float]]] = {}
    searched: dict[str, Found] = {}
    spent = {}
    others = [name for name in config.other_tasks if name != "ball" or find_spec("mujoco")]
    parts = {"keydoor": tuple(ARMS)} | dict.fromkeys(others, MAIN_ARMS)
    for number, (name, arms) in enumerate(parts.items()):
        progress = portion(report, number / len(parts), (number + 1) / len(parts), f"{name}: ")
        progress("compiling", 0.0)
        task = TASKS[name](config)
        rows, found = run_task(task, config.sizes(name), config.root_key, arms, progress)
        table |= {f"{name}: {arm}": row for arm, row in rows.items()}
        searched = searched or found
        spent[name] = {
            "trainings": task.trainer.trained,
            "compiles": task.trainer.compilations,
            "steps per training": task.trainer.updates * task.trainer.learner.samples_per_update,
        }
    axis = {"x": np.arange(1, config.generations + 1), "xlabel": "generation"}
    budget = {
        "trainings per search": config.candidates * config.generations * config.seeds,
        "spent": spent,
        "context shown to the proposer": "the archive's best",
    }
    if missing := sorted({*config.other_tasks} - {*others}):
        budget["left out, as mujoco is not installed"] = missing
    return StudyResult(
        arms=table,
        curves={
            "share of good candidates": axis | {arm: one.good for arm, one in searched.items()},
            "best fitness so far": axis | {arm: one.best for arm, one in searched.items()},
        },
        budget=budget,
        figures={
            "eureka_population.png": lambda figure: draw_population(figure, searched, table),
            "eureka_programs.png": lambda figure: draw_programs(figure, searched[EUREKA]),
        },
    )


def run_task(task: Task, sizes: Sizes, root_key: int, arms: tuple[str, ...], report):
    """Sparse reward, rewards by people, searches: rows of the table, and what searches found."""
    bench, root = Bench(task.trainer, task.quantities, sizes), jax.random.key(root_key)
    rows = {SPARSE: trained_anew(train_fixed(None, bench, root, sparse=True))}
    for name, text in task.human.items():
        rows[name] = trained_anew(train_fixed(text, bench, root))
    results = {}
    for number, arm in enumerate(arms):

        def progress(fraction, number=number, arm=arm):
            report(arm, (number + fraction) / len(arms))

        proposers = ARMS[arm].proposers(root_key, sizes)
        found = search_in_lockstep(bench, proposers, root, racing=ARMS[arm].racing, report=progress)
        results[arm] = found
        rows[arm] = trained_anew(found.retrained) | per_seed(
            {
                "in_search": found.in_search,
                "good_first": found.good[:, 0],
                "good_last": found.good[:, -3:].mean(axis=1),
            }
        )
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
    functions=tuple(
        f"jaxrl_rewards.reward_design.{name}"
        for name in (
            *("eureka.answers.extract_reward_code", "eureka.answers.function_signature"),
            *("eureka.answers.filter_traceback", "eureka.scores.reward_reflection"),
            *("eureka.scores.select_candidate", "eureka.scores.human_normalized_score"),
            *("programs.parser.parse_program", "programs.tape.run_tape"),
            "programs.slots.run_slots",
        )
    ),
    worlds=("keydoor", "Pendulum-v1"),
    quick={
        **{"search_seeds": 2, "candidates": 8, "generations": 3, "final_seeds": 4},
        **{"episodes": 32, "other_tasks": ()},
    },
    train=TRAIN,
)
