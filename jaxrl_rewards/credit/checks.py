"""Static checks shared by the kernels."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array


def same_shape(**arrays: Any) -> None:
    """Raise ValueError unless all given arrays (None is skipped) have one shape."""
    shapes = {name: tuple(a.shape) for name, a in arrays.items() if a is not None}
    if len(set(shapes.values())) > 1:
        text = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"arrays must have one shape, got {text}; batch with jax.vmap")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is in `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(allowed)}")


def at_least_float32(*arrays: Array | None) -> tuple[Array | None, ...]:
    """The arrays as float32, or wider where they are; half precision must not carry sums."""
    return tuple(
        None if a is None else jnp.asarray(a, jnp.promote_types(jnp.result_type(a), jnp.float32))
        for a in arrays
    )


def keep_where(keep: Array, *arrays: Array) -> tuple[Array, ...]:
    """The arrays with 0 where `keep` is false, so that no gradient meets what stands there."""
    return tuple(jnp.where(keep, a, jnp.zeros_like(a)) for a in arrays)
