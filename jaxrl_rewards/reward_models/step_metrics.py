"""How well a process reward model judges steps, as the benchmarks count it."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

AGGREGATES = ("min", "product", "last", "mean")


def first_error(
    scores: Float[Array, "... S"], mask: Bool[Array, "... S"], threshold: float | Array = 0.5
) -> Int[Array, "..."]:
    """Number of the first step whose score lies below the threshold; -1 where none does.

    NaN counts as below; what stands under mask 0 is ignored.
    """
    wrong = mask & ~(scores >= threshold)
    return jnp.where(jnp.any(wrong, axis=-1), jnp.argmax(wrong, axis=-1), -1).astype(jnp.int32)


def first_error_scores(
    predicted: Int[Array, "N"], label: Int[Array, "N"]
) -> dict[str, Float[Array, ""]]:
    """ProcessBench (Zheng et al. 2024, arXiv 2412.06559): `error`, the share of wrong solutions
    whose first wrong step is found; `correct`, the share of right ones (-1) left alone; `f1`, their
    harmonic mean. A part without solutions counts as NaN, and so does `f1` then."""
    hit, wrong = predicted == label, label >= 0

    def share(part: Array) -> Array:
        count = jnp.sum(part)
        found = jnp.sum(hit & part) / jnp.maximum(count, 1)
        return jnp.where(count > 0, found, jnp.nan)

    error, correct = share(wrong), share(~wrong)
    total = error + correct
    f1 = jnp.where(total > 0, 2.0 * error * correct / jnp.where(total > 0, total, 1.0), total)
    return {"error": error, "correct": correct, "f1": f1}


def step_f1(
    predicted: Bool[Array, "..."], label: Bool[Array, "..."], mask: Bool[Array, "..."]
) -> dict[str, Float[Array, ""]]:
    """PRMBench (Song et al. 2025, arXiv 2501.03124): `f1` of right steps, `negative_f1` of wrong
    ones, and `prm_score`, their mean. A class that neither occurs nor is predicted has F1 0."""

    def one(positive: Array, truth: Array) -> Array:
        both = jnp.sum(positive & truth & mask)
        either = jnp.sum(positive & mask) + jnp.sum(truth & mask)
        return jnp.where(either > 0, 2.0 * both / jnp.maximum(either, 1), 0.0)

    f1, negative = one(predicted, label), one(~predicted, ~label)
    return {"f1": f1, "negative_f1": negative, "prm_score": 0.5 * (f1 + negative)}


def answer_score(
    scores: Float[Array, "... S"], mask: Bool[Array, "... S"], how: str = "min"
) -> Float[Array, "..."]:
    """One score of an answer from those of its steps: their min, product, last or mean.

    An answer without steps gets -inf, so that it is never the best of several.
    """
    if how not in AGGREGATES:
        raise ValueError(f"how={how!r} is unknown; use {', '.join(AGGREGATES)}")
    count = jnp.sum(mask, axis=-1)
    if how == "min":
        found = jnp.min(jnp.where(mask, scores, jnp.inf), axis=-1)
    elif how == "product":
        found = jnp.prod(jnp.where(mask, scores, 1.0), axis=-1)
    elif how == "last":
        place = jnp.max(jnp.where(mask, jnp.arange(mask.shape[-1]), 0), axis=-1)
        found = jnp.take_along_axis(scores, place[..., None], axis=-1)[..., 0]
    else:
        found = jnp.sum(jnp.where(mask, scores, 0.0), axis=-1) / jnp.maximum(count, 1)
    return jnp.where(count > 0, found, -jnp.inf)


def best_of_n(scores: Float[Array, "P n"], correct: Bool[Array, "P n"]) -> Float[Array, ""]:
    """Share of questions whose answer with the highest score is right; ties count in parts, and NaN
    as the lowest."""
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    best = scores >= jnp.max(scores, axis=1, keepdims=True)
    return jnp.mean(jnp.sum(best & correct, axis=1) / jnp.sum(best, axis=1))
