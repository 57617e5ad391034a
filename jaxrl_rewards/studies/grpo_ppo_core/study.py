"""PPO on three control tasks, the value at a time limit, and four group methods on a bandit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.grpo_ppo_core.arms import (
    ANSWERS,
    PROMPTS,
    TASKS,
    train_bandit,
    train_control,
)
from jaxrl_rewards.studies.grpo_ppo_core.claim import CLAIMS, GROUP_METHODS, SOLVED, claim
from jaxrl_rewards.studies.grpo_ppo_core.train import TRAIN
from jaxrl_rewards.studies.shared.arms import per_seed
from jaxrl_rewards.studies.shared.panels import percent
from jaxrl_rewards.studies.shared.sizes import at_least
from jaxrl_rewards.testing.identities import identities, time_limit_value

CONTROL, BANDIT, IDENTITIES, LIMITS, CONTEXTS = 0, 1, 2, 3, 99
"""What a key is for."""


@dataclasses.dataclass(frozen=True)
class CoreConfig:
    """Sizes of the study."""

    root_key: int = 0
    """All that is random comes from this key."""
    seeds: int = 8
    """Seeds per arm, trained side by side."""
    cartpole_steps: int = 500_000
    """Environment steps per seed on CartPole."""
    acrobot_steps: int = 300_000
    """Environment steps per seed on Acrobot."""
    pendulum_steps: int = 400_000
    """Environment steps per seed on Pendulum."""
    bandit_updates: int = 150
    """Updates of each group method on the bandit."""
    evaluation_episodes: int = 20
    """Deterministic episodes per seed after training."""

    def __post_init__(self):
        at_least(self, 0, "root_key")
        at_least(self, 1, *(f.name for f in dataclasses.fields(self) if f.name != "root_key"))

    def key(self, part: int) -> jax.Array:
        """The key of a part of the study."""
        return jax.random.key((4 * self.root_key + part) % 2**32)

    def keys(self, part: int) -> jax.Array:
        """One key per seed for a part of the study."""
        return jax.random.split(self.key(part), self.seeds)


JOBS = (
    ("CartPole", "bootstrap"),
    ("CartPole", "termination"),
    ("Acrobot", "bootstrap"),
    ("Pendulum", "bootstrap"),
)
"""Task, and what a time limit counts as."""


def run(config: CoreConfig, report: Callable[[str, float], None]) -> StudyResult:
    """Train all arms."""
    arms: dict[str, dict[str, list[float]]] = {}
    panels: dict[str, dict[str, Any]] = {}
    budget: dict[str, int] = {}
    for index, (name, limits) in enumerate(JOBS):
        report(f"PPO on {name} ({limits})", 0.02 + 0.8 * index / len(JOBS))
        steps = getattr(config, f"{name.lower()}_steps")
        keys, episodes = config.keys(CONTROL), config.evaluation_episodes
        trained = train_control(TASKS[name], steps, keys, episodes, limits)
        arm = f"PPO {name}" + ("" if limits == "bootstrap" else ", limits as ends")
        returns = trained.final["return"]
        arms[arm] = per_seed({"return": returns, "solved": returns >= SOLVED[name]})
        panels.setdefault(f"{name} return", {})[arm] = trained.curves["episode_return"]
        budget[f"{name} steps per seed"] = steps
    for label, bootstrap in (("bootstrap", True), ("limits as ends", False)):
        value = jax.vmap(lambda key, b=bootstrap: time_limit_value(b, key))(config.keys(LIMITS))
        arms[f"TD(0), {label}"] = per_seed({"value": value})
    for index, method in enumerate(GROUP_METHODS):
        report(f"bandit: {method}", 0.85 + 0.03 * index)
        keys, contexts = config.keys(BANDIT), config.key(CONTEXTS)
        regret = train_bandit(method, config.bandit_updates, keys, contexts).curves["regret"]
        arms[f"bandit {method}"] = per_seed({"regret": regret[:, -1]})
        panels.setdefault("bandit regret", {})[method] = regret
    errors = per_seed(identities(config.keys(IDENTITIES)))
    arms["identities"] = {f"error {name}": values for name, values in errors.items()}
    budget["bandit answers per seed"] = config.bandit_updates * PROMPTS * ANSWERS
    curves = {
        title: percent(of_arms, "updates" if title == "bandit regret" else "steps")
        for title, of_arms in panels.items()
    }
    return StudyResult(arms=arms, curves=curves, budget=budget)


STUDY = Study(
    slug="grpo_ppo_core",
    title="Learner mathematics: PPO on control tasks, and group methods",
    paper="PPO, GAE, GRPO, RLOO, Dr.GRPO, REINFORCE++ (see the module's text).",
    claims=CLAIMS,
    config=CoreConfig(),
    run=run,
    claim=claim,
    functions=(
        "jaxrl_rewards.credit.gae",
        "jaxrl_rewards.credit.group_advantages",
        "jaxrl_rewards.losses.clipped_surrogate",
        "jaxrl_rewards.losses.value_loss",
        "jaxrl_rewards.losses.kl_estimate",
        "jaxrl_rewards.learners.make_ppo",
        "jaxrl_rewards.learners.make_grpo",
    ),
    train=TRAIN,
    worlds=("CartPole-v1", "Acrobot-v1", "Pendulum-v1"),
    quick={
        "seeds": 2,
        "cartpole_steps": 50_000,
        "acrobot_steps": 50_000,
        "pendulum_steps": 50_000,
        "bandit_updates": 50,
        "evaluation_episodes": 5,
    },
)
