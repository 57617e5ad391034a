"""A process reward model on a decoder: the value head says whether a step is right.

    learner = make_fit(network.init, step_loss(network), batch, data=labelled, batch_size=32)
    score = step_scorer(step_scores(network, "process"), kind="clip_delta")   # for make_group

The scorer's model is an entry of `LearnerState.models`; a frozen one is put there by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import Trajectories, record
from jaxrl_rewards.learners.api import Metrics
from jaxrl_rewards.losses.aggregate import token_mean
from jaxrl_rewards.networks.actor_critic import ActorCritic
from jaxrl_rewards.networks.language_policy import observed_token


@record
class LabelledSteps:
    """Texts whose steps are labelled; leaves `[N, T]`."""

    tokens: Int[Array, "N T"]
    label: Float[Array, "N T"]
    """Chance that the step that ends with this token is right, 0 to 1."""
    judged: Bool[Array, "N T"]
    """Whether a labelled step ends with this token; `label` is ignored elsewhere, NaN included."""
    ends: Bool[Array, "N T"]
    """Whether a text ends with this token; memory is cut there."""


def step_loss(
    network: ActorCritic,
) -> Callable[[Any, LabelledSteps, Any], tuple[Array, Metrics]]:
    """`(params, texts, hparams) -> (binary cross-entropy per labelled step, metrics)` for
    `make_fit` (Lightman et al. 2023, arXiv 2305.20050; soft labels as in Math-Shepherd)."""

    def loss(params: Any, texts: LabelledSteps, hparams: Any) -> tuple[Array, Metrics]:
        logit = step_logits(network, params, texts.tokens, texts.ends)
        label = jnp.where(texts.judged, texts.label, 0.0)
        error = -label * jax.nn.log_sigmoid(logit) - (1.0 - label) * jax.nn.log_sigmoid(-logit)
        right = (logit > 0) == (label > 0.5)
        told = {"accuracy": token_mean(right.astype(jnp.float32), texts.judged)}
        return token_mean(error, texts.judged), told

    return loss


def step_logits(
    network: ActorCritic, params: Any, tokens: Int[Array, "N T"], ends: Bool[Array, "N T"]
) -> Float[Array, "N T"]:
    """Logit that the step which ends with each token is right, given all before it."""
    return network.unroll(params, tokens.T, None, ends.T)[1].T


def step_scores(
    network: ActorCritic, model: str = "process"
) -> Callable[[Trajectories, dict[str, Any], Any], Float[Array, "P G T"]]:
    """`(played, models, hparams) -> chance [P, G, T]` that the answer is right up to and with the
    token of each position, by `models[model]`; for `credit.step_scorer`."""

    def scores(played: Trajectories, models: dict[str, Any], hparams: Any) -> Array:
        lead = played.alive.shape[:2]
        text = whole_text(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), played))
        logit = step_logits(network, models[model], text, jnp.zeros(text.shape, bool))
        return jax.nn.sigmoid(logit[:, 1:]).reshape(*lead, -1)

    return scores


def whole_text(played: Trajectories) -> Int[Array, "B T+1"]:
    """The tokens of rows `[B, T]` of a token world: the first one shown, then what followed each.

    What followed is the action where it was the policy's own, else what the world showed next.
    """
    shown = observed_token(played.obs)
    after = jnp.concatenate([shown[:, 1:], played.action[:, -1:].astype(shown.dtype)], axis=1)
    follows = jnp.where(played.own, played.action.astype(shown.dtype), after)
    return jnp.concatenate([shown[:, :1], follows], axis=1)
