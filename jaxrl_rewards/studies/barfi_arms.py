"""The methods that the study compares: rows of numbers for one compiled program."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.reward_design.barfi import AlignedReward
from jaxrl_rewards.reward_design.barfi_loop import Barfi, BarfiSettings, RestartRule, reward_start

ORDER = 3  # of the cosine basis


def cosine_features(position: jax.Array) -> jax.Array:
    """`cos(π c·x)` for all `c ∈ {0..3}²`: float `[2] -> [16]`, the coupled cosine basis."""
    grid = np.arange(ORDER + 1, dtype=np.float32)
    frequencies = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    return jnp.cos(np.float32(np.pi) * (jnp.asarray(frequencies) @ position))


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
    "r_p only": Arm("bonus"),
    "naive sum": Arm("bonus", warmup=1.0, start=1.0),
    "potential": Arm("bonus", potential=1.0),
    "A: wrong weights, outer step off": Arm("bonus", start=1.0),
    "B: wrong weights, BARFI": Arm("bonus", start=1.0, outer=True),
    "C: zero weights, BARFI": Arm("bonus", outer=True),
    "naive warm-up, random weights": Arm("bonus", warmup=1.0, start=None, outer=True),
    "naive warm-up, wrong weights": Arm("bonus", warmup=1.0, start=1.0, outer=True),
    "naive warm-up, outer step off, restarts": Arm("bonus", warmup=1.0, start=1.0, restart=True),
    "naive warm-up, BARFI with restarts": Arm(
        "bonus", warmup=1.0, start=1.0, outer=True, restart=True
    ),
    "helpful: naive sum": Arm("distance", warmup=1.0, start=1.0),
    "helpful: BARFI": Arm("distance", warmup=1.0, start=1.0, outer=True),
    "helpful: BARFI with restarts": Arm(
        "distance", warmup=1.0, start=1.0, outer=True, restart=True
    ),
}
TERM_SCALE = {"bonus": 50.0, "distance": 1.0}


def arm_settings(learner: Barfi, arm: Arm, config: Any, key: jax.Array) -> BarfiSettings:
    """The numbers of an arm; `key` is used for randomly drawn weights only."""
    size, number = learner.size, jnp.float32
    if arm.start is None:
        bound = size**-0.5
        draws = [
            jax.random.uniform(k, shape, minval=-bound, maxval=bound, dtype=jnp.float32)
            for k, shape in zip(jax.random.split(key), ((size, 2), (2,)), strict=True)
        ]
        start = AlignedReward(kernel=draws[0], bias=draws[1], discount_logit=number(4.6))
    else:
        start = reward_start(size, [arm.start])
    rate = config.restart_reward_rate if arm.restart else config.reward_rate
    rate = rate if arm.outer else 0.0
    return BarfiSettings(
        policy_rate=number(config.policy_rate),
        reward_rate=number(rate),
        discount_rate=number(rate),
        entropy=number(config.entropy),
        gamma=number(config.gamma),
        alpha=number(config.neumann_alpha),
        damping=number(0.0),
        discount_penalty=number(config.discount_penalty),
        reward_penalty=number(config.reward_penalty),
        primary=learner.term_weights({"time": 0.1, "goal": 100.0}),
        auxiliary=learner.term_weights({arm.auxiliary: TERM_SCALE[arm.auxiliary]})[:, None],
        potential=jnp.asarray([arm.potential], jnp.float32),
        warmup=reward_start(size, [arm.warmup]),
        start=start,
        exploration=number(config.exploration),
        restart=RestartRule(
            threshold=number(config.restart_threshold if arm.restart else -np.inf),
            signal=number(config.restart_signal if arm.restart else -np.inf),
            patience=jnp.int32(config.restart_patience),
            keep=number(config.restart_keep),
            warmup=jnp.int32(config.restart_warmup),
        ),
    )
