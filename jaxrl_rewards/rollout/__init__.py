"""Acting in worlds: auto-reset, running normalisation, episode statistics."""

from jaxrl_rewards.rollout.autoreset import AutoReset, AutoResetParams
from jaxrl_rewards.rollout.collect import (
    Decision,
    Policy,
    Worlds,
    collect,
    start_worlds,
    turns_by_forcing,
    turns_by_step,
)
from jaxrl_rewards.rollout.contain import contain
from jaxrl_rewards.rollout.normalise import (
    RunningMoments,
    discounted_returns,
    init_moments,
    normalise_observation,
    update_moments,
)
from jaxrl_rewards.rollout.sample import Sampler, independent
from jaxrl_rewards.rollout.standstill import Standstill
from jaxrl_rewards.rollout.statistics import (
    EpisodeStatistics,
    init_statistics,
    update_statistics,
)

__all__ = [
    "AutoReset",
    "AutoResetParams",
    "Decision",
    "EpisodeStatistics",
    "Policy",
    "RunningMoments",
    "Sampler",
    "Standstill",
    "Worlds",
    "collect",
    "contain",
    "discounted_returns",
    "independent",
    "init_moments",
    "init_statistics",
    "normalise_observation",
    "start_worlds",
    "turns_by_forcing",
    "turns_by_step",
    "update_moments",
    "update_statistics",
]
