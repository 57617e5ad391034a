"""Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300) and its family, by name.

A thin first instance of `make_group`: names for the command line and for sweeps on one side,
functions on the other.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxrl_rewards.core import Env
from jaxrl_rewards.credit.outcome import Credit, group_relative
from jaxrl_rewards.learners.api import Learner
from jaxrl_rewards.learners.config import one_of
from jaxrl_rewards.learners.group import GroupConfig, GroupHParams, make_group
from jaxrl_rewards.losses.aggregate import AGGREGATES, Aggregate, sequence_mean, token_mean
from jaxrl_rewards.losses.kl import KINDS as KL_KINDS
from jaxrl_rewards.losses.policy import (
    PolicyLoss,
    clipped_importance,
    clipped_surrogate,
    score_function,
    sequence_surrogate,
    soft_gate,
)
from jaxrl_rewards.networks.actor_critic import ActorCritic

ADVANTAGES = ("grpo", "dr_grpo", "rloo", "pass_at_k", "reinforce_plus_plus")

LOSSES: dict[str, tuple[PolicyLoss, Aggregate]] = {
    "ppo": (clipped_surrogate, token_mean),
    "grpo": (clipped_surrogate, sequence_mean),
    "dapo": (clipped_surrogate, token_mean),
    "gspo": (sequence_surrogate, sequence_mean),
    "cispo": (clipped_importance, token_mean),
    "sapo": (soft_gate, sequence_mean),
    "reinforce": (score_function, token_mean),
}
"""Policy losses with the way in which their papers average them."""

GRPOHParams = GroupHParams


@dataclasses.dataclass(frozen=True)
class GRPOConfig(GroupConfig):
    """Static sizes and switches of GRPO; part of the compile key."""

    advantage: str = "grpo"
    """grpo, dr_grpo, rloo, pass_at_k or reinforce_plus_plus (group mean, batch whitening)."""
    loss: str = "grpo"
    """Policy loss: grpo, dapo, gspo, cispo, sapo, ppo or reinforce."""
    aggregation: str | None = None
    """How token losses are averaged, the KL penalty's too; the loss's usual way when not given."""
    kl: str = "k3"
    """Estimator of the divergence to the reference policy: k1, k2, k3, k3+ or abs."""
    epsilon: float = 1e-4
    """Added to the group's standard deviation."""

    def __post_init__(self):
        super().__post_init__()
        if self.group_size < 2:
            raise ValueError(
                f"group_size={self.group_size} teaches nothing: an answer is compared with the "
                "others of its group; use at least 2"
            )
        one_of(self, "advantage", ADVANTAGES)
        one_of(self, "loss", tuple(LOSSES))
        one_of(self, "kl", KL_KINDS)
        one_of(self, "aggregation", (None, *AGGREGATES))


def make_grpo(
    env: Env,
    config: GRPOConfig | None = None,
    *,
    network: ActorCritic | None = None,
    hparams: GRPOHParams | None = None,
    initial_params: Any = None,
) -> Learner:
    """GRPO on `env`.

    The reference policy is the initial one (`initial_params`, e.g. a pre-trained policy, or a
    fresh initialisation); it is kept in `LearnerState.models["reference"]`.
    """
    config = config or GRPOConfig()
    loss, aggregate = objective(config)
    return make_group(
        env,
        config,
        network=network,
        credit=named_credit(config.advantage, config.epsilon),
        loss=loss,
        aggregate=aggregate,
        kl=config.kl,
        hparams=hparams,
        initial_params=initial_params,
    )


def objective(config: GRPOConfig) -> tuple[PolicyLoss, Aggregate]:
    """The functions that `config.loss` and `config.aggregation` name."""
    loss, aggregate = LOSSES[config.loss]
    return loss, aggregate if config.aggregation is None else AGGREGATES[config.aggregation]


def named_credit(advantage: str, epsilon: float) -> Credit:
    """The credit that an `advantage` names."""
    if advantage == "reinforce_plus_plus":
        return group_relative("dr_grpo", epsilon, whiten=True)
    return group_relative(advantage, epsilon)
