"""Four rewards for a policy that must hit upon a planted word."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.pav.claim import (
    CLAIMS,
    GAPS,
    GOOD,
    LIKE_BASE,
    OUTCOME,
    STRONGER,
    claim,
)
from jaxrl_rewards.studies.pav.exact import gap, own_progress_error
from jaxrl_rewards.studies.pav.learning import (
    ProgressNumbers,
    make_search,
    prover_of,
    success_of,
    task_of,
)
from jaxrl_rewards.studies.shared.arms import first_at, per_seed, train_arms
from jaxrl_rewards.studies.shared.sizes import at_least

BASE = 2.0
"""Strength of the policy that learning starts from."""
ARMS = {OUTCOME: (BASE, 0.0), LIKE_BASE: (2.0, 1.0), GOOD: (10.0, 1.0), STRONGER: (30.0, 1.0)}
"""Strength of the prover, and the share of α, by arm."""


@dataclasses.dataclass(frozen=True)
class PAVConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about."""

    root_key: int = 2410
    """All that is random comes from this key."""
    seeds: int = 8
    updates: int = 600
    batch: int = 64
    completions: int = 16
    """Rollouts of the prover per estimate."""
    word_length: int = 7
    horizon: int = 10
    alpha: float = 1.0
    learning_rate: float = 0.05

    def __post_init__(self):
        at_least(self, 0, "root_key", "alpha")
        at_least(self, 1, "seeds", "updates", "batch", "completions", "word_length")
        at_least(self, self.word_length, "horizon")


def run(config: PAVConfig, report: Callable[[str, float], None]) -> StudyResult:
    """Train all arms, and compute what is exact."""
    task = task_of(config.word_length, config.horizon)
    base, *_ = prover_of(task, BASE)
    arms = {}
    for arm, (strength, share) in ARMS.items():
        _, values, action_values = prover_of(task, strength)
        arms[arm] = ProgressNumbers(
            prover_values=values,
            prover_action_values=action_values,
            start=base,
            alpha=config.alpha * share,
            learning_rate=config.learning_rate,
        )
    root = jax.random.key(config.root_key)
    trained = train_arms(
        make_search(task, config.batch, config.completions),
        arms,
        jax.random.split(root, config.seeds),
        config.updates,
        watch=lambda state, hparams: {"success": success_of(task, state.params)},
        report=report,
    )
    updates = np.arange(1, config.updates + 1)
    curve = {"x": updates, "xlabel": "update"}
    table = {}
    for arm, one in trained.items():
        curve[arm] = success = one.curves["success"]
        table[arm] = per_seed(
            {"updates to 90 %": first_at(success, updates, 0.9), "last success": success[:, -1]}
        )
    exact = {f"gap, γ={strength:g}": gap(strength) for strength in GAPS}
    exact["own progress"] = own_progress_error(jax.random.fold_in(root, 1))
    budget = {"updates": config.updates, "answers per update": config.batch, "exact": exact}
    return StudyResult(arms=table, curves={"chance of success": curve}, budget=budget)


STUDY = Study(
    slug="pav",
    title="PAV: progress under a prover as a step reward",
    paper="Setlur, Nagpal, Fisch, Geng, Eisenstein, R. Agarwal, A. Agarwal, Berant, Kumar, "
    "Rewarding Progress: Scaling Automated Process Verifiers for LLM Reasoning, ICLR 2025",
    claims=CLAIMS,
    config=PAVConfig(),
    run=run,
    claim=claim,
    functions=tuple(
        f"jaxrl_rewards.credit.{name}"
        for name in (
            *("best_of_k_q", "progress", "effective_reward", "prover_quality"),
            *("first_pit", "beam_select", "progress_policy_loss", "progress_credit"),
        )
    )
    + ("jaxrl_rewards.rollout.search.beam_search",),
    worlds=("language-planted-sequence",),
    quick={"seeds": 2, "updates": 250},
)
