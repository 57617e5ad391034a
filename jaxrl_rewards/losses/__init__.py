"""Losses and distributions as pure functions."""

from jaxrl_rewards.losses.aggregate import aggregate
from jaxrl_rewards.losses.distributions import (
    Categorical,
    DiagonalGaussian,
    TanhNormal,
    categorical_entropy,
    masked_categorical,
)
from jaxrl_rewards.losses.kl import kl_estimate
from jaxrl_rewards.losses.policy import policy_loss
from jaxrl_rewards.losses.value import value_loss

__all__ = [
    "Categorical",
    "DiagonalGaussian",
    "TanhNormal",
    "aggregate",
    "categorical_entropy",
    "kl_estimate",
    "masked_categorical",
    "policy_loss",
    "value_loss",
]
