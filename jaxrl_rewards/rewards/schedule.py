"""Weights that change with the learner's update count: `Linear(start=0.0, ...) * Term()`."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import Record, record
from jaxrl_rewards.rewards.base import Reward, WeightedSum


class Schedule(Record):
    """A weight as a function of the update count. Its numbers are leaves."""

    is_schedule = True
    __array_ufunc__ = None  # numpy's scalars and arrays leave the operators to this class

    def at(self, step: Array | int) -> Array:
        """The weight at `step` (updates done so far), float32."""
        raise NotImplementedError

    def scaled(self, factor: Any) -> Schedule:
        """The same schedule with every value multiplied by `factor`."""
        raise NotImplementedError

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Reward):
            return other * self
        if hasattr(other, "is_schedule"):
            raise TypeError("a weight can carry one schedule, not a product of two")
        return self.scaled(other)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Any:
        if isinstance(divisor, Reward) or hasattr(divisor, "is_schedule"):
            raise TypeError("a schedule can be divided by a number only")
        return self.scaled(1.0 / divisor)

    def __neg__(self) -> Any:
        return self.scaled(-1.0)


def _fraction(step: Array | int, begin: Array, end: Array) -> Array:
    span = jnp.maximum(jnp.asarray(end, jnp.float32) - begin, 1e-9)
    return jnp.clip((jnp.asarray(step, jnp.float32) - begin) / span, 0.0, 1.0)


@record
class Linear(Schedule):
    """From `start` at step `begin` to `stop` at step `end`, straight, constant outside."""

    start: Float[Array, ""] | float
    stop: Float[Array, ""] | float
    begin: Float[Array, ""] | float = 0.0
    end: Float[Array, ""] | float = 1.0

    def at(self, step: Array | int) -> Array:
        """The weight at `step`."""
        fraction = _fraction(step, self.begin, self.end)
        return jnp.asarray(self.start + fraction * (self.stop - self.start), jnp.float32)

    def scaled(self, factor: Any) -> Linear:
        """Both ends multiplied by `factor`."""
        return self.replace(start=self.start * factor, stop=self.stop * factor)


@record
class Cosine(Schedule):
    """From `start` at step `begin` to `stop` at step `end` along half a cosine."""

    start: Float[Array, ""] | float
    stop: Float[Array, ""] | float
    begin: Float[Array, ""] | float = 0.0
    end: Float[Array, ""] | float = 1.0

    def at(self, step: Array | int) -> Array:
        """The weight at `step`."""
        fraction = 0.5 - 0.5 * jnp.cos(jnp.pi * _fraction(step, self.begin, self.end))
        return jnp.asarray(self.start + fraction * (self.stop - self.start), jnp.float32)

    def scaled(self, factor: Any) -> Cosine:
        """Both ends multiplied by `factor`."""
        return self.replace(start=self.start * factor, stop=self.stop * factor)


@record
class Piecewise(Schedule):
    """`values[i]` from step `boundaries[i-1]` on; `values` is one longer than `boundaries`."""

    boundaries: Float[Array, "K"]
    values: Float[Array, "K1"]

    def at(self, step: Array | int) -> Array:
        """The weight at `step`."""
        boundaries = jnp.asarray(self.boundaries, jnp.float32)
        index = jnp.sum(jnp.asarray(step, jnp.float32) >= boundaries)
        return jnp.asarray(self.values, jnp.float32)[index]

    def scaled(self, factor: Any) -> Piecewise:
        """All values multiplied by `factor`."""
        return self.replace(values=jnp.asarray(self.values, jnp.float32) * factor)


def scheduled(reward: Reward, schedule: Schedule) -> WeightedSum:
    """`schedule * reward`."""
    return reward * schedule
