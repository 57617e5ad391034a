"""Static checks shared by the kernels."""

from __future__ import annotations

from typing import Any


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
