"""Running standardisation per reward term, so that weights mean the same for every term."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Record, record
from jaxrl_rewards.core.believable import believable, within_reach
from jaxrl_rewards.rewards.base import Reward


@record
class TermStatistics(Record):
    """Count, mean and sum of squared deviations per term, over the steps where it applied."""

    count: dict[str, Float[Array, ""]]
    mean: dict[str, Float[Array, ""]]
    squares: dict[str, Float[Array, ""]]


def init_term_statistics(names: tuple[str, ...]) -> TermStatistics:
    """Empty statistics for the terms `names`."""
    zeros = {name: jnp.zeros((), jnp.float32) for name in names}
    return TermStatistics(count=zeros, mean=dict(zeros), squares=dict(zeros))


def update_term_statistics(
    statistics: TermStatistics,
    terms: dict[str, Float[Array, "..."]],
    applicable: dict[str, Bool[Array, "..."]],
) -> TermStatistics:
    """Merge a batch of any shape (Chan et al. 1979, parallel variance); masked steps are left out.

    Values that are not finite or huge (`core.believable`) are left out, those far off all others
    count as the farthest that is believed; where a term never applies it stays as it was.
    """

    def merge(count, mean, squares, value, mask):
        mask = mask & believable(value)
        n = jnp.sum(mask, dtype=jnp.float32)
        safe_n = jnp.maximum(n, 1.0)
        value = within_reach(jnp.where(mask, value, 0.0), count, mean, squares)
        batch_mean = jnp.sum(value) / safe_n
        batch_squares = jnp.sum(jnp.where(mask, jnp.square(value - batch_mean), 0.0))
        total = jnp.maximum(count + n, 1.0)
        delta = batch_mean - mean
        new_mean = mean + delta * n / total
        new_squares = squares + batch_squares + jnp.square(delta) * count * n / total
        return count + n, new_mean, new_squares

    merged = {
        name: merge(
            statistics.count[name],
            statistics.mean[name],
            statistics.squares[name],
            terms[name],
            applicable[name],
        )
        for name in statistics.count
    }
    count, mean, squares = ({n: m[i] for n, m in merged.items()} for i in range(3))
    return TermStatistics(count=count, mean=mean, squares=squares)


def normalise_terms(
    statistics: TermStatistics,
    terms: dict[str, Float[Array, "..."]],
    *,
    centre: bool = False,
    epsilon: float = 1e-6,
) -> dict[str, Float[Array, "..."]]:
    """Divide each term by its running standard deviation, after subtracting its mean if `centre`.

    With fewer than two observations, or a deviation below `epsilon`, a term is left unscaled.
    """

    def scale(name, value):
        variance = statistics.squares[name] / jnp.maximum(statistics.count[name], 1.0)
        known = (statistics.count[name] >= 2.0) & (variance > epsilon**2)
        deviation = jnp.where(known, jnp.sqrt(jnp.where(known, variance, 1.0)), 1.0)
        return (value - (statistics.mean[name] if centre else 0.0)) / deviation

    return {name: scale(name, value) for name, value in terms.items()}


def normalised_total(
    reward: Reward,
    statistics: TermStatistics,
    terms: dict[str, Float[Array, "..."]],
    applicable: dict[str, Bool[Array, "..."]],
    *,
    centre: bool = False,
) -> Float[Array, "..."]:
    """The reward's weighted sum over standardised terms; any batch shape."""
    scaled = normalise_terms(jax.lax.stop_gradient(statistics), terms, centre=centre)
    return reward.combine(scaled, applicable)
