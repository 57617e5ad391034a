"""Advantages relative to the other answers to the same prompt.

`group_advantages` takes one group `[G]` (lift with `vmap`); the `segment_*` functions take a flat
batch with group ids. A mask (or a score that is not finite) marks an answer that could not be
scored: it is left out of the baseline and gets advantage 0. A group whose scores are all equal
gets exactly 0.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_rewards.credit.checks import at_least_float32, keep_where, one_of, same_shape
from jaxrl_rewards.credit.normalise import masked_var, masked_whiten

MODES = ("grpo", "dr_grpo", "rloo", "pass_at_k", "pass_at_k_margin", "opo")


def _scorable(scores: Array, mask: Array | None) -> Array:
    known = jnp.isfinite(scores)
    return known if mask is None else known & (mask > 0)


def group_advantages(
    scores: Float[Array, "G"],
    mask: Float[Array, "G"] | None = None,
    *,
    mode: str = "grpo",
    epsilon: float = 1e-6,
    lengths: Float[Array, "G"] | None = None,
) -> Float[Array, "G"]:
    """Advantages within one group.

    grpo       (s − mean) / (std + ε), std with ddof 1 (DeepSeekMath, arXiv 2402.03300)
    dr_grpo    s − mean (arXiv 2503.20783)
    rloo       s − mean of the others (arXiv 2402.14740)
    pass_at_k  only the best answer: (s_max − s_second) / (std + ε); "pass_at_k_margin" leaves the
               division out
    opo        s − Σ length·s / Σ length; needs `lengths`

    With `rloo`, one answer alone gets 0.
    """
    group = jnp.zeros(scores.shape, jnp.int32)
    return segment_advantages(scores, group, 1, mask, mode=mode, epsilon=epsilon, lengths=lengths)


def segment_advantages(
    scores: Float[Array, "N"],
    group_id: Int[Array, "N"],
    num_groups: int,
    mask: Float[Array, "N"] | None = None,
    *,
    mode: str = "grpo",
    epsilon: float = 1e-6,
    lengths: Float[Array, "N"] | None = None,
    lone_answer: str = "zero",
) -> Float[Array, "N"]:
    """The same for a flat batch whose rows with equal `group_id` in 0 ... num_groups − 1 belong
    together; groups may have different sizes and any order.

    `lone_answer="score"` keeps s / (1 + ε) (grpo) or s (dr_grpo, rloo, opo) for a group of one,
    as verl does; "zero" gives it 0.
    """
    one_of("mode", mode, MODES)
    if mode == "opo" and lengths is None:
        raise ValueError("mode 'opo' needs the answers' lengths")
    one_of("lone_answer", lone_answer, ("zero", "score"))
    same_shape(scores=scores, group_id=group_id, mask=mask, lengths=lengths)
    scores, lengths = at_least_float32(scores, lengths)
    known = _scorable(scores, mask)
    scores = jnp.where(known, scores, 0.0)

    def total(values: Array) -> Array:
        return jax.ops.segment_sum(jnp.where(known, values, 0.0), group_id, num_groups)[group_id]

    highest = jax.ops.segment_max(jnp.where(known, scores, -jnp.inf), group_id, num_groups)
    lowest = jax.ops.segment_min(jnp.where(known, scores, jnp.inf), group_id, num_groups)
    equal = (highest <= lowest)[group_id]  # rounding of the mean must not leak into these
    # All modes ignore a common offset; taking it out first keeps its rounding out of the result.
    raw, offset = scores, jax.lax.stop_gradient(lowest)[group_id]
    scores = jnp.where(known, scores - jnp.where(known, offset, 0.0), 0.0)

    count = total(jnp.ones_like(scores))
    safe_count = jnp.maximum(count, 1.0)
    mean = total(scores) / safe_count
    variance = total(jnp.square(scores - mean)) / jnp.maximum(count - 1.0, 1.0)
    spread = variance > 0.0
    deviation = jnp.where(spread, jnp.sqrt(jnp.where(spread, variance, 1.0)), 0.0)

    if mode == "grpo":
        advantage = (scores - mean) / (deviation + epsilon)
    elif mode == "dr_grpo":
        advantage = scores - mean
    elif mode == "rloo":
        advantage = (scores - mean) * count / jnp.maximum(count - 1.0, 1.0)
    elif mode == "opo":
        weight = jnp.where(known, lengths, 0.0)
        weights = total(weight)
        advantage = scores - total(weight * scores) / jnp.where(weights > 0, weights, 1.0)
    else:
        advantage = _best_over_second(scores, known, group_id, num_groups)
        if mode == "pass_at_k":
            advantage = advantage / (deviation + epsilon)
    advantage = jnp.where(equal & (count > 1), 0.0, advantage)
    if lone_answer == "zero":
        alone = jnp.zeros_like(scores)
    else:
        alone = raw / (1.0 + epsilon) if mode == "grpo" else raw
    advantage = jnp.where(count == 1, alone, advantage)
    return jnp.where(known, advantage, 0.0)


def _best_over_second(scores, known, group_id, num_groups):
    index = jnp.arange(scores.shape[0])
    valued = jnp.where(known, scores, -jnp.inf)
    best = jax.ops.segment_max(valued, group_id, num_groups)[group_id]
    # The first of equally good answers counts as the best.
    first = jax.ops.segment_min(
        jnp.where(valued == best, index, scores.shape[0]), group_id, num_groups
    )[group_id]
    is_best = index == first
    rest = jnp.where(is_best, -jnp.inf, valued)
    second = jax.ops.segment_max(rest, group_id, num_groups)[group_id]
    margin = jnp.where(jnp.isfinite(second) & jnp.isfinite(best), best - second, 0.0)
    return jnp.where(is_best, margin, 0.0)


def multi_reward_advantages(
    rewards: Float[Array, "N K"],
    weights: Float[Array, "K"],
    group_id: Int[Array, "N"],
    num_groups: int,
    *,
    aggregation: str = "sum_then_normalise",
    scale: str = "group",
    epsilon: float = 1e-4,
) -> Float[Array, "N"]:
    """Advantages from several rewards per answer, NaN (or ±inf) where one does not apply.

    "sum_then_normalise": A = (s − mean_g) / (scale + ε) with s the weighted sum over the rewards
    that apply, and `scale` the deviation over the "group", the "batch", or 1 for "none".
    "normalise_then_sum": each reward is standardised in its group first, then the weighted sum is
    standardised over the batch, so that rewards of different size cannot cancel each other.
    Deviations have ddof 1. An answer to which no reward applies gets 0.
    """
    one_of("aggregation", aggregation, ("sum_then_normalise", "normalise_then_sum"))
    one_of("scale", scale, ("group", "batch", "none"))
    if rewards.ndim != 2 or rewards.shape[1] != weights.shape[0]:
        raise ValueError(f"rewards {rewards.shape} do not fit weights {weights.shape}")
    (rewards,) = at_least_float32(rewards)
    applies = jnp.isfinite(rewards)
    scorable = jnp.any(applies, axis=1)
    clean = jnp.where(applies, rewards, 0.0)
    if aggregation == "sum_then_normalise":
        scores = jnp.sum(clean * weights, axis=1)
        mode = "grpo" if scale == "group" else "dr_grpo"
        advantage = segment_advantages(
            scores, group_id, num_groups, scorable, mode=mode, epsilon=epsilon
        )
        if scale == "batch":
            advantage = advantage / (_deviation(scores, scorable) + epsilon)
        return advantage

    def one(column: Array, known: Array) -> Array:
        return segment_advantages(column, group_id, num_groups, known, epsilon=epsilon)

    standardised = jax.vmap(one, in_axes=1, out_axes=1)(clean, applies)
    scores = jnp.sum(standardised * weights, axis=1)
    count = jnp.maximum(jnp.sum(scorable), 1)
    mean = jnp.sum(jnp.where(scorable, scores, 0.0)) / count
    whitened = (scores - mean) / (_deviation(scores, scorable) + epsilon)
    return jnp.where(scorable, whitened, 0.0)


def _deviation(scores: Array, known: Array) -> Array:
    variance = masked_var(scores, known)
    return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)


def rloo_advantages(
    scores: Float[Array, "N"],
    group_id: Int[Array, "N"],
    num_groups: int,
    *,
    normalise: bool = False,
    epsilon: float = 1e-4,
) -> Float[Array, "N"]:
    """`s − mean of the others` per group, NaN scores left out; `normalise` standardises the batch.

    Standardising is over the scorable answers (ddof 1).
    """
    advantage = segment_advantages(scores, group_id, num_groups, mode="rloo")
    if not normalise:
        return advantage
    known = _scorable(scores, None)
    mean = jnp.sum(jnp.where(known, advantage, 0.0)) / jnp.maximum(jnp.sum(known), 1)
    return jnp.where(known, (advantage - mean) / (_deviation(advantage, known) + epsilon), 0.0)


def reinforce_plus_plus(
    rewards: Float[Array, "B T"], mask: Float[Array, "B T"], discount: Float[Array, ""] | float
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
    """`(advantages, returns)`: discounted return per token, cut by the mask, whitened over all
    tokens of the batch (REINFORCE++, arXiv 2501.03262)."""
    same_shape(rewards=rewards, mask=mask)
    (rewards,) = at_least_float32(rewards)
    (rewards,) = keep_where((mask > 0) | jnp.isfinite(rewards), rewards)

    def one(row_rewards, row_mask):
        def step(running, inputs):
            reward, keep = inputs
            running = reward + discount * running
            return jnp.where(keep > 0, running, 0.0), running

        return jax.lax.scan(
            step, jnp.zeros_like(row_rewards[0]), (row_rewards, row_mask), reverse=True
        )[1]

    returns = jax.vmap(one)(rewards, mask)
    advantages = masked_whiten(returns, mask)
    return jnp.where(mask > 0, advantages, 0.0), returns


def reinforce_plus_plus_baseline(
    scores: Float[Array, "B"],
    mask: Float[Array, "B T"],
    group_id: Int[Array, "B"],
    num_groups: int,
) -> Float[Array, "B T"]:
    """`s − mean_g` spread over the tokens, then whitened over all valid tokens of the batch."""
    centred = segment_advantages(scores, group_id, num_groups, mode="dr_grpo", lone_answer="score")
    spread = jnp.broadcast_to(centred[:, None], mask.shape)
    return jnp.where(mask > 0, masked_whiten(spread, mask), 0.0)


def remax(
    rewards: Float[Array, "B T"], baseline: Float[Array, "B"], mask: Float[Array, "B T"]
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
    """`(advantages, returns)`: undiscounted return to go less the greedy answer's score
    (ReMax, arXiv 2310.10505)."""
    same_shape(rewards=rewards, mask=mask)
    masked = jnp.where(mask > 0, rewards, 0.0)
    returns = jnp.cumsum(masked[:, ::-1], axis=1)[:, ::-1]
    return jnp.where(mask > 0, returns - baseline[:, None], 0.0), returns


def reward_spread(scores: Float[Array, "P G"], tolerance: float = 0.0) -> Float[Array, ""]:
    """Share of groups whose scores differ by more than `tolerance`: those that teach anything.

    Scores that are not finite are left out.
    """
    known = jnp.isfinite(scores)
    highest = jnp.max(jnp.where(known, scores, -jnp.inf), axis=1)
    lowest = jnp.min(jnp.where(known, scores, jnp.inf), axis=1)
    return jnp.mean(highest - lowest > tolerance, dtype=jnp.float32)
