"""Step rewards from a process reward model that cannot be piled up: Clip and Delta.

Gao et al. 2024, arXiv 2410.15115. The sum of plain scores grows with the number of steps, so that
a policy learns to repeat a step that scores well. Clip keeps what is below a mean, Delta takes
differences that telescope.

Arrays are `[..., K]` over the steps of a response, with a mask that is 1 on its first steps; what
stands under mask 0 is ignored, NaN included, and gets 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.credit.checks import at_least_float32, keep_where, one_of, same_shape
from jaxrl_rewards.credit.normalise import masked_whiten
from jaxrl_rewards.credit.outcome import Credit
from jaxrl_rewards.rewards.base import RewardOutput

KINDS = ("raw", "clip", "delta", "clip_delta")


def eta_from_batch(
    scores: Float[Array, "B K"],
    step_mask: Float[Array, "B K"],
    group_id: Int[Array, "B"],
    num_groups: int | None = None,
) -> Float[Array, "B"]:
    """η of every row: the mean score of all steps of all responses to its question; 0 where the
    question has no step. `num_groups` bounds the ids from above; B when None."""
    same_shape(scores=scores, step_mask=step_mask)
    (scores,) = at_least_float32(scores)
    (scores,) = keep_where(step_mask > 0, scores)
    size = scores.shape[0] if num_groups is None else num_groups
    total = jax.ops.segment_sum(jnp.sum(scores, axis=-1), group_id, size)
    steps = jnp.sum(step_mask > 0, axis=-1)
    count = jax.ops.segment_sum(steps.astype(scores.dtype), group_id, size)
    return (total / jnp.maximum(count, 1.0))[group_id]


def clip_reward(
    scores: Float[Array, "... K"], step_mask: Float[Array, "... K"], eta: float | Array
) -> Float[Array, "... K"]:
    """min(P_k − η, 0): only steps below η are punished. η is a number or one per row `[...]`."""
    same_shape(scores=scores, step_mask=step_mask)
    (scores,) = at_least_float32(scores)
    (scores,) = keep_where(step_mask > 0, scores)
    eta = jnp.asarray(eta, scores.dtype)
    eta = eta[..., None] if eta.ndim else eta
    return jnp.where(step_mask > 0, jnp.minimum(scores - eta, 0.0), 0.0)


def delta_reward(
    rewards: Float[Array, "... K"], step_mask: Float[Array, "... K"]
) -> Float[Array, "... K"]:
    """r_k − r_{k+1} for k < K − 1, r_{K−1} for the step before the last, 0 for the last, K being
    the row's own number of steps: the return from step k on is r_k (0 for the last)."""
    same_shape(rewards=rewards, step_mask=step_mask)
    (rewards,) = at_least_float32(rewards)
    (rewards,) = keep_where(step_mask > 0, rewards)
    place = jnp.arange(rewards.shape[-1])
    count = jnp.sum(step_mask > 0, axis=-1, keepdims=True)
    kept = jnp.where(place < count - 1, rewards, 0.0)
    following = jnp.concatenate([kept[..., 1:], jnp.zeros_like(kept[..., :1])], axis=-1)
    return kept - following


def clip_delta_reward(
    scores: Float[Array, "... K"], step_mask: Float[Array, "... K"], eta: float | Array
) -> Float[Array, "... K"]:
    """Delta of the clipped rewards (in this order)."""
    return delta_reward(clip_reward(scores, step_mask, eta), step_mask)


def step_rewards(
    scores: Float[Array, "... K"], step_mask: Float[Array, "... K"], kind: str, eta: float | Array
) -> Float[Array, "... K"]:
    """The rewards of one of `KINDS`; "raw" is the scores themselves."""
    one_of("kind", kind, KINDS)
    if kind == "raw":
        return keep_where(step_mask > 0, *at_least_float32(scores))[0]
    if kind == "delta":
        return delta_reward(scores, step_mask)
    return (clip_reward if kind == "clip" else clip_delta_reward)(scores, step_mask, eta)


def dense_step_reward(
    rewards: Float[Array, "... K"],
    correct: Float[Array, "..."],
    step_mask: Float[Array, "... K"],
    alpha: float | Array,
) -> Float[Array, "... K"]:
    """α r_k on every step, and the outcome on the last; a response without a step gets nothing."""
    same_shape(rewards=rewards, step_mask=step_mask)
    (rewards,) = at_least_float32(rewards)
    (rewards,) = keep_where(step_mask > 0, rewards)
    count = jnp.sum(step_mask > 0, axis=-1, keepdims=True)
    last = (step_mask > 0) & (jnp.arange(rewards.shape[-1]) == count - 1)
    return alpha * rewards + jnp.where(last, jnp.asarray(correct)[..., None], 0.0)


def reward_to_go(
    rewards: Float[Array, "... K"], step_mask: Float[Array, "... K"]
) -> Float[Array, "... K"]:
    """Undiscounted sum of the rewards from each step on; 0 under mask 0."""
    same_shape(rewards=rewards, step_mask=step_mask)
    (rewards,) = at_least_float32(rewards)
    (rewards,) = keep_where(step_mask > 0, rewards)
    to_go = jnp.cumsum(rewards[..., ::-1], axis=-1)[..., ::-1]
    return jnp.where(step_mask > 0, to_go, 0.0)


def scatter_steps_to_tokens(
    rewards: Float[Array, "... K"],
    step_end: Int[Array, "... K"],
    step_mask: Float[Array, "... K"],
    length: int,
) -> Float[Array, "... T"]:
    """Rewards of steps on the last token of each: `[..., length]`.

    `step_end` holds token positions; masked steps and positions outside the response are dropped.
    """
    same_shape(rewards=rewards, step_end=step_end, step_mask=step_mask)
    inside = (step_mask > 0) & (step_end >= 0) & (step_end < length)

    def one(reward: Array, place: Array, inside: Array) -> Array:
        target = jnp.where(inside, place, length)
        values = jnp.where(inside, reward, 0.0)
        return jnp.zeros((length,), rewards.dtype).at[target].add(values, mode="drop")

    flat = [leaf.reshape(-1, rewards.shape[-1]) for leaf in (rewards, step_end, inside)]
    return jax.vmap(one)(*flat).reshape(*rewards.shape[:-1], length)


def steps_of_tokens(
    values: Float[Array, "... T"], end: Bool[Array, "... T"], limit: int
) -> tuple[Array, Int[Array, "... K"], Bool[Array, "... K"]]:
    """`(values, positions, mask)` of the first `limit` steps, read where `end` is true."""
    place = jnp.arange(values.shape[-1])

    def one(value: Array, end: Array) -> tuple[Array, Array, Array]:
        target = jnp.where(end, jnp.cumsum(end) - 1, limit)
        found = jnp.zeros((limit,), values.dtype).at[target].set(value, mode="drop")
        position = jnp.zeros((limit,), jnp.int32).at[target].set(place, mode="drop")
        return found, position, jnp.arange(limit) < jnp.sum(end)

    size = values.shape[-1]
    found = jax.vmap(one)(values.reshape(-1, size), end.reshape(-1, size))
    return tuple(leaf.reshape(*values.shape[:-1], limit) for leaf in found)


def step_scorer(
    scores: Callable[[Trajectories, dict[str, Any], Any], Float[Array, "P G T"]],
    *,
    kind: str = "clip_delta",
    alpha: float | Array = 0.02,
    max_steps: int = 32,
) -> Callable[..., tuple[RewardOutput, Bool[Array, "P"]]]:
    """A scorer: the reward of the world + α times the refined scores of a process reward model.

    `scores(played, models, hparams)` gives the model's score of the prefix that ends at each
    position; it is read where a decision unit ends (`played.turn` changes). η is the mean over the
    prompt's steps. The reward has the further terms "process" (as refined, before α) and "prm".
    Steps beyond `max_steps` are not rewarded.
    """
    one_of("kind", kind, KINDS)

    def score(
        played: Trajectories, models: dict[str, Any], hparams: Any
    ) -> tuple[RewardOutput, Bool[Array, "P"]]:
        said = jax.lax.stop_gradient(scores(played, models, hparams))
        end = unit_ends(played.turn)
        found, place, mask = steps_of_tokens(said, end, max_steps)
        mask = mask.astype(jnp.float32)
        prompts, answers = mask.shape[:2]
        prompt = jnp.repeat(jnp.arange(prompts), answers)
        rows = (prompts * answers, max_steps)
        eta = eta_from_batch(found.reshape(rows), mask.reshape(rows), prompt, prompts)
        refined = step_rewards(found, mask, kind, eta.reshape(prompts, answers))
        tokens = scatter_steps_to_tokens(refined, place, mask, said.shape[-1])
        yes = jnp.broadcast_to(end, tokens.shape)
        reward = RewardOutput(
            total=played.reward + alpha * tokens,
            terms={**played.terms, "process": tokens, "prm": jnp.where(end, said, 0.0)},
            applicable={**played.applicable, "process": yes, "prm": yes},
        )
        return reward, jnp.ones(prompts, bool)

    return score


def unit_ends(turn: Int[Array, "... T"]) -> Bool[Array, "... T"]:
    """The last position of every decision unit: the next one has another number, or none."""
    following = jnp.concatenate([turn[..., 1:], jnp.full_like(turn[..., :1], -1)], axis=-1)
    return (turn >= 0) & (following != turn)


def returns_to_go() -> Credit:
    """Every token gets the sum of the rewards from it on, whitened over all kept tokens."""

    def credit(played: Trajectories, reward: Any, keep: Bool[Array, "P"], hparams: Any) -> Array:
        own = (played.own & keep[:, None, None]).astype(jnp.float32)
        alive = played.alive.astype(jnp.float32)
        returns = reward_to_go(reward.total, alive)
        return jnp.where(own > 0, masked_whiten(returns, own), 0.0)

    return credit
