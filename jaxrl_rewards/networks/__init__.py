"""Networks as pairs of pure functions (init, apply)."""

from jaxrl_rewards.networks.actor_critic import (
    ActorCritic,
    cnn_actor_critic,
    gru_actor_critic,
    mlp_actor_critic,
)
from jaxrl_rewards.networks.cnn import cnn, cnn_init
from jaxrl_rewards.networks.mlp import mlp, mlp_init

__all__ = [
    "ActorCritic",
    "cnn",
    "cnn_actor_critic",
    "cnn_init",
    "gru_actor_critic",
    "mlp",
    "mlp_actor_critic",
    "mlp_init",
]
