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
    categorical_log_prob,
    log_softmax,
    masked_categorical,
    normal_log_prob,
    tanh_log_derivative,
    tanh_normal_log_prob,
)
from jaxrl_rewards.losses.kl import kl_estimate
from jaxrl_rewards.losses.language import next_token_loss
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
    "categorical_log_prob",
    "clipped_importance",
    "clipped_surrogate",
    "kl_estimate",
    "log_softmax",
    "masked_categorical",
    "next_token_loss",
    "normal_log_prob",
    "normed_sum",
    "policy_metrics",
    "score_function",
    "sequence_mean",
    "sequence_sum",
    "sequence_surrogate",
    "soft_gate",
    "tanh_log_derivative",
    "tanh_normal_log_prob",
    "token_mean",
    "value_loss",
]
