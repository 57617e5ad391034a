"""REINFORCE on two chains under the task's reward, a bonus, a learnt reward, and both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.explors.claim import BONUS, CHAINS, CLAIMS, EXPLORS, SELFRS, claim
from jaxrl_rewards.studies.shared.arms import per_seed
from jaxrl_rewards.studies.shared.sizes import at_least

ARMS: dict[str, dict[str, bool]] = {
    "R̄": {"bonus": False, "shaping": False},
    BONUS: {"bonus": True, "shaping": False},
    SELFRS: {"bonus": False, "shaping": True},
    EXPLORS: {"bonus": True, "shaping": True},
}
"""The two parts of the shaped reward, by arm."""
NUMBERS = (
    *("discount", "bonus_scale", "bonus_largest"),
    *("shaping_rate", "value_rate", "learner_rate"),
)
EARLY = (4000, 6000)


@dataclasses.dataclass(frozen=True)
class ExploRSConfig:
    """Sizes and numbers of the study; the defaults are the published ones."""

    seeds: int = 8
    root_key: int = 2022
    """All that is random comes from this key."""
    episodes: int = 20_000
    steps: int = 40
    """Time limit of an episode."""
    every: int = 100
    """Episodes per point of the curve."""
    noise: float = 0.05
    discount: float = 0.99
    distractor: float = 0.01
    """Reward of the near distractor in the second chain; the far reward is 1."""
    bonus_scale: float = 1.0
    bonus_largest: float = 1.0
    shaping_rate: float = 0.01
    value_rate: float = 0.01
    learner_rate: float = 0.1

    def __post_init__(self):
        at_least(self, 1, "seeds", "steps", "every")
        if self.episodes % self.every or self.every % 2:
            raise InputError(
                f"episodes={self.episodes} must be a multiple of every={self.every}, which must "
                "be even"
            )


def learning_curves(config: ExploRSConfig) -> np.ndarray:
    """Mean discounted task return per point; `[chains, arms, seeds, points]`, one compile."""
    from jaxrl_envs.control import chain_model

    common = {"noise": config.noise, "discount": config.discount}
    models = [chain_model(**common), chain_model(**common, distractor=config.distractor)]
    sampler = explicable.make_sampler(models[0])  # the chains differ in their rewards only
    rewards = jnp.asarray(np.stack([model.reward for model in models]), jnp.float32)
    numbers = {name: getattr(config, name) for name in NUMBERS}
    settings = [explicable.shaping_settings(**parts, **numbers) for parts in ARMS.values()]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *settings)

    def learn(key, reward, settings):
        curve, _ = explicable.shaped_learning(
            key,
            sampler,
            reward,
            settings,
            episodes=config.episodes,
            steps=config.steps,
            every=config.every,
        )
        return curve

    over_seeds = jax.vmap(learn, (0, None, None))
    over_arms = jax.vmap(over_seeds, (None, None, 0))
    program = jax.jit(jax.vmap(over_arms, (None, 0, None)))
    keys = jax.random.split(jax.random.key(config.root_key), config.seeds)
    return np.asarray(program(keys, rewards, stacked), np.float64)


def run(config: ExploRSConfig, report: Callable[[str, float], None]) -> StudyResult:
    """Both chains, all arms and seeds in one call."""
    report("learning", 0.0)
    measured = learning_curves(config)
    episodes = np.arange(1, measured.shape[-1] + 1) * config.every
    early = (episodes > EARLY[0]) & (episodes <= EARLY[1])
    table: dict[str, dict[str, list[float]]] = {}
    curves: dict[str, dict[str, Any]] = {}
    for chain, of_chain in zip(CHAINS, measured, strict=True):
        curve: dict[str, Any] = {"x": episodes, "xlabel": "episode"}
        for arm, values in zip(ARMS, of_chain, strict=True):
            curve[arm] = values
            row = {"return": values.mean(axis=1), "last return": values[:, -1]}
            if early.any():
                row["return, episodes 4000-6000"] = values[:, early].mean(axis=1)
            table[f"{chain}: {arm}"] = per_seed(row)
        curves[f"discounted return, {chain}"] = curve
    budget = {
        "episodes per seed": config.episodes,
        "steps per episode at most": config.steps,
        "runs in one call": int(np.prod(measured.shape[:3])),
    }
    return StudyResult(arms=table, curves=curves, budget=budget)


STUDY = Study(
    slug="explors",
    title="ExploRS: bonus and learnt reward against either alone",
    paper="Devidze, Kamalaruban, Singla, Exploration-Guided Reward Shaping for Reinforcement "
    "Learning under Sparse Rewards, NeurIPS 2022",
    claims=CLAIMS,
    config=ExploRSConfig(),
    run=run,
    claim=claim,
    functions=tuple(
        f"jaxrl_rewards.reward_design.explicable.{name}"
        for name in (
            *("exploration_bonus", "selfrs_update", "reinforce_tabular_update"),
            "shaped_learning",
        )
    ),
    worlds=("tabular-chain",),
    quick={"seeds": 2, "episodes": 8000},
)
