"""Five rewards on short proofs, three on long ones, and raw scores with little weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxrl_envs.language.proof_chain import play

from jaxrl_rewards.credit.step_rewards import KINDS
from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.clip_delta.claim import (
    BOTH,
    CLAIMS,
    CLIP,
    DELTA,
    OUTCOME,
    RAW,
    claim,
)
from jaxrl_rewards.studies.clip_delta.proofs import ProofNumbers, make_proofs, told
from jaxrl_rewards.studies.shared.arms import per_seed, train_arms
from jaxrl_rewards.studies.shared.sizes import at_least

KIND_OF = {OUTCOME: None, RAW: "raw", CLIP: "clip", DELTA: "delta", BOTH: "clip_delta"}


@dataclasses.dataclass(frozen=True)
class ClipDeltaConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about."""

    root_key: int = 2410
    """All that is random comes from this key."""
    seeds: int = 16
    updates: int = 300
    batch: int = 128
    learning_rate: float = 0.03
    short_steps: int = 4
    short_horizon: int = 20
    short_alpha: float = 0.2
    long_steps: int = 8
    long_horizon: int = 40
    long_alpha: float = 0.3
    evaluation: int = 1024
    """Proofs per seed after training."""

    def __post_init__(self):
        at_least(self, 0, "root_key")
        at_least(self, 1, "seeds", "updates", "batch", "short_steps", "long_steps", "evaluation")
        at_least(self, self.short_steps + 1, "short_horizon")
        at_least(self, self.long_steps + 1, "long_horizon")


def parts_of(config: ClipDeltaConfig) -> dict[str, tuple[int, int, float, tuple[str, ...]]]:
    """Per kind of proof: steps, horizon, α, arms."""
    short, long = (
        (config.short_steps, config.short_horizon),
        (
            config.long_steps,
            config.long_horizon,
        ),
    )
    return {
        "short": (*short, config.short_alpha, tuple(KIND_OF)),
        "long": (*long, config.long_alpha, (OUTCOME, CLIP, BOTH)),
        "little weight": (*short, config.short_alpha / 4.0, (RAW,)),
    }


def numbers_of(arm: str, alpha: float, config: ClipDeltaConfig) -> ProofNumbers:
    """The hyper-parameters of an arm."""
    kinds = jnp.asarray([float(kind == KIND_OF[arm]) for kind in KINDS], jnp.float32)
    return ProofNumbers(kinds=kinds, alpha=alpha, learning_rate=config.learning_rate)


def run(config: ClipDeltaConfig, report: Callable[[str, float], None]) -> StudyResult:
    """Train all arms."""
    keys = jax.random.split(jax.random.key(config.root_key), config.seeds)
    table: dict[str, dict[str, list[float]]] = {}
    curves: dict[str, dict[str, Any]] = {}
    for index, (proof, (steps, horizon, alpha, names)) in enumerate(parts_of(config).items()):
        learner = make_proofs(steps, horizon, config.batch)
        arms = {name: numbers_of(name, alpha, config) for name in names}

        def evaluate(state, hparams, key, horizon=horizon):
            return told(play(key, state.params, config.evaluation, horizon))

        report(f"{proof} proofs", index / 3)
        trained = train_arms(
            learner, arms, keys, config.updates, evaluate, keep=("success", "length")
        )
        for name, one in trained.items():
            table[f"{proof}: {name}"] = per_seed(one.final)
            for metric, values in one.curves.items():
                curve = curves.setdefault(f"{metric}, {proof} proofs", {"xlabel": "update"})
                curve |= {"x": range(1, config.updates + 1), name: values}
    budget = {"updates": config.updates, "proofs per update": config.batch}
    return StudyResult(arms=table, curves=curves, budget=budget)


STUDY = Study(
    slug="clip_delta",
    title="Clip and Delta: step scores that cannot be piled up",
    paper="Gao, Xu, Ye, Liu, He, Fu, Mei, Wang, Wu, On Designing Effective RL Reward at Training "
    "Time for LLM Reasoning, 2024",
    claims=CLAIMS,
    config=ClipDeltaConfig(),
    run=run,
    claim=claim,
    functions=tuple(
        f"jaxrl_rewards.credit.{name}"
        for name in (
            *("clip_reward", "delta_reward", "clip_delta_reward", "eta_from_batch"),
            *("dense_step_reward", "reward_to_go", "scatter_steps_to_tokens", "step_scorer"),
        )
    ),
    needs=16,
    quick={"seeds": 2, "updates": 100},
)
