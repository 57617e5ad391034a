"""Credit for whole answers: one advantage each, relative to the group, at every position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.credit.group import group_advantages, multi_reward_advantages
from jaxrl_rewards.credit.normalise import masked_whiten

Credit = Callable[[Trajectories, Any, Array, Any], Array]
"""`(played, reward, keep, hparams) -> advantages float32 [P, G, T]`, with the whole batch in view.
`reward` is a `RewardOutput` with leaves `[P, G, T]`, `keep` tells which prompts count `[P]`."""


def answer_scores(played: Trajectories, reward: Any) -> Float[Array, "P G"]:
    """Sum of an answer's rewards; NaN (unknown) where its world or reward broke."""
    total = jnp.sum(jnp.where(played.alive, reward.total, 0.0), axis=-1)
    return jnp.where(jnp.any(played.broken, axis=-1), jnp.nan, total)


def group_relative(mode: str = "grpo", epsilon: float = 1e-4, *, whiten: bool = False) -> Credit:
    """Every position gets its answer's advantage over the group (`credit.group_advantages`).

    `whiten` standardises the advantages over all kept answers (REINFORCE++ with a group baseline).
    Answers without a known score get 0 and do not count for the others.
    """

    def credit(played: Trajectories, reward: Any, keep: Bool[Array, "P"], hparams: Any) -> Array:
        scores = answer_scores(played, reward)
        advantage = jax.vmap(lambda s: group_advantages(s, mode=mode, epsilon=epsilon))(scores)
        if whiten:
            known = jnp.isfinite(scores) & keep[:, None]
            advantage = masked_whiten(advantage, known.astype(jnp.float32))
        return jnp.broadcast_to(advantage[..., None], played.alive.shape)

    return credit


def accepted(threshold: float = 0.5) -> Credit:
    """1 for answers whose score reaches `threshold`, else 0.

    With `losses.score_function`: rejection sampling and expert iteration (Anthony et al. 2017,
    RAFT: arXiv 2304.06767), the accepted answers learnt as if they were given.
    """

    def credit(played: Trajectories, reward: Any, keep: Bool[Array, "P"], hparams: Any) -> Array:
        good = (answer_scores(played, reward) >= threshold).astype(jnp.float32)
        return jnp.broadcast_to(good[..., None], played.alive.shape)

    return credit


def decoupled(weights: dict[str, float], epsilon: float = 1e-4) -> Credit:
    """Several rewards, each normalised in its group, then summed by `weights` and standardised over
    the batch (`credit.multi_reward_advantages`, "normalise_then_sum").

    `weights` names the reward's terms; an answer to which a term never applied does not count for
    it. KeyError, naming the terms, at trace time where the reward lacks one.
    """

    def credit(played: Trajectories, reward: Any, keep: Bool[Array, "P"], hparams: Any) -> Array:
        missing = sorted(set(weights) - set(reward.terms))
        if missing:
            raise KeyError(f"the reward has no term {missing[0]!r}; it has {sorted(reward.terms)}")
        broken = jnp.any(played.broken, axis=-1) | ~keep[:, None]

        def score(name: str) -> Float[Array, "P G"]:
            counts = played.alive & reward.applicable[name]
            total = jnp.sum(jnp.where(counts, reward.terms[name], 0.0), axis=-1)
            return jnp.where(jnp.any(counts, axis=-1) & ~broken, total, jnp.nan)

        scores = jnp.stack([score(name) for name in weights], axis=-1)
        prompts, answers, count = scores.shape
        advantage = multi_reward_advantages(
            scores.reshape(-1, count),
            jnp.asarray(list(weights.values()), jnp.float32),
            jnp.repeat(jnp.arange(prompts), answers),
            prompts,
            aggregation="normalise_then_sum",
            epsilon=epsilon,
        )
        return jnp.broadcast_to(advantage.reshape(prompts, answers, 1), played.alive.shape)

    return credit
