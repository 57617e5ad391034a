"""PPO whose reward adds labels of messages that the host gives while it trains (ONI).

Source: Zheng et al. 2024, arXiv 2410.23022.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Record, record
from jaxrl_rewards.learners.api import Learner
from jaxrl_rewards.learners.from_host import takes_from_host
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.reward_models.messages import MessageReward


@record
class MessageHParams(Record):
    """Numbers of `make_message_ppo`, float32 scalars."""

    ppo: PPOHParams
    """The world's params hold the extrinsic reward."""
    extrinsic: Any = 1.0
    intrinsic: Any = 1.0
    beta: Any = 3.0
    """Power of the episodic count that divides a message's reward."""
    first_label: Any = 0.0
    """Label of all messages until the host gives any; 0 stands for none."""


def make_message_ppo(env: Any, config: PPOConfig, *, network: Any = None) -> Learner:
    """PPO on `extrinsic * (the world's reward) + intrinsic * MessageReward`.

    `env.table` holds the `V` texts; `TimeStep.info["message"]` is the id of the one just shown, 0
    for none. The host gives `(labels [V] float32, known [V] bool)`, see `learners.from_host`, and
    hears the counts `[V]` of the messages of an update, int32. Metrics beside PPO's: `messages`,
    and `labelled`, those that had a label when they were heard.
    """
    size = env.table.size

    def heard(info: dict[str, Any]) -> Array:
        return jnp.zeros((size,), jnp.int32).at[info["message"].reshape(-1)].add(1)

    def first(hparams: MessageHParams) -> tuple[Float[Array, "V"], Bool[Array, "V"]]:
        labels = jnp.full((size,), hparams.first_label, jnp.float32)
        return labels, labels > 0

    def place(hparams: MessageHParams, given: tuple[Array, Array]) -> PPOHParams:
        message = MessageReward(labels=given[0], known=given[1], beta=hparams.beta)
        params = hparams.ppo.env_params
        reward = hparams.extrinsic * params.reward + hparams.intrinsic * message
        return hparams.ppo.replace(env_params=params.replace(reward=reward))

    inner = takes_from_host(make_ppo(env, config, network=network, summarise=heard), place, first)

    def update(state: Any, hparams: MessageHParams) -> tuple[Any, dict[str, Array]]:
        _, known = state.memory["given"]
        state, metrics = inner.update(state, hparams)
        counts = state.summary[1:]
        return state, metrics | {
            "messages": counts.sum(),
            "labelled": (counts * known[1:]).sum(),
        }

    return inner._replace(update=update, hparams=MessageHParams(ppo=inner.hparams))
