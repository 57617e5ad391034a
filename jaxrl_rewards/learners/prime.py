"""PRIME as parts of a group learner: an implicit process reward model learns beside the policy.

    parts = prime(env, network, learning_rate=1e-6)
    learner = make_group(env, config, network=network, **parts)

Cui et al. 2025, arXiv 2502.01456.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.credit.outcome import Credit
from jaxrl_rewards.credit.process import process_relative, prompt_filter
from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.learners.api import Metrics
from jaxrl_rewards.learners.group import Partner, Scorer, log_probs
from jaxrl_rewards.learners.optimise import WHOLE, Groups, adam, guarded_step
from jaxrl_rewards.networks.actor_critic import ActorCritic
from jaxrl_rewards.reward_models.implicit import (
    implicit_cross_entropy,
    implicit_logits,
    implicit_rewards,
)
from jaxrl_rewards.rewards.base import RewardOutput


class PrimeParts(TypedDict):
    """What `make_group` takes."""

    score: Scorer
    credit: Credit
    partner: Partner


LogProb = Callable[[Any, Trajectories, Any], Array]
"""`(params, played, hparams) -> log-probabilities of the actions [P, G, T]`."""


def prime(
    env: Any,
    network: ActorCritic,
    *,
    learning_rate: float | Array = 1e-6,
    beta: float | Array = 0.05,
    norm: str = "batch",
    granularity: str = "token",
    lower: float | Array = 0.2,
    upper: float | Array = 0.8,
    outcome_term: str = "correct",
    variant: str = "paper",
    discount: float | Array = 1.0,
    process_coefficient: float | Array = 1.0,
    max_grad_norm: float | Array = 10.0,
) -> PrimeParts:
    """`score`, `credit` and `partner` for `make_group(env, ..., network=network, **parts)`.

    The reward model is a second copy of the policy, the reference the first one; all three start
    from the same parameters. Rewards of tokens (term "process") come from the model before its
    step of the update ("after" in the official code). Prompts whose mean of `outcome_term` lies
    outside [lower, upper] move neither policy nor model. The policy's temperature is used in the
    model's log-probabilities too.
    """
    head = action_head(env.spec.action_space)

    def log_prob(params: Any, played: Trajectories, hparams: Any) -> Float[Array, "P G T"]:
        return jnp.sum(log_probs(params, network, head, played, hparams.temperature), axis=-1)

    score = implicit_scorer(
        log_prob, beta, norm, granularity, outcome_term=outcome_term, bounds=(lower, upper)
    )
    credit = process_relative(
        outcome_term,
        variant=variant,
        discount=discount,
        process_coefficient=process_coefficient,
    )
    partner = implicit_partner(
        log_prob,
        beta,
        learning_rate,
        max_grad_norm,
        outcome_term=outcome_term,
        groups=network.groups,
    )
    return {"score": score, "credit": credit, "partner": partner}


def implicit_scorer(
    log_prob: LogProb,
    beta: float | Array = 0.05,
    norm: str = "batch",
    granularity: str = "token",
    *,
    outcome_term: str = "correct",
    bounds: tuple[float | Array, float | Array] = (0.2, 0.8),
) -> Scorer:
    """The world's reward with the further term "process": the partner's implicit rewards against
    the reference. Prompts with a mean outcome outside `bounds` are dropped."""

    def score(
        played: Trajectories, models: dict[str, Any], hparams: Any
    ) -> tuple[RewardOutput, Bool[Array, "P"]]:
        process = implicit_rewards(
            log_prob(models["partner"]["params"], played, hparams),
            log_prob(models["reference"], played, hparams),
            played.own.astype(jnp.float32),
            beta,
            norm=norm,
            granularity=granularity,
        )
        reward = RewardOutput(
            total=played.reward,
            terms={**played.terms, "process": process},
            applicable={**played.applicable, "process": played.own},
        )
        return reward, prompt_filter(_outcomes(played, outcome_term), *bounds)

    return score


def implicit_partner(
    log_prob: LogProb,
    beta: float | Array = 0.05,
    learning_rate: float | Array = 1e-6,
    max_grad_norm: float | Array = 10.0,
    *,
    outcome_term: str = "correct",
    groups: Groups = WHOLE,
) -> Partner:
    """A copy of the policy that is fitted to the outcomes of kept prompts, one Adam step each."""
    optimiser = adam(1e-8)

    def init(key: jax.Array, params: Any) -> Any:
        own = jax.tree.map(jnp.copy, params)
        return {"params": own, "opt_state": optimiser.init(own)}

    def update(
        model: Any, played: Trajectories, keep: Bool[Array, "P"], models: Any, hparams: Any
    ) -> tuple[Any, Metrics]:
        own, outcome = played.own.astype(jnp.float32), _outcomes(played, outcome_term)
        reference = log_prob(models["reference"], played, hparams)
        weight = jnp.broadcast_to(keep[:, None], outcome.shape).astype(jnp.float32)

        def loss(params: Any) -> tuple[Array, Array]:
            current = log_prob(params, played, hparams)
            logit = implicit_logits(current, reference, own, beta)
            return implicit_cross_entropy(current, reference, outcome, own, beta, weight), logit

        (value, logit), grads = jax.value_and_grad(loss, has_aux=True)(model["params"])
        step = guarded_step(
            optimiser,
            model["params"],
            model["opt_state"],
            grads,
            learning_rate,
            max_grad_norm,
            groups=groups,
            clip_together=True,
            enabled=jnp.any(keep),
        )
        kept = jnp.maximum(jnp.sum(weight), 1.0)
        told = {
            "prm_loss": value,
            "prm_probability": jnp.sum(weight * jax.nn.sigmoid(logit)) / kept,
            "prm_outcome": jnp.sum(weight * outcome) / kept,
        }
        return {"params": step.params, "opt_state": step.opt_state}, told

    return Partner(init, update)


def _outcomes(played: Trajectories, term: str) -> Float[Array, "P G"]:
    return jnp.sum(jnp.where(played.alive, played.terms[term], 0.0), axis=-1)


__all__ = ["PrimeParts", "implicit_partner", "implicit_scorer", "prime"]
