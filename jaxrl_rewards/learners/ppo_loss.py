"""The loss of proximal policy optimisation over one minibatch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Trajectories, record
from jaxrl_rewards.learners.acting import masked
from jaxrl_rewards.learners.action_head import ActionHead
from jaxrl_rewards.learners.api import Metrics
from jaxrl_rewards.losses.aggregate import token_mean
from jaxrl_rewards.losses.policy import LOG_RATIO_LIMIT, clipped_surrogate, policy_metrics
from jaxrl_rewards.losses.value import value_loss
from jaxrl_rewards.networks.actor_critic import ActorCritic


@record
class Batch:
    """Steps with their credit; leaves `[N, ...]`, or `[T, N, ...]` for networks with memory."""

    played: Trajectories
    """As the network saw it; what the loss does not read is ()."""
    advantage: Float[Array, "..."]
    target: Float[Array, "..."]
    """Returns that the critic is fitted to."""
    sound: Bool[Array, "..."]
    """Positions that the critic is fitted to, those that the world forced among them."""
    carry: Any = ()
    """Memory before the first step, `[N, ...]`."""


def ppo_loss(
    params: Any,
    batch: Batch,
    network: ActorCritic,
    head: ActionHead,
    config: Any,
    now: Any,
) -> tuple[Float[Array, ""], Metrics]:
    """Clipped surrogate + value loss - entropy bonus over one minibatch (eq. 9 of the paper).

    `config` is an `OptimiseConfig`; `now` holds `clip`, `entropy_coefficient` and
    `value_coefficient` as numbers. Positions that are not the policy's own are left out; the critic
    is fitted to forced ones too, since advantages before them bootstrap from it.
    """
    played, own = batch.played, batch.played.own
    done = played.done if network.recurrent else None
    output, value = network.unroll(params, played.obs, batch.carry, done)
    output = masked(output, played.valid)
    advantage = batch.advantage
    if config.normalise_advantages and advantage.size > 1:
        advantage = standardised(advantage, own)
    log_prob = head.log_prob(output, played.action)
    tokens = clipped_surrogate(log_prob, played.log_prob, advantage, own, (now.clip, now.clip))
    surrogate = token_mean(tokens.loss, own)
    critic, _ = value_loss(
        value,
        batch.target,
        batch.sound,
        old_values=played.value if config.clip_values else None,
        clip=now.clip if config.clip_values else None,
    )
    entropy = token_mean(head.entropy(output), own)
    loss = surrogate + now.value_coefficient * critic - now.entropy_coefficient * entropy
    told = policy_metrics(tokens, own)
    bounded = jnp.clip(-tokens.log_ratio, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return loss, {
        "policy_loss": surrogate,
        "value_loss": critic,
        "entropy": entropy,
        "clip_fraction": told["clip_fraction"],
        "approx_kl": told["approx_kl"],
        # ρ - 1 - log ρ: an estimate without bias that is never negative
        "kl": token_mean(jnp.expm1(-bounded) + bounded, own),
    }


def standardised(values: Float[Array, "..."], mask: Array) -> Float[Array, "..."]:
    """Values with mean 0 and variance 1 over the mask; 0 outside."""
    centred = jnp.where(mask, values - token_mean(values, mask), 0.0)
    return centred * jax.lax.rsqrt(token_mean(jnp.square(centred), mask) + 1e-8)
