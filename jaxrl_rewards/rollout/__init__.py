"""Acting in worlds: auto-reset, running normalisation, episode statistics."""

from jaxrl_rewards.rollout.autoreset import AutoReset, AutoResetParams
from jaxrl_rewards.rollout.normalise import (
    RunningMoments,
    discounted_returns,
    init_moments,
    normalise_observation,
    update_moments,
)
from jaxrl_rewards.rollout.statistics import (
    EpisodeStatistics,
    init_statistics,
    update_statistics,
)

__all__ = [
    "AutoReset",
    "AutoResetParams",
    "EpisodeStatistics",
    "RunningMoments",
    "discounted_returns",
    "init_moments",
    "init_statistics",
    "normalise_observation",
    "update_moments",
    "update_statistics",
]
