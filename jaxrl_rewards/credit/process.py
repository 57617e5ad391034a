"""Credit from outcome and process rewards together, against the others of the group.

PRIME: Cui et al. 2025, arXiv 2502.01456, Algorithm 1.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.credit.checks import at_least_float32, keep_where, one_of, same_shape
from jaxrl_rewards.credit.normalise import masked_whiten
from jaxrl_rewards.credit.outcome import Credit

VARIANTS = ("paper", "official")


def discounted_to_go(
    values: Float[Array, "... T"], mask: Float[Array, "... T"], discount: float | Array = 1.0
) -> Float[Array, "... T"]:
    """G_t = v_t + γ G_{t+1} over the positions with mask 1; 0 elsewhere, where the running return
    passes undiscounted."""
    same_shape(values=values, mask=mask)
    (values,) = at_least_float32(values)
    (values,) = keep_where(mask > 0, values)

    def step(running: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        value, keep = inputs
        running = jnp.where(keep > 0, value + discount * running, running)
        return running, jnp.where(keep > 0, running, 0.0)

    backwards = (jnp.moveaxis(values, -1, 0), jnp.moveaxis(mask, -1, 0))
    _, returns = jax.lax.scan(step, jnp.zeros_like(values[..., 0]), backwards, reverse=True)
    return jnp.moveaxis(returns, 0, -1)


def prime_group(
    process: Float[Array, "G T"],
    outcome: Float[Array, "G"],
    mask: Float[Array, "G T"],
    discount: float | Array = 1.0,
    process_coefficient: float | Array = 1.0,
    *,
    variant: str = "paper",
) -> Float[Array, "G T"]:
    """Advantages of one group's tokens, not whitened; 0 under mask 0.

    "paper":    (r_o^i − mean_{j≠i} r_o^j) + c Σ_{s≥t} γ^{s−t} [r_s^i − mean_{j≠i} r̄^j], where r̄ is
                a response's mean token reward;
    "official": the discounted sum of both rewards, the outcome's on the last token, each as
                r_t G/(G − 1) − Σ_j r̄^j/(G − 1).

    The two agree for whole-sequence rewards with γ = 1. The others are all of them: G ≥ 2.
    """
    one_of("variant", variant, VARIANTS)
    same_shape(process=process, mask=mask)
    process, outcome = at_least_float32(process, outcome)
    (process,) = keep_where(mask > 0, process)
    size = process.shape[0]
    if size < 2:
        raise ValueError(f"a group of {size} has no others to compare with; use at least 2 answers")
    length = jnp.maximum(jnp.sum(mask > 0, axis=-1), 1)
    mean = jnp.sum(process, axis=-1) / length
    if variant == "paper":
        baseline = (jnp.sum(mean) - mean) / (size - 1)
        own = outcome - (jnp.sum(outcome) - outcome) / (size - 1)
        returns = discounted_to_go(process - baseline[:, None], mask, discount)
        return jnp.where(mask > 0, own[:, None] + process_coefficient * returns, 0.0)
    left = (process * size - jnp.sum(mean)) / (size - 1)
    last = (mask > 0) & (jnp.cumsum(mask[:, ::-1] > 0, axis=-1)[:, ::-1] == 1)
    centred = (outcome * size - jnp.sum(outcome)) / (size - 1)
    both = process_coefficient * left + jnp.where(last, centred[:, None], 0.0)
    return discounted_to_go(both, mask, discount)


def prime_advantage(
    process: Float[Array, "B T"],
    outcome: Float[Array, "B"],
    mask: Float[Array, "B T"],
    group_size: int,
    discount: float | Array = 1.0,
    process_coefficient: float | Array = 1.0,
    *,
    variant: str = "paper",
    whiten: bool = True,
) -> Float[Array, "B T"]:
    """`prime_group` over rows of which `group_size` follow each other per prompt.

    `whiten` standardises over all valid tokens (ddof 1), a constant advantage to 0. ValueError for
    group_size < 2 or rows that are no whole groups.
    """
    if group_size < 2 or process.shape[0] % group_size:
        raise ValueError(
            f"{process.shape[0]} rows are no whole groups of group_size={group_size}, at least 2"
        )
    rows = (-1, group_size, process.shape[-1])

    def one(process: Array, outcome: Array, mask: Array) -> Array:
        return prime_group(process, outcome, mask, discount, process_coefficient, variant=variant)

    advantage = jax.vmap(one)(
        process.reshape(rows), outcome.reshape(-1, group_size), mask.reshape(rows)
    ).reshape(process.shape)
    return jnp.where(mask > 0, masked_whiten(advantage, mask), 0.0) if whiten else advantage


def prompt_filter(
    outcome: Float[Array, "P K"],
    lower: float | Array = 0.2,
    upper: float | Array = 0.8,
    truncated: Bool[Array, "P K"] | None = None,
) -> Bool[Array, "P"]:
    """Prompts whose mean outcome lies in [lower, upper]; with `truncated`, those only that have no
    response cut by the length limit. A prompt with an unknown outcome (NaN) is dropped."""
    (outcome,) = at_least_float32(outcome)
    mean = jnp.mean(outcome, axis=-1)
    # a mean of float32 outcomes must not miss a bound it stands on
    keep = (mean >= lower - 1e-6) & (mean <= upper + 1e-6)
    return keep if truncated is None else keep & ~jnp.any(truncated, axis=-1)


def process_relative(
    outcome_term: str = "correct",
    process_term: str = "process",
    *,
    variant: str = "paper",
    discount: float | Array = 1.0,
    process_coefficient: float | Array = 1.0,
    whiten: bool = True,
) -> Credit:
    """PRIME's advantages as a group learner's credit.

    Reads two terms of the reward: `outcome_term`, summed over the answer, and `process_term`, per
    token. Only the answer's own tokens count; whitening is over those of kept prompts.
    """

    def credit(played: Trajectories, reward: Any, keep: Bool[Array, "P"], hparams: Any) -> Array:
        own = played.own.astype(jnp.float32)
        outcome = jnp.sum(jnp.where(played.alive, reward.terms[outcome_term], 0.0), axis=-1)

        def one(process: Array, outcome: Array, mask: Array) -> Array:
            return prime_group(
                process, outcome, mask, discount, process_coefficient, variant=variant
            )

        advantage = jax.vmap(one)(reward.terms[process_term], outcome, own)
        mask = own * keep[:, None, None]
        return jnp.where(mask > 0, masked_whiten(advantage, mask) if whiten else advantage, 0.0)

    return credit
