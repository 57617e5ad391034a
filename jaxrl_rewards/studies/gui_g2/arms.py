"""The rewards that the study of pointing compares, and what they read."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import record, static_field
from jaxrl_rewards.rewards import spatial
from jaxrl_rewards.rewards.base import Reward, RewardTerm


@record
class Answers:
    """What the reward terms read: boxes `[..., 4]` in pixels and noise `[...]`."""

    pred_box: Float[Array, "... 4"]
    target_box: Float[Array, "... 4"]
    noise: Float[Array, "..."]
    """Standard normal numbers, for the arm whose reward means nothing."""


@record
class Noise(RewardTerm):
    """A reward that says nothing: standard normal."""

    name: str = static_field(default="noise")

    def value(self, prev: Any, action: Any, nxt: Answers):
        """The noise drawn for the answer."""
        return nxt.noise


ARMS: dict[str, dict[str, float]] = {
    "gaussian": {"gaussian_point": 1.0, "gaussian_coverage": 1.0},
    "gaussian point only": {"gaussian_point": 1.0},
    "gaussian coverage only": {"gaussian_coverage": 1.0},
    "fixed variance": {"fixed_variance": 1.0},
    "inside only": {"inside_gaussian": 1.0},
    "point hit": {"point_hit": 1.0},
    "iou": {"iou": 1.0},
    "iou > 0.5": {"iou_hit": 1.0},
    "distance": {"distance": 1.0},
    "random": {"noise": 1.0},
}
"""Weights of the reward terms, per arm; all other terms have weight 0."""


def arm_reward(arm: str, fixed_sigma: float = 5.0) -> Reward:
    """The reward of an arm. All arms have one tree structure: they differ in weights only."""
    terms = (
        spatial.GaussianPoint(),
        spatial.GaussianCoverage(),
        spatial.InsideGaussian(),
        spatial.FixedVariance(sigma=jnp.float32(fixed_sigma)),
        spatial.PointHit(),
        spatial.BoxIoU(),
        spatial.IoUHit(),
        spatial.Distance(),
        Noise(),
    )
    parts = [ARMS[arm].get(term.name, 0.0) * term for term in terms]
    return sum(parts[1:], parts[0])


def stacked_rewards(arms: tuple[str, ...], fixed_sigma: float = 5.0) -> Reward:
    """The rewards of several arms as one pytree with a leading axis of arms."""
    rewards = [arm_reward(arm, fixed_sigma) for arm in arms]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rewards)
