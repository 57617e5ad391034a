"""The protected operations of the language: finite for every finite input, gradients included.

Operands are float32 arrays of any one shape. Where an operation has no value (division by less
than 1e-6, a root of a negative number) it is 0 or cut, and the branch that is not taken is fed a
harmless number, so that its derivative stays finite too.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

VALUE_LIMIT = 1e6
SLOPE_LIMIT = 1e15
"""Of derivatives between two nodes: the steepest operation times this is still a float32."""
SMALLEST_DENOMINATOR = 1e-6
LARGEST_EXPONENT = 13.8
"""`exp` of more would exceed the limit of values."""


@jax.custom_jvp
def protect(value: Float[Array, "..."]) -> Float[Array, "..."]:
    """NaN becomes 0, and everything is cut to ±1e6: what every node of an expression returns.

    Its derivative is 0 where the value was cut, and what flows through it is cut to ±1e15, forwards
    and backwards: a chain of divisions by small numbers has a slope that no float32 holds.
    """
    return jnp.clip(jnp.where(jnp.isnan(value), 0.0, value), -VALUE_LIMIT, VALUE_LIMIT)


@protect.defjvp
def _protect_slope(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (value,), (tangent,) = primals, tangents
    kept = jnp.where(jnp.abs(value) < VALUE_LIMIT, tangent, 0.0)

    def cut(_: Callable, slope: Array) -> Array:
        return jnp.clip(jnp.where(jnp.isnan(slope), 0.0, slope), -SLOPE_LIMIT, SLOPE_LIMIT)

    # a linear map whose two directions are written by hand: the solution of x = b, but cut
    return protect(value), jax.lax.custom_linear_solve(lambda x: x, kept, cut, cut)


def divide(numerator: Array, denominator: Array) -> Array:
    """The quotient, or 0 where the denominator is smaller than 1e-6."""
    usable = jnp.abs(denominator) >= SMALLEST_DENOMINATOR
    return jnp.where(usable, numerator / jnp.where(usable, denominator, 1.0), 0.0)


def exponential(value: Array) -> Array:
    """`exp(min(x, 13.8))`."""
    return jnp.exp(jnp.minimum(value, LARGEST_EXPONENT))


def log_one_plus(value: Array) -> Array:
    """`log(1 + max(x, −1 + 1e-6))`."""
    return jnp.log1p(jnp.maximum(value, -1.0 + 1e-6))


def square_root(value: Array) -> Array:
    """`sqrt(max(x, 0))` with derivative 0 where x <= 0."""
    positive = value > 0.0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, value, 1.0)), 0.0)


UNARY: dict[str, Callable[[Array], Array]] = {
    "neg": jnp.negative,
    "abs": jnp.abs,
    "exp": exponential,
    "log1p": log_one_plus,
    "sqrt": square_root,
    "sq": jnp.square,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "sin": jnp.sin,
    "cos": jnp.cos,
}
BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "+": jnp.add,
    "-": jnp.subtract,
    "*": jnp.multiply,
    "/": divide,
    "min": jnp.minimum,
    "max": jnp.maximum,
    "<": lambda a, b: (a < b).astype(jnp.float32),
    "<=": lambda a, b: (a <= b).astype(jnp.float32),
    ">": lambda a, b: (a > b).astype(jnp.float32),
    ">=": lambda a, b: (a >= b).astype(jnp.float32),
}
TERNARY: dict[str, Callable[[Array, Array, Array], Array]] = {
    "clip": lambda x, low, high: jnp.minimum(jnp.maximum(x, low), high),
    "where": lambda condition, a, b: jnp.where(condition != 0.0, a, b),
}


def reduce_lanes(op: str, a: Array, b: Array, lanes: Bool[Array, "V"] | None = None) -> Array:
    """norm, sum, mean of `a`, or dot of `a` and `b`, over the last axis: `[...]`.

    `lanes` marks the entries that count (all, if None).
    """
    mask = jnp.ones(a.shape[-1:], bool) if lanes is None else lanes
    a = jnp.where(mask, a, 0.0)
    if op == "dot":
        return jnp.sum(a * jnp.where(mask, b, 0.0), axis=-1)
    if op == "norm":
        return square_root(jnp.sum(jnp.square(a), axis=-1))
    total = jnp.sum(a, axis=-1)
    return total / jnp.maximum(jnp.sum(mask), 1) if op == "mean" else total
