"""The methods that the study compares: rows of numbers for one compiled program."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from jaxrl_rewards.reward_design.barfi_loop import (
    Barfi,
    BarfiSettings,
    random_reward_start,
    reward_start,
)

PRIMARY, NAIVE, POTENTIAL = "primary reward only", "naive sum", "potential"
FROZEN = "A: wrong weights, outer step off"
WRONG = "B: wrong weights, BARFI"
ZERO = "C: zero weights, BARFI"
OFFICIAL = "naive warm-up, wrong weights"
OFFICIAL_RANDOM = "naive warm-up, random weights"
RESTARTS_ONLY = "naive warm-up, outer step off, restarts"
RECOVERED = "naive warm-up, BARFI with restarts"
HELPFUL_NAIVE = "helpful: naive sum"
HELPFUL = "helpful: BARFI"
HELPFUL_RESTARTS = "helpful: BARFI with restarts"
MANY = ", many seeds"
"""What the name of an arm gains where it is trained on many more seeds."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """One method: what the policy is trained on, and whether and how the reward changes."""

    auxiliary: str
    """"bonus" misleads, "distance" helps."""
    warmup: float = 0.0
    """Weight of the auxiliary term during the warm-up."""
    start: float | None = 0.0
    """Its weight at the start of the main phase; None draws all of φ at random."""
    outer: bool = False
    potential: float = 0.0
    restart: bool = False


ARMS: dict[str, Arm] = {
    PRIMARY: Arm("bonus"),
    NAIVE: Arm("bonus", 1.0, 1.0),
    POTENTIAL: Arm("bonus", potential=1.0),
    FROZEN: Arm("bonus", 0.0, 1.0),
    WRONG: Arm("bonus", 0.0, 1.0, outer=True),
    ZERO: Arm("bonus", outer=True),
    OFFICIAL_RANDOM: Arm("bonus", 1.0, None, outer=True),
    OFFICIAL: Arm("bonus", 1.0, 1.0, outer=True),
    RESTARTS_ONLY: Arm("bonus", 1.0, 1.0, restart=True),
    RECOVERED: Arm("bonus", 1.0, 1.0, outer=True, restart=True),
    HELPFUL_NAIVE: Arm("distance", 1.0, 1.0),
    HELPFUL: Arm("distance", 1.0, 1.0, outer=True),
    HELPFUL_RESTARTS: Arm("distance", 1.0, 1.0, outer=True, restart=True),
}
TERM_SCALE = {"bonus": 50.0, "distance": 1.0}
SHARED = ("policy_rate", "entropy", "gamma", "discount_penalty", "reward_penalty", "exploration")
"""Numbers that all arms take from the study's configuration."""


def arm_settings(learner: Barfi, arm: Arm, config: Any, keys: jax.Array) -> BarfiSettings:
    """The numbers of an arm for the seeds with these keys `[N]`; leaves have that leading axis."""
    size, rate = learner.size, config.restart_reward_rate if arm.restart else config.reward_rate
    rate = rate if arm.outer else 0.0
    rule = {"patience": config.restart_patience, "warmup": config.restart_warmup}
    rule |= {"keep": config.restart_keep}
    if arm.restart:
        rule |= {"threshold": config.restart_threshold, "signal": config.restart_signal}

    def of_seed(key: jax.Array) -> BarfiSettings:
        drawn = random_reward_start(size, jax.random.fold_in(key, 1))
        return learner.settings(
            {"time": 0.1, "goal": 100.0},
            {arm.auxiliary: TERM_SCALE[arm.auxiliary]},
            warmup=reward_start(size, [arm.warmup]),
            start=drawn if arm.start is None else reward_start(size, [arm.start]),
            restart=rule,
            reward_rate=rate,
            discount_rate=rate,
            alpha=config.neumann_alpha,
            potential=arm.potential,
            **{name: getattr(config, name) for name in SHARED},
        )

    return jax.vmap(of_seed)(keys)
