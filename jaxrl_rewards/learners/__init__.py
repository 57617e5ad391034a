"""Learners as `(init, update)` pairs of pure functions."""

from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics

__all__ = ["Learner", "LearnerState", "Metrics"]
