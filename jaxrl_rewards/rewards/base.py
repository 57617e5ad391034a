"""The reward algebra: named terms that can be called, added, scaled, scheduled and masked.

A reward is a pytree value. Its leaves (weights, scales, widths) are ordinary arrays, so a reward
is swept by `vmap`, tuned by `grad` and passed to a jitted function as an argument:

    reward = 0.6 * Pose(scale=2.0) + 0.3 * Velocity() - 1e-3 * Effort()
    total, terms = reward(prev, action, nxt)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Record, record, static_field


@record
class RewardOutput(Record):
    """What a reward says of one step."""

    total: Float[Array, ""]
    """Weighted sum of the terms that apply."""
    terms: dict[str, Float[Array, ""]]
    """Raw values before weighting; 0 where a term does not apply."""
    applicable: dict[str, Bool[Array, ""]]


class Reward(Record):
    """Base of all rewards. Subclass `RewardTerm` (a named term), not this."""

    __array_ufunc__ = None  # so that NumPy numbers on the left leave the product to the reward

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms, in order."""
        raise NotImplementedError

    def evaluate(self, prev: Any, action: Any, nxt: Any) -> RewardOutput:
        """Score the step from `prev` by `action` to `nxt` (states of the world)."""
        raise NotImplementedError

    def combine(self, terms: dict[str, Array], applicable: dict[str, Array]) -> Array:
        """The weighted sum of given term values of any batch shape, e.g. normalised ones."""
        raise NotImplementedError

    def at(self, step: Array | int) -> Reward:
        """This reward with every scheduled weight replaced by its value at `step`."""
        return self

    def with_weights(self, weights: Mapping[str, Any]) -> WeightedSum:
        """This reward with other weights for the terms that `weights` names.

        Weights are numbers, arrays or schedules. ValueError for a name that is no term.
        """
        total = _as_sum(self)
        for name in weights:
            if name not in total.names:
                raise ValueError(
                    f"the reward has no term {name!r}; its terms: {', '.join(total.names)}"
                )
        pairs = zip(total.names, total.weights, strict=True)
        return total.replace(
            weights=tuple(_weight(weights[n]) if n in weights else w for n, w in pairs)
        )

    def __call__(self, prev: Any, action: Any, nxt: Any) -> tuple[Array, dict[str, Array]]:
        """`(total, terms)`: the weighted scalar reward and the raw named terms."""
        out = self.evaluate(prev, action, nxt)
        return out.total, out.terms

    def __add__(self, other: Reward) -> WeightedSum:
        if isinstance(other, (int, float)) and other == 0:  # so that sum([...]) works
            return _as_sum(self)
        if not isinstance(other, Reward):
            return NotImplemented
        left, right = _as_sum(self), _as_sum(other)
        return weighted_sum(left.rewards + right.rewards, left.weights + right.weights)

    __radd__ = __add__

    def __mul__(self, factor: Any) -> WeightedSum:
        if isinstance(factor, Reward):
            raise TypeError("a reward can be multiplied by a number or a schedule, not by a reward")
        base = _as_sum(self)
        return WeightedSum(
            rewards=base.rewards, weights=tuple(_multiply(w, factor) for w in base.weights)
        )

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> WeightedSum:
        if isinstance(divisor, Reward) or hasattr(divisor, "is_schedule"):
            raise TypeError("a reward can be divided by a number, not by a reward or a schedule")
        return self * (1.0 / jnp.asarray(divisor, jnp.float32))

    def __neg__(self) -> WeightedSum:
        return self * -1.0

    def __sub__(self, other: Reward) -> WeightedSum:
        return self + (-1.0) * other


class RewardTerm(Reward):
    """A named term. Subclasses are `@record`s that implement `value`.

    The name is the class attribute or static field `name`. `value` returns a float scalar, or a
    pair `(value, applicable)` where the term may not apply; whatever stands under a false
    `applicable` is ignored, NaN included.
    """

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """The single name of this term."""
        return (self.name,)

    def value(self, prev: Any, action: Any, nxt: Any) -> Array | tuple[Array, Array]:
        """The raw value of the term, unweighted."""
        raise NotImplementedError

    def evaluate(self, prev: Any, action: Any, nxt: Any) -> RewardOutput:
        """Score one step with weight 1."""
        out = self.value(prev, action, nxt)
        value, applicable = out if isinstance(out, tuple) else (out, jnp.ones((), bool))
        value = jnp.asarray(value, jnp.float32)
        applicable = jnp.asarray(applicable, bool)
        value = jnp.where(applicable, value, jnp.zeros_like(value))
        return RewardOutput(
            total=value, terms={self.name: value}, applicable={self.name: applicable}
        )

    def combine(self, terms: dict[str, Array], applicable: dict[str, Array]) -> Array:
        """The given value of this term where it applies."""
        return jnp.where(applicable[self.name], terms[self.name], 0.0)


@record
class WeightedSum(Reward):
    """`Σ weight_i · term_i` over the terms that apply. Weight 0 means logged only."""

    rewards: tuple[RewardTerm, ...]
    weights: tuple[Any, ...]
    """Float scalars or schedules (see `jaxrl_rewards.rewards.schedule`)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms, in the order they were added."""
        return tuple(term.name for term in self.rewards)

    def evaluate(self, prev: Any, action: Any, nxt: Any) -> RewardOutput:
        """Score one step."""
        outs = [term.evaluate(prev, action, nxt) for term in self.rewards]
        terms = {n: o.terms[n] for n, o in zip(self.names, outs, strict=True)}
        applicable = {n: o.applicable[n] for n, o in zip(self.names, outs, strict=True)}
        return RewardOutput(
            total=self.combine(terms, applicable), terms=terms, applicable=applicable
        )

    def combine(self, terms: dict[str, Array], applicable: dict[str, Array]) -> Array:
        """`Σ weight_i · terms_i` over the applicable terms; any batch shape.

        Where a term is not finite, its weight has derivative 0 and not NaN, so that one broken step
        spoils no gradient. TypeError where a weight is a schedule that nobody has resolved.
        """
        total = jnp.zeros((), jnp.float32)
        for name, weight in zip(self.names, self.weights, strict=True):
            if hasattr(weight, "is_schedule"):
                raise TypeError(
                    f"the weight of {name!r} is a schedule; say at which update: reward.at(step), "
                    "or resolve_schedules(params, step) for a world's params"
                )
            total = total + _times(weight, jnp.where(applicable[name], terms[name], 0.0))
        return total

    def at(self, step: Array | int) -> WeightedSum:
        """This sum with scheduled weights replaced by their values at `step`."""
        return self.replace(weights=tuple(weight_at(w, step) for w in self.weights))


@jax.custom_jvp
def _times(weight: Any, value: Array) -> Array:
    """The product, whose derivatives leave out what is not finite: 0 times NaN is NaN, and a zero
    is what comes back through a broken step that was contained."""
    return weight * value


@_times.defjvp
def _times_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (weight, value), (of_weight, of_value) = primals, tangents
    out = weight * value
    slope = jnp.zeros_like(out)
    for other, tangent in ((value, of_weight), (weight, of_value)):
        if getattr(tangent, "dtype", None) != jax.dtypes.float0:  # a whole number has none
            slope = slope + jnp.where(jnp.isfinite(other), other, 0.0) * tangent
    return out, slope


@record
class FunctionReward(RewardTerm):
    """A term from a plain function `fn(prev, action, nxt, **params)`; `params` are leaves."""

    params: dict[str, Any]
    name: str = static_field()
    fn: Callable = static_field()

    def value(self, prev: Any, action: Any, nxt: Any) -> Array | tuple[Array, Array]:
        """Call the function."""
        return self.fn(prev, action, nxt, **self.params)


@record
class Renamed(RewardTerm):
    """Another term under a new name, so that two of a kind can stand in one sum."""

    term: RewardTerm
    name: str = static_field()

    def value(self, prev: Any, action: Any, nxt: Any) -> tuple[Array, Array]:
        """The inner term's value and mask."""
        out = self.term.evaluate(prev, action, nxt)
        return out.terms[self.term.name], out.applicable[self.term.name]


def reward_term(fn: Callable, name: str | None = None, **params: Any) -> FunctionReward:
    """Make a reward of a function `fn(prev, action, nxt, **params) -> float32 scalar`.

    `params` become float32 leaves that can be swept and differentiated. `name` is the function's
    own name unless given.
    """
    leaves = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    return FunctionReward(params=leaves, name=name or fn.__name__, fn=fn)


def weighted_sum(rewards: tuple[RewardTerm, ...], weights: tuple[Any, ...]) -> WeightedSum:
    """Build a `WeightedSum`; raises ValueError when two terms share a name."""
    names = [term.name for term in rewards]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"two reward terms are called {twice[0]!r}; give one another name: "
            "Renamed(term=..., name='...')"
        )
    return WeightedSum(rewards=tuple(rewards), weights=tuple(weights))


def weight_at(weight: Any, step: Array | int) -> Array:
    """The number a weight stands for at `step`: schedules are evaluated, numbers returned."""
    return weight.at(step) if hasattr(weight, "is_schedule") else weight


def resolve_schedules(tree: Any, step: Array | int) -> Any:
    """Replace every reward inside `tree` (e.g. a world's params) by `reward.at(step)`."""
    return jax.tree.map(
        lambda node: node.at(step) if isinstance(node, Reward) else node,
        tree,
        is_leaf=lambda node: isinstance(node, Reward),
    )


def _weight(value: Any) -> Any:
    return value if hasattr(value, "is_schedule") else jnp.asarray(value, jnp.float32)


def _as_sum(reward: Reward) -> WeightedSum:
    if isinstance(reward, WeightedSum):
        return reward
    return WeightedSum(rewards=(reward,), weights=(jnp.ones((), jnp.float32),))


def _multiply(weight: Any, factor: Any) -> Any:
    for one, other in ((weight, factor), (factor, weight)):
        if hasattr(one, "is_schedule"):
            if hasattr(other, "is_schedule"):
                raise TypeError("a weight can carry one schedule, not a product of two")
            return one.scaled(other)
    return jnp.asarray(weight, jnp.float32) * jnp.asarray(factor, jnp.float32)
