"""Hand-designed rewards: pure functions of what happened, and the algebra that joins them."""

from jaxrl_rewards.rewards.base import (
    FunctionReward,
    Renamed,
    Reward,
    RewardOutput,
    RewardTerm,
    WeightedSum,
    resolve_schedules,
    reward_term,
    weighted_sum,
)
from jaxrl_rewards.rewards.schedule import Cosine, Linear, Piecewise, Schedule, scheduled

__all__ = [
    "Cosine",
    "FunctionReward",
    "Linear",
    "Piecewise",
    "Renamed",
    "Reward",
    "RewardOutput",
    "RewardTerm",
    "Schedule",
    "WeightedSum",
    "resolve_schedules",
    "reward_term",
    "scheduled",
    "weighted_sum",
]
