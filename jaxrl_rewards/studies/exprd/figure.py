"""The designed rewards as heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.core.tabular import TabularModel
from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.studies.exprd.arms import Designs
from jaxrl_rewards.studies.shared.panels import strip

SHOWN = ("R̄", "ExpRD B=1", "ExpRD B=5", "no budget", "potential V*")


def draw_designs(figure: Any, model: TabularModel, designs: Designs) -> None:
    """One heat map per design."""
    arms = [arm for arm in SHOWN if arm in designs.rewards]
    axes = strip(figure, len(arms), title="rewards per cell and direction")
    for axis, arm in zip(axes, arms, strict=True):
        reward = designs.rewards[arm]
        count = int(np.any(reward != 0.0, axis=1).sum())
        explicable.draw_design(axis, model, reward, f"{arm}: {count} states")
    figure.tight_layout()
