"""Bonuses for what is new: counted over the whole training, within an episode, or by a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import Record, record, static_field
from jaxrl_rewards.networks.mlp import mlp, mlp_init
from jaxrl_rewards.rewards.base import RewardTerm
from jaxrl_rewards.rewards.learning import LearningTerm

Reads = Callable[[Any, Any, Any], Any]
"""`(prev, action, nxt) -> what of a step decides its novelty`."""
LARGEST_INPUT = 5.0
"""Standardised features are cut to ± this, as published."""


def novelty_of_count(
    count: Int[Array, "..."], power: Float[Array, ""] | float = 0.5
) -> Float[Array, "..."]:
    """`N^−power` for the `N`-th visit; counts below 1 are taken as 1.

    Power ½ is the bonus of Strehl and Littman 2008 (MBIE-EB); infinity pays the first visit only.
    """
    return jnp.maximum(jnp.asarray(count, jnp.float32), 1.0) ** -jnp.asarray(power, jnp.float32)


@record
class CountBonus(LearningTerm):
    """`1 / N^power` for the `N`-th visit of a place; visits of all episodes count.

    The visits of one update all see the counts from before it. Places outside of the table are
    taken as its nearest end.
    """

    counts: Int[Array, "places"]
    """Visits in all updates so far."""
    power: Any = 0.5
    place: Reads = static_field()
    """`place(prev, action, nxt) -> int`, the number of the visited place."""
    name: str = static_field(default="count")

    def evidence(self, prev: Any, action: Any, nxt: Any) -> Int[Array, ""]:
        """The place."""
        last = self.counts.shape[-1] - 1
        return jnp.clip(jnp.asarray(self.place(prev, action, nxt), jnp.int32), 0, last)

    def score(self, evidence: Int[Array, ""]) -> Float[Array, ""]:
        """`(earlier visits + 1)^−power`."""
        return novelty_of_count(self.counts[evidence] + 1, self.power)

    def learn(self, evidence: Int[Array, "N"], seen: Bool[Array, "N"]) -> Self:
        """Count the visits."""
        return self.replace(counts=self.counts.at[evidence].add(seen.astype(jnp.int32)))


def count_bonus(places: int, place: Reads, *, power: Any = 0.5, name: str = "count") -> CountBonus:
    """A `CountBonus` over `places` places of which none was visited; ValueError below 1."""
    if places < 1:
        raise ValueError(f"places must be at least 1, got {places}")
    return CountBonus(
        counts=jnp.zeros((places,), jnp.int32),
        power=jnp.asarray(power, jnp.float32),
        place=place,
        name=name,
    )


@record
class EpisodicBonus(RewardTerm):
    """`1 / N^power` for the `N`-th visit of a place in this episode.

    Reads `nxt.visits[nxt.place]`, this visit included, from the state of a world that counts:
    `jaxrl_envs.visits.CountVisits` makes any world do so, and starts afresh with every episode.
    """

    power: Any = 0.5
    name: str = static_field(default="episodic")

    def value(self, prev: Any, action: Any, nxt: Any) -> Float[Array, ""]:
        """See `novelty_of_count`."""
        return novelty_of_count(nxt.visits[nxt.place], self.power)


@record
class Moments(Record):
    """Number, mean and summed squared deviations of what was seen, float32."""

    count: Float[Array, ""] | float
    mean: Float[Array, "..."]
    squares: Float[Array, "..."]

    @property
    def deviation(self) -> Float[Array, "..."]:
        """Standard deviation; 1 where fewer than two were seen, or all were the same."""
        variance = self.squares / jnp.maximum(self.count, 1.0)
        known = (self.count >= 2.0) & (variance > 1e-12)
        return jnp.where(known, jnp.sqrt(jnp.where(known, variance, 1.0)), 1.0)

    def merged(self, values: Float[Array, "N ..."], seen: Bool[Array, "N"]) -> Self:
        """With `N` values more (Chan et al. 1979); those not `seen` count for nothing."""
        mask = seen.reshape(seen.shape + (1,) * (values.ndim - 1))
        number = jnp.sum(seen, dtype=jnp.float32)
        values = jnp.where(mask, values, 0.0)
        mean = jnp.sum(values, axis=0) / jnp.maximum(number, 1.0)
        squares = jnp.sum(jnp.where(mask, jnp.square(values - mean), 0.0), axis=0)
        total = jnp.maximum(self.count + number, 1.0)
        step = mean - self.mean
        return self.replace(
            count=self.count + number,
            mean=self.mean + step * number / total,
            squares=self.squares + squares + jnp.square(step) * self.count * number / total,
        )


def no_moments(shape: tuple[int, ...] = ()) -> Moments:
    """Of nothing: mean 0, deviation 1."""
    zeros = jnp.zeros(shape, jnp.float32)
    return Moments(count=jnp.zeros((), jnp.float32), mean=zeros, squares=zeros)


@record
class DistillationBonus(LearningTerm):
    """How badly a network tells the output of another, fixed random one (RND); at least 0.

    Source: Burda et al. 2018, arXiv 1810.12894. Features are standardised by running moments and
    cut to ±5, and the error is divided by its running deviation (the paper divides by that of
    discounted sums of errors).
    """

    target: Any
    """Layers of the fixed network; bent so strongly that its values in one place say little of
    those in another, also where features are few."""
    predictor: Any
    optimiser: Any
    inputs: Moments
    errors: Moments
    learning_rate: Any = 1e-3
    features: Reads = static_field()
    """`features(prev, action, nxt) -> float [D]`."""
    steps: int = static_field(default=4)
    """Adam's steps on the steps of one update, all at once."""
    name: str = static_field(default="rnd")

    def evidence(self, prev: Any, action: Any, nxt: Any) -> Float[Array, "D"]:
        """The features."""
        return jnp.reshape(jnp.asarray(self.features(prev, action, nxt), jnp.float32), (-1,))

    def score(self, evidence: Float[Array, "D"]) -> Float[Array, ""]:
        """The error over its deviation."""
        return self.error(evidence) / self.errors.deviation

    def error(self, evidence: Float[Array, "... D"], predictor: Any = None) -> Float[Array, "..."]:
        """Mean squared difference of the two networks' outputs."""
        inputs = (evidence - self.inputs.mean) / self.inputs.deviation
        inputs = jnp.clip(inputs, -LARGEST_INPUT, LARGEST_INPUT)
        told = mlp(self.predictor if predictor is None else predictor, inputs, activate="relu")
        truth = jax.lax.stop_gradient(mlp(self.target, inputs, activate="tanh"))
        return jnp.mean(jnp.square(told - truth), axis=-1)

    def learn(self, evidence: Float[Array, "N D"], seen: Bool[Array, "N"]) -> Self:
        """Take the moments along, and bring the second network nearer to the first."""
        evidence = jnp.where(seen[:, None], evidence, 0.0)
        errors = self.errors.merged(self.error(evidence), seen)
        fresh = self.replace(inputs=self.inputs.merged(evidence, seen), errors=errors)
        number = jnp.maximum(jnp.sum(seen, dtype=jnp.float32), 1.0)

        def loss(predictor: Any) -> Float[Array, ""]:
            return jnp.sum(jnp.where(seen, fresh.error(evidence, predictor), 0.0)) / number

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            predictor, state = carry
            changes, state = _adam(self.learning_rate).update(jax.grad(loss)(predictor), state)
            return (optax.apply_updates(predictor, changes), state), None

        start = (self.predictor, self.optimiser)
        after, _ = jax.lax.scan(step, start, None, length=self.steps)
        after = jax.tree.map(lambda new, old: jnp.where(jnp.any(seen), new, old), after, start)
        return fresh.replace(predictor=after[0], optimiser=after[1])


def distillation_bonus(
    key: jax.Array,
    features: Reads,
    size: int,
    *,
    hidden: tuple[int, ...] = (64, 64),
    outputs: int = 32,
    learning_rate: Any = 1e-3,
    steps: int = 4,
    name: str = "rnd",
) -> DistillationBonus:
    """A `DistillationBonus` that has seen nothing, over `size` features; ValueError below 1."""
    if min(size, outputs, steps) < 1:
        raise ValueError(
            f"size, outputs and steps must be at least 1, got {size}, {outputs} and {steps}"
        )
    key_target, key_predictor = jax.random.split(key)
    predictor = mlp_init(key_predictor, (size, *hidden, outputs))
    return DistillationBonus(
        target=_bent_network(key_target, (size, *hidden, outputs)),
        predictor=predictor,
        optimiser=_adam(1e-3).init(predictor),
        inputs=no_moments((size,)),
        errors=no_moments(),
        learning_rate=jnp.asarray(learning_rate, jnp.float32),
        features=features,
        steps=steps,
        name=name,
    )


def _bent_network(key: jax.Array, sizes: tuple[int, ...]) -> list[Any]:
    """A network with steep hidden layers and scattered biases."""
    key_layers, key_biases = jax.random.split(key)
    layers = mlp_init(key_layers, sizes, hidden_scale=3.0)
    keys = jax.random.split(key_biases, len(layers))
    return [
        {**layer, "bias": jax.random.normal(k, layer["bias"].shape, jnp.float32)}
        for layer, k in zip(layers, keys, strict=True)
    ]


def _adam(learning_rate: Any) -> optax.GradientTransformation:
    return optax.adam(learning_rate)
