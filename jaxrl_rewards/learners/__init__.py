"""Learners as `(init, update)` pairs of pure functions."""

from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics
from jaxrl_rewards.learners.grpo import GRPOConfig, GRPOHParams, make_grpo
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo

__all__ = [
    "GRPOConfig",
    "GRPOHParams",
    "Learner",
    "LearnerState",
    "Metrics",
    "PPOConfig",
    "PPOHParams",
    "make_grpo",
    "make_ppo",
]
