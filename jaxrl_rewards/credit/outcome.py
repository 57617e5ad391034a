"""Credit for whole answers: one advantage each, relative to the group, at every position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.credit.group import group_advantages
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
