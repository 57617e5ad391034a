"""Exploration-guided reward shaping: a bonus finds the reward, a learnt reward holds on to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.studies.api import (
    Study,
    StudyResult,
    Verdict,
    bootstrap_interval,
    difference_interval,
)

ARMS: dict[str, dict[str, bool]] = {
    "R̄": {"bonus": False, "shaping": False},
    "bonus only": {"bonus": True, "shaping": False},
    "SelfRS": {"bonus": False, "shaping": True},
    "ExploRS": {"bonus": True, "shaping": True},
}
"""The two parts of the shaped reward, by arm."""
CHAINS = ("sparse chain", "chain with distractor")
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
        for name in ("seeds", "steps", "every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.episodes % self.every or self.every % 2:
            raise ValueError(
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
    settings = [
        explicable.shaping_settings(
            **parts,
            discount=config.discount,
            bonus_scale=config.bonus_scale,
            bonus_largest=config.bonus_largest,
            shaping_rate=config.shaping_rate,
            value_rate=config.value_rate,
            learner_rate=config.learner_rate,
        )
        for parts in ARMS.values()
    ]
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
            row = {"return": values.mean(axis=1).tolist(), "last return": values[:, -1].tolist()}
            if early.any():
                row["return, episodes 4000-6000"] = values[:, early].mean(axis=1).tolist()
            table[f"{chain}: {arm}"] = row
        curves[f"discounted return, {chain}"] = curve
    budget = {
        "episodes per seed": config.episodes,
        "steps per episode at most": config.steps,
        "runs in one call": int(np.prod(measured.shape[:3])),
    }
    return StudyResult(arms=table, curves=curves, budget=budget)


def claim(result: StudyResult, config: ExploRSConfig) -> Verdict:
    """Judge the measured numbers."""
    measured: dict[str, Any] = {}
    required: dict[str, str] = {}
    interval: dict[str, tuple[float, float]] = {}
    passed = []
    for chain in CHAINS:
        returns = {arm: np.asarray(result.arms[f"{chain}: {arm}"]["return"]) for arm in ARMS}
        own = returns["ExploRS"]
        name = f"{chain}: return of ExploRS"
        measured[name], interval[name] = float(own.mean()), bootstrap_interval(own)
        required[name] = ">= 9.5"
        passed.append(measured[name] >= 9.5)
        for other in ("SelfRS", "bonus only"):
            name = f"{chain}: ExploRS minus {other}"
            measured[name] = float((own - returns[other]).mean())
            interval[name] = difference_interval(own, returns[other])
            required[name] = "interval above 0"
            passed.append(interval[name][0] > 0.0)
    return Verdict(
        passed=all(passed),
        measured=measured,
        required=required,
        seeds=config.seeds,
        interval=interval,
        notes=(
            "Returns are averages over the whole run: speed counts. SelfRS alone ends as high as "
            "ExploRS, but starts when chance has led it to the reward.",
            "SORS and LIRPG, which the paper compares with too, are no arms here.",
        ),
    )


STUDY = Study(
    slug="explors",
    title="ExploRS: bonus and learnt reward against either alone",
    paper="Devidze, Kamalaruban, Singla, Exploration-Guided Reward Shaping for Reinforcement "
    "Learning under Sparse Rewards, NeurIPS 2022",
    claims=(
        "On a chain with a far reward, with and without a distractor, REINFORCE under ExploRS "
        "returns at least 9.5 over 20,000 episodes, more than under SelfRS or the bonus alone.",
    ),
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
)
