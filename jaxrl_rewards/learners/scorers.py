"""Scorers of group learners that are made of other scorers.

score = mixed_groups(overlong(outcome, max_length=96, buffer=16))
make_group(env, config, score=score, ...)
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.credit.outcome import answer_scores
from jaxrl_rewards.credit.penalties import overlong_penalty
from jaxrl_rewards.learners.group import Scorer
from jaxrl_rewards.rewards.base import RewardOutput


def mixed_groups(score: Scorer, low: float = 0.0, high: float = 1.0, *, tolerance: float = 1e-6):
    """Keep prompts whose answers' mean score lies in `[low, high]` and whose scores differ: the
    others teach nothing (dynamic sampling, DAPO, arXiv 2503.14476, section 3.2)."""

    def filtered(played: Trajectories, models: dict[str, Any], hparams: Any):
        reward, keep = score(played, models, hparams)
        scores = answer_scores(played, reward)
        known = jnp.isfinite(scores)
        count = jnp.maximum(jnp.sum(known, axis=1), 1)
        mean = jnp.sum(jnp.where(known, scores, 0.0), axis=1) / count
        most = jnp.max(jnp.where(known, scores, -jnp.inf), axis=1)
        least = jnp.min(jnp.where(known, scores, jnp.inf), axis=1)
        return reward, keep & (most - least > tolerance) & (mean >= low) & (mean <= high)

    return filtered


def overlong(score: Scorer, max_length: float, buffer: float, factor: float = 1.0) -> Scorer:
    """Add DAPO's penalty for long answers (`credit.overlong_penalty`) to their last own token, as
    the term "overlong"."""

    def penalised(played: Trajectories, models: dict[str, Any], hparams: Any):
        reward, keep = score(played, models, hparams)
        length = jnp.cumsum(played.own, axis=-1)
        last = played.own & (length == length[..., -1:])
        penalty = overlong_penalty(length.astype(jnp.float32), max_length, buffer, factor)
        penalty = jnp.where(last, penalty, 0.0)
        return RewardOutput(
            total=reward.total + penalty,
            terms={**reward.terms, "overlong": penalty},
            applicable={**reward.applicable, "overlong": last},
        ), keep

    return penalised
