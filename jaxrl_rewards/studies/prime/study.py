"""PRIME against RLOO on hidden key letters, and PRIME where outcomes are too unbalanced for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.prime.claim import CLAIMS, PRIME, RLOO, WIDE, claim
from jaxrl_rewards.studies.prime.learning import PrimeNumbers, key_table, make_prime, measures
from jaxrl_rewards.studies.shared.arms import first_at, per_seed, train_arms
from jaxrl_rewards.studies.shared.sizes import at_least

LETTERS = 8
ARMS: dict[str, dict[str, float]] = {
    PRIME: {},
    RLOO: {"process_coefficient": 0.0},
    WIDE: {"start": 1.8, "lower": 0.1, "upper": 0.9},
}
"""What an arm changes."""


@dataclasses.dataclass(frozen=True)
class PrimeConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about."""

    root_key: int = 2502
    """All that is random comes from this key."""
    seeds: int = 32
    updates: int = 200
    prompts: int = 16
    answers: int = 8
    """Answers per prompt."""
    learning_rate: float = 0.02
    """Of the policy and of the reward model."""
    letters_from: int = 20
    """Update from which on letters must be ranked."""
    answers_from: int = 30
    evaluation: int = 512
    """Fresh answers per measurement of the ranking."""

    def __post_init__(self):
        at_least(self, 0, "root_key")
        at_least(self, 1, "seeds", "prompts", "evaluation", "letters_from", "answers_from")
        at_least(self, 2, "answers")
        at_least(self, max(self.letters_from, self.answers_from), "updates")


def row(curves: dict[str, np.ndarray], config: PrimeConfig) -> dict[str, list[float]]:
    """Numbers per seed of one arm."""
    letters = curves["letter AUC"][:, config.letters_from - 1 :]
    answers = curves["answer AUC"][:, config.answers_from - 1 :]
    # single measurements have few wrong answers once success is high: windows of ten
    windows = answers[:, : answers.shape[1] // 10 * 10].reshape(len(answers), -1, 10)
    answers = np.nanmean(windows, axis=2) if windows.size else answers
    updates = np.arange(1, config.updates + 1)
    return per_seed(
        {
            "first success": curves["success"][:, 0],
            "last success": curves["success"][:, -1],
            "updates to 80 %": first_at(curves["success"], updates, 0.8),
            "lowest letter AUC": letters.min(axis=1),
            "lowest answer AUC": np.nanmin(answers, axis=1),
            "last letter AUC": letters[:, -1],
        }
    )


def run(config: PrimeConfig, report: Callable[[str, float], None]) -> StudyResult:
    """Train all arms."""
    keys = key_table()
    learner = make_prime(keys, LETTERS, config.prompts, config.answers)
    rates = {"learning_rate": config.learning_rate, "model_rate": config.learning_rate}
    arms = {name: PrimeNumbers(**rates, **changes) for name, changes in ARMS.items()}
    trained = train_arms(
        learner,
        arms,
        jax.random.split(jax.random.key(config.root_key), config.seeds),
        config.updates,
        watch=lambda state, hparams: measures(state, keys, config.evaluation),
        report=report,
    )
    table = {name: row(one.curves, config) for name, one in trained.items()}
    curves: dict[str, dict[str, Any]] = {}
    for name, one in trained.items():
        for metric, values in one.curves.items():
            curve = curves.setdefault(metric, {"xlabel": "update"})
            curve |= {"x": np.arange(1, config.updates + 1), name: values}
    budget = {"updates": config.updates, "answers per update": learner.samples_per_update}
    return StudyResult(arms=table, curves=curves, budget=budget)


STUDY = Study(
    slug="prime",
    title="PRIME: token rewards from outcomes alone",
    paper="Cui, Yuan, Wang et al., Process Reinforcement through Implicit Rewards, 2025",
    claims=CLAIMS,
    config=PrimeConfig(),
    run=run,
    claim=claim,
    functions=(
        *(
            f"jaxrl_rewards.reward_models.implicit.{name}"
            for name in ("implicit_rewards", "implicit_cross_entropy", "pairwise_accuracy")
        ),
        *(f"jaxrl_rewards.credit.{name}" for name in ("prime_advantage", "prompt_filter")),
        "jaxrl_rewards.learners.prime.prime",
    ),
    worlds=("language-key-tokens",),
    needs=32,
    quick={"seeds": 2, "updates": 60},
)
