"""Losses and distributions as pure functions."""

from jaxrl_rewards.losses.aggregate import (
    AGGREGATES,
    Aggregate,
    normed_sum,
    sequence_mean,
    sequence_sum,
    token_mean,
)
from jaxrl_rewards.losses.distributions import (
    Categorical,
    DiagonalGaussian,
    TanhNormal,
    categorical_entropy,
    masked_categorical,
)
from jaxrl_rewards.losses.kl import kl_estimate
from jaxrl_rewards.losses.policy import (
    PolicyLoss,
    TokenLosses,
    clipped_importance,
    clipped_surrogate,
    policy_metrics,
    score_function,
    sequence_surrogate,
    soft_gate,
)
from jaxrl_rewards.losses.value import value_loss

__all__ = [
    "AGGREGATES",
    "Aggregate",
    "Categorical",
    "DiagonalGaussian",
    "PolicyLoss",
    "TanhNormal",
    "TokenLosses",
    "categorical_entropy",
    "clipped_importance",
    "clipped_surrogate",
    "kl_estimate",
    "masked_categorical",
    "normed_sum",
    "policy_metrics",
    "score_function",
    "sequence_mean",
    "sequence_sum",
    "sequence_surrogate",
    "soft_gate",
    "token_mean",
    "value_loss",
]
