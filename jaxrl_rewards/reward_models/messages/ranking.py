"""Scores from preferences between messages, and the running moments that scale them.

Source: Zheng et al. 2024 (ONI), arXiv 2410.23022, the online form of Motif (Klissarov et al. 2023).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import InputError, record


@record
class ScoreMoments:
    """Running mean and variance of scores; float32 scalars."""

    mean: Float[Array, ""]
    var: Float[Array, ""]
    count: Float[Array, ""]


def init_score_moments(epsilon: float = 1e-4) -> ScoreMoments:
    """Mean 0 and variance 1 that count as much as `epsilon` scores."""
    if not epsilon > 0:
        raise InputError(f"epsilon must be positive, got {epsilon}")
    return ScoreMoments(
        mean=jnp.zeros((), jnp.float32),
        var=jnp.ones((), jnp.float32),
        count=jnp.asarray(epsilon, jnp.float32),
    )


def update_score_moments(
    moments: ScoreMoments, scores: Float[Array, "N"], mask: Float[Array, "N"] | None = None
) -> ScoreMoments:
    """Merge a batch whose variance is the unbiased one (0 for a single score).

    `δ = μ_b − μ; μ ← μ + δ n_b / n'; var ← (var n + var_b n_b + δ² n n_b / n') / n'` with
    `n' = n + n_b`. Scores under a mask of 0 do not count; an empty batch changes nothing.
    """
    scores = jnp.asarray(scores, jnp.float32)
    mask = jnp.ones_like(scores) if mask is None else jnp.asarray(mask, jnp.float32)
    size = jnp.sum(mask)
    batch_mean = jnp.sum(scores * mask) / jnp.maximum(size, 1.0)
    squares = jnp.sum(mask * jnp.square(scores - batch_mean))
    batch_var = squares / jnp.maximum(size - 1.0, 1.0)
    total = moments.count + size
    delta = batch_mean - moments.mean
    merged = moments.var * moments.count + batch_var * size
    merged = merged + jnp.square(delta) * moments.count * size / total
    return ScoreMoments(mean=moments.mean + delta * size / total, var=merged / total, count=total)


def ranking_loss(
    rewards: Float[Array, "T B 2"],
    labels: Int[Array, "B"],
    mask: Float[Array, "B"] | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`(loss, accuracy)` of scores for B pairs, averaged over T before the comparison.

    `loss = −mean_b Σ_k q_bk log softmax(r_b)_k`, with `q = (1, 0)`, `(0, 1)` or `(½, ½)` for the
    labels 0 (first better), 1 (second better), 2 (tie). The accuracy ignores ties: NaN where
    there is nothing else. InputError for other shapes, and for other labels where they are known
    outside a compiled program.
    """
    rewards = jnp.asarray(rewards, jnp.float32)
    if rewards.ndim != 3 or rewards.shape[-1] != 2:
        raise InputError(f"rewards must have shape (T, B, 2), got {rewards.shape}")
    if jnp.shape(labels) != rewards.shape[1:2]:
        raise InputError(
            f"labels must have shape {rewards.shape[1:2]} like the pairs, got {jnp.shape(labels)}"
        )
    if not isinstance(labels, jax.core.Tracer) and not np.isin(np.asarray(labels), (0, 1, 2)).all():
        raise InputError(f"ranking labels are 0, 1 or 2, got {np.unique(np.asarray(labels))}")
    labels = jnp.asarray(labels)
    mask = jnp.ones(labels.shape, jnp.float32) if mask is None else jnp.asarray(mask, jnp.float32)
    score = jnp.mean(rewards, axis=0)
    tie = labels == 2
    target = jnp.where(tie[:, None], 0.5, jax.nn.one_hot(labels, 2, dtype=jnp.float32))
    entropy = -jnp.sum(target * jax.nn.log_softmax(score, axis=-1), axis=-1)
    loss = jnp.sum(mask * entropy) / jnp.maximum(jnp.sum(mask), 1.0)
    decided = mask * (~tie).astype(jnp.float32)
    correct = (jnp.argmax(score, axis=-1) == labels).astype(jnp.float32)
    number = jnp.sum(decided)
    accuracy = jnp.sum(decided * correct) / jnp.maximum(number, 1.0)
    return loss, jnp.where(number > 0, accuracy, jnp.nan)
