"""Learners as `(init, update)` pairs of pure functions."""

from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics, one_seed, seed_axes
from jaxrl_rewards.learners.fit import FitHParams, make_fit, rows
from jaxrl_rewards.learners.group import (
    GroupConfig,
    GroupHParams,
    Partner,
    Scorer,
    make_group,
    outcome,
)
from jaxrl_rewards.learners.grpo import GRPOConfig, GRPOHParams, make_grpo
from jaxrl_rewards.learners.learning_terms import bonus_parts, make_ppo_with_learning_terms
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.learners.presets import PRESETS, Preset, preset
from jaxrl_rewards.learners.tunable import tunable

__all__ = [
    "FitHParams",
    "GRPOConfig",
    "GRPOHParams",
    "GroupConfig",
    "GroupHParams",
    "Learner",
    "LearnerState",
    "Metrics",
    "PPOConfig",
    "PPOHParams",
    "PRESETS",
    "Partner",
    "Preset",
    "Scorer",
    "bonus_parts",
    "make_fit",
    "make_group",
    "make_grpo",
    "make_ppo",
    "make_ppo_with_learning_terms",
    "one_seed",
    "outcome",
    "preset",
    "rows",
    "seed_axes",
    "tunable",
]
