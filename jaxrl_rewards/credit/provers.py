"""Progress as a reward: how much a step changes the chance of success under another policy.

Process advantage verifiers (Setlur et al. 2024, arXiv 2410.08146). π is the policy that learns, μ
the prover; Q(s, a) is the chance of success after step a, V(s) = E_a Q(s, a).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.credit.checks import at_least_float32, keep_where, same_shape
from jaxrl_rewards.credit.group import group_advantages
from jaxrl_rewards.credit.outcome import Credit, answer_scores


def best_of_k_q(q: Float[Array, "..."], k: float | Array) -> Float[Array, "..."]:
    """1 − (1 − Q)^K, the chance that one of K tries succeeds: the prover Best-of-K(π).

    Exact for small Q (expm1, log1p) and finite at 0 and 1, gradients at Q < 1 included. Q outside
    [0, 1] counts as its nearest end. K may be any number ≥ 1; ValueError for a static K below 1.
    """
    if isinstance(k, int | float) and not k >= 1:
        raise ValueError(f"best of k={k} needs k of at least 1")
    (q,) = at_least_float32(q)
    q = jnp.where(q < 0.0, 0.0, q)  # not `clip`, which halves the gradient at 0
    sure = q >= 1.0
    return jnp.where(sure, 1.0, -jnp.expm1(k * jnp.log1p(-jnp.where(sure, 0.0, q))))


def progress(
    q_prover: Float[Array, "... H"],
    first_value: Float[Array, "..."],
    step_mask: Float[Array, "... H"] | None = None,
) -> Float[Array, "... H"]:
    """A^μ_h = Q^μ(s_h, a_h) − Q^μ(s_{h−1}, a_{h−1}), with V^μ(s_1) before the first step.

    A value is that of the last step before it: appending a step is deterministic. Steps with mask 0
    get 0 and are stepped over. It is an immediate reward: summed over the future it telescopes.
    """
    same_shape(q_prover=q_prover, step_mask=step_mask)
    q_prover, first_value = at_least_float32(q_prover, jnp.asarray(first_value))
    if step_mask is None:
        before = jnp.concatenate([first_value[..., None], q_prover[..., :-1]], axis=-1)
        return q_prover - before
    (q_prover,) = keep_where(step_mask > 0, q_prover)

    def step(value: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        q, keep = inputs
        return jnp.where(keep > 0, q, value), jnp.where(keep > 0, q - value, 0.0)

    order = (jnp.moveaxis(q_prover, -1, 0), jnp.moveaxis(step_mask, -1, 0))
    first = jnp.broadcast_to(first_value, q_prover.shape[:-1])
    return jnp.moveaxis(jax.lax.scan(step, first, order)[1], 0, -1)


def effective_reward(
    q_policy: Float[Array, "..."], advantage_prover: Float[Array, "..."], alpha: float | Array
) -> Float[Array, "..."]:
    """Q^π + α A^μ (eq. 5)."""
    return q_policy + alpha * advantage_prover


class Quality(NamedTuple):
    """What a prover is good for (Theorem 3.1)."""

    distinguishability: Float[Array, ""]
    """E_s Var_{a~π} A^μ."""
    alignment: Float[Array, ""]
    """E_s E_{a~π} A^μ A^π."""


def prover_quality(
    policy: Float[Array, "S A"],
    advantage_prover: Float[Array, "S A"],
    advantage_policy: Float[Array, "S A"],
    states: Float[Array, "S"],
) -> Quality:
    """A step of natural policy gradient with rate γ improves by about γ times the sum of the two.

    `policy` holds π(a | s), `states` the weights of the states, which sum to 1.
    """
    mean = jnp.sum(policy * advantage_prover, axis=1, keepdims=True)
    variance = jnp.sum(policy * jnp.square(advantage_prover - mean), axis=1)
    product = jnp.sum(policy * advantage_prover * advantage_policy, axis=1)
    return Quality(jnp.sum(states * variance), jnp.sum(states * product))


def first_pit(
    q: Float[Array, "... H"],
    high: float | Array = 0.5,
    low: float | Array = 0.0,
    step_mask: Float[Array, "... H"] | None = None,
) -> Int[Array, "..."]:
    """The first step with Q ≤ low after a step with Q > high: where a promising attempt broke;
    H where there is none."""
    same_shape(q=q, step_mask=step_mask)
    valid = jnp.ones(q.shape, bool) if step_mask is None else step_mask > 0
    good = valid & (q > high)
    before = jnp.cumsum(good, axis=-1) - good > 0
    pit = valid & before & (q <= low)
    return jnp.where(jnp.any(pit, axis=-1), jnp.argmax(pit, axis=-1), q.shape[-1])


class Beam(NamedTuple):
    """The prefixes that a beam keeps."""

    scores: Float[Array, "N C"]
    beam: Int[Array, "n"]
    candidate: Int[Array, "n"]


def beam_select(
    q_policy: Float[Array, "N C"],
    q_prover: Float[Array, "N C"],
    value_prover: Float[Array, "N"],
    alpha: float | Array,
    keep: int,
    valid: Bool[Array, "N C"] | None = None,
) -> Beam:
    """The `keep` of N × C candidates with the best effective reward, the best first.

    `value_prover` is V^μ of each prefix. Of equal ones the first is taken; candidates that are not
    `valid` come last, with score −∞. ValueError where fewer than `keep` are given.
    """
    if keep > q_policy.size:
        raise ValueError(f"keep={keep} exceeds the {q_policy.size} candidates")
    scores = effective_reward(q_policy, q_prover - value_prover[:, None], alpha)
    if valid is not None:
        scores = jnp.where(valid, scores, -jnp.inf)
    _, index = jax.lax.top_k(scores.reshape(-1), keep)
    width = q_policy.shape[1]
    return Beam(scores, index // width, index % width)


def progress_policy_loss(
    log_prob: Float[Array, "B H"],
    outcome: Float[Array, "B"],
    advantage_prover: Float[Array, "B H"],
    mask: Float[Array, "B H"],
    alpha: float | Array,
    baseline: Float[Array, "..."] | float = 0.0,
) -> Float[Array, ""]:
    """−mean over rows of Σ_h log π(a_h | s_h) (outcome + α A^μ_h − baseline_h), weights fixed.

    Its gradient estimates eq. 6 of the paper, the outcome in the place of Q^π. `baseline` is a
    number or `[B, H]`. Positions with mask 0 count nothing, NaN included.
    """
    same_shape(log_prob=log_prob, advantage_prover=advantage_prover, mask=mask)
    log_prob, advantage_prover = at_least_float32(log_prob, advantage_prover)
    log_prob, advantage_prover = keep_where(mask > 0, log_prob, advantage_prover)
    weight = outcome[:, None] + alpha * advantage_prover - baseline
    weight = jax.lax.stop_gradient(jnp.where(mask > 0, weight, 0.0))
    return -jnp.mean(jnp.sum(log_prob * weight, axis=-1))


def progress_credit(
    advantage: Callable[[Trajectories, Any], Float[Array, "P G T"]],
    alpha: float | Array = 1.0,
    *,
    mode: str = "rloo",
    term: str | None = None,
) -> Credit:
    """Group credit of the outcome, and α times the progress of every token at that token alone.

    `advantage(played, hparams)` gives A^μ `[P, G, T]`, for every position of a step the step's;
    with `term` None the outcome is the answer's whole reward, else the sum of that term.
    """

    def credit(played: Trajectories, reward: Any, keep: Bool[Array, "P"], hparams: Any) -> Array:
        if term is None:
            scores = answer_scores(played, reward)
        else:
            scores = jnp.sum(jnp.where(played.alive, reward.terms[term], 0.0), axis=-1)
        outcome = jax.vmap(lambda s: group_advantages(s, mode=mode))(scores)
        added = jnp.where(played.own, advantage(played, hparams), 0.0)
        return outcome[..., None] + alpha * jax.lax.stop_gradient(added)

    return credit
