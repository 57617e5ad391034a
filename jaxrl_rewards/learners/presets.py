"""Recipes: settings with which PPO reaches the reference return of a world.

Plain data. What each recipe reaches is measured by `benchmarks.learning.reference_returns`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Preset:
    """How to train PPO on a world, and what return to expect."""

    steps: int
    """Environment steps per seed."""
    reference_return: float
    """Mean undiscounted return over deterministic episodes that counts as solved."""
    source: str
    """Where that number comes from."""
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of `PPOConfig` that differ from its defaults."""
    hparams: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of `PPOHParams` that differ from its defaults."""
    anneal: bool = True
    """Whether the learning rate falls linearly to 0."""


GYMNASIUM = "reward threshold of gymnasium's registry"

PRESETS: dict[str, Preset] = {
    "CartPole-v1": Preset(
        steps=500_000,
        reference_return=475.0,
        source=GYMNASIUM,
        config=dict(num_envs=16, unroll_length=128),
        hparams=dict(learning_rate=1e-3),
    ),
    "Acrobot-v1": Preset(
        steps=500_000,
        reference_return=-100.0,
        source=GYMNASIUM,
        config=dict(num_envs=16, unroll_length=128),
        hparams=dict(learning_rate=1e-3),
    ),
    "Pendulum-v1": Preset(
        steps=500_000,
        reference_return=-200.0,
        source="no threshold is registered; tuned agents of the field reach -150 to -200",
        config=dict(num_envs=16, unroll_length=128, num_epochs=8, normalise_rewards=True),
        hparams=dict(learning_rate=1e-3, discount=0.95, entropy_coefficient=0.0),
    ),
}


def preset(name: str) -> Preset:
    """The recipe of the world `name`; ValueError lists the worlds that have one."""
    if name not in PRESETS:
        raise ValueError(
            f"there is no recipe for {name!r}; there are some for {', '.join(PRESETS)}"
        )
    return PRESETS[name]
