"""Implicit process rewards: a language model fitted to outcomes, read token by token.

PRIME (Cui et al. 2025, arXiv 2502.01456) and its parent (Yuan et al. 2024, arXiv 2412.01981). A
model is trained so that β Σ_t log π_φ(y_t) / π_ref(y_t) tells the outcome of a response; the terms
of the sum then act as rewards of the tokens, without labels of steps.

Arrays are `[..., T]` with a mask; whatever stands under mask 0 is ignored, NaN included, in the
gradient too. Sums are float32 or wider.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.credit.checks import at_least_float32, keep_where, one_of, same_shape


def log_ratios(
    log_prob: Float[Array, "... T"], reference: Float[Array, "... T"], mask: Float[Array, "... T"]
) -> Float[Array, "... T"]:
    """q_t = log π_φ − log π_ref where the mask is 1, else 0."""
    same_shape(log_prob=log_prob, reference=reference, mask=mask)
    log_prob, reference = at_least_float32(log_prob, reference)
    log_prob, reference = keep_where(mask > 0, log_prob, reference)
    return log_prob - reference


def implicit_rewards(
    log_prob: Float[Array, "... T"],
    reference: Float[Array, "... T"],
    mask: Float[Array, "... T"],
    beta: float | Array = 0.05,
    *,
    norm: str = "batch",
    granularity: str = "token",
) -> Float[Array, "... T"]:
    """Rewards of tokens, without gradient (eq. 3 of the paper).

    `norm="beta"` gives β q_t; "batch" gives q_t divided so that the largest return to go of the
    whole array has size 1 (the official trainer; `beta` is not used); "none" gives q_t.
    `granularity="whole"` puts a response's sum on its last token.
    """
    one_of("norm", norm, ("batch", "beta", "none"))
    one_of("granularity", granularity, ("token", "whole"))
    scores = jax.lax.stop_gradient(log_ratios(log_prob, reference, mask))
    if granularity == "whole":
        last = (mask > 0) & (jnp.cumsum(mask[..., ::-1] > 0, axis=-1)[..., ::-1] == 1)
        scores = jnp.where(last, jnp.sum(scores, axis=-1, keepdims=True), 0.0)
    if norm == "batch":
        return batch_normalise(scores)
    return beta * scores if norm == "beta" else scores


def batch_normalise(scores: Float[Array, "... T"], epsilon: float = 1e-6) -> Float[Array, "... T"]:
    """Scores divided by `max |return to go| + ε` over the whole array; all-zero scores stay 0."""
    (scores,) = at_least_float32(scores)
    to_go = jnp.cumsum(scores[..., ::-1], axis=-1)
    return scores / (jnp.max(jnp.abs(to_go), initial=0.0) + epsilon)


def implicit_logits(
    log_prob: Float[Array, "... T"],
    reference: Float[Array, "... T"],
    mask: Float[Array, "... T"],
    beta: float | Array = 0.05,
) -> Float[Array, "..."]:
    """z = β Σ_t q_t, the logit of a response being right."""
    return beta * jnp.sum(log_ratios(log_prob, reference, mask), axis=-1)


def implicit_cross_entropy(
    log_prob: Float[Array, "... T"],
    reference: Float[Array, "... T"],
    outcome: Float[Array, "..."],
    mask: Float[Array, "... T"],
    beta: float | Array = 0.05,
    weight: Float[Array, "..."] | None = None,
) -> Float[Array, ""]:
    """−mean[r log σ(z) + (1 − r) log(1 − σ(z))] over responses, r in [0, 1].

    `weight` (0 for responses that do not count, whatever their outcome says) makes it a weighted
    mean, 0 where all weights are. The logit has no bias: unbalanced outcomes push all tokens.
    """
    logit = implicit_logits(log_prob, reference, mask, beta)
    weight = jnp.ones_like(logit) if weight is None else weight
    outcome = jnp.where(weight > 0, outcome, 0.0)
    loss = -outcome * jax.nn.log_sigmoid(logit) - (1.0 - outcome) * jax.nn.log_sigmoid(-logit)
    total = jnp.sum(jnp.where(weight > 0, weight * loss, 0.0))
    return total / jnp.maximum(jnp.sum(weight), 1e-9)


def implicit_preference(
    log_prob: Float[Array, "G T"],
    reference: Float[Array, "G T"],
    outcome: Float[Array, "G"],
    mask: Float[Array, "G T"],
    beta: float | Array = 0.05,
) -> Float[Array, ""]:
    """−mean of log σ(z_i − z_j) over the pairs of one group with outcome_i > outcome_j (DPO,
    Rafailov et al. 2023, over all pairs); 0 where there is no such pair. Lift with `vmap`."""
    logit = implicit_logits(log_prob, reference, mask, beta)
    pair = outcome[:, None] > outcome[None, :]
    loss = -jax.nn.log_sigmoid(logit[:, None] - logit[None, :])
    return jnp.sum(jnp.where(pair, loss, 0.0)) / jnp.maximum(jnp.sum(pair), 1)


def pairwise_accuracy(
    scores: Float[Array, "B T"],
    outcome: Float[Array, "B"],
    mask: Float[Array, "B T"],
    group_size: int,
) -> Float[Array, ""]:
    """Share of the pairs of a group with different outcomes that the sums of scores rank rightly
    (an equal sum is ranked wrongly), .5 for a group without such pairs; mean over groups."""
    groups(scores.shape[0], group_size)
    total = jnp.sum(jnp.where(mask > 0, scores, 0.0), axis=-1).reshape(-1, group_size)
    outcome = outcome.reshape(-1, group_size)
    pair = outcome[:, :, None] > outcome[:, None, :]
    right = jnp.sum(pair & (total[:, :, None] > total[:, None, :]), axis=(1, 2))
    count = jnp.sum(pair, axis=(1, 2))
    return jnp.mean(jnp.where(count > 0, right / jnp.maximum(count, 1), 0.5))


def groups(rows: int, group_size: int) -> int:
    """Number of groups; ValueError where there are fewer than two answers each or rows are left."""
    if group_size < 2:
        raise ValueError(
            f"group_size={group_size}: an answer is compared with the others of its group; use at "
            "least 2"
        )
    if rows % group_size:
        raise ValueError(f"{rows} rows are no whole groups of group_size={group_size}")
    return rows // group_size


def check_outcomes(outcome: Any) -> None:
    """ValueError for host values outside [0, 1] or NaN."""
    import numpy as np

    values = np.asarray(outcome, np.float64)
    bad = values[~((values >= 0.0) & (values <= 1.0))]
    if bad.size:
        raise ValueError(f"outcomes must lie in [0, 1], got {bad.flat[0]}; mend the verifier")
