"""Learners as `(init, update)` pairs of pure functions."""

from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics
from jaxrl_rewards.learners.grpo import GRPOConfig, GRPOHParams, make_grpo
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.learners.presets import PRESETS, Preset, preset
from jaxrl_rewards.learners.tunable import tunable

__all__ = [
    "PRESETS",
    "GRPOConfig",
    "GRPOHParams",
    "Learner",
    "LearnerState",
    "Metrics",
    "PPOConfig",
    "PPOHParams",
    "Preset",
    "make_grpo",
    "make_ppo",
    "preset",
    "tunable",
]
