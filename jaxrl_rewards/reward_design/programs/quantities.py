"""The named quantities of a world that reward programs may read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.quantities import Quantity
from jaxrl_rewards.reward_design.programs.expression import ANY_SIZE, ARITY, MAX_NAME, SCALAR

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


Quantities = Mapping[str, Quantity]


def check_quantities(quantities: Quantities) -> dict[str, Quantity]:
    """The quantities as a dict; InputError for one that the language cannot read."""
    if not quantities:
        raise InputError("a reward program needs at least one quantity to read")
    for name, quantity in quantities.items():
        check_name(name)
        if len(quantity.shape) > 1 or any(length < 1 for length in quantity.shape):
            raise InputError(
                f"quantity {name!r} must be a number or a vector, not {quantity.shape}"
            )
        if not 0 < quantity.scale < float("inf"):
            raise InputError(f"quantity {name!r} has scale {quantity.scale}; it must be positive")
        if quantity.direction not in (-1, 0, 1, None):
            raise InputError(
                f"quantity {name!r} has direction {quantity.direction!r}; use -1, 0, 1 or None"
            )
    return dict(quantities)


def size_of(quantity: Quantity) -> int:
    """0 for a number, else the length of the vector."""
    return quantity.shape[0] if quantity.shape else SCALAR


def check_name(name: str) -> str:
    """A quantity's name: an ASCII identifier of at most 32 characters that is no function."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise InputError(
            f"{name!r} cannot name a quantity; use up to {MAX_NAME} letters, digits and _"
        )
    if name in ARITY:
        raise InputError(f"quantity {name!r} has the name of a function; rename it")
    return name


def sizes_of(variables: Quantities | Mapping[str, Any] | Sequence[str]) -> dict[str, int]:
    """Sizes by name, from quantities, from values (numbers or lists), or from names alone.

    With names alone sizes are unknown, and what depends on them is not checked.
    """
    if not isinstance(variables, Mapping):
        return {check_name(name): ANY_SIZE for name in variables}
    sizes = {}
    for name, value in variables.items():
        check_name(name)
        shape = value.shape if hasattr(value, "shape") else jnp.shape(value)
        if len(shape) > 1:
            raise InputError(f"variable {name!r} has shape {shape}; give a number or a vector")
        sizes[name] = shape[0] if shape else SCALAR
    return sizes


def lanes(quantities: Quantities) -> int:
    """The width that every quantity is padded to: the longest vector, at least 1."""
    return max(1, *map(size_of, quantities.values()))


def stack_values(values: Mapping[str, Any], quantities: Quantities) -> Float[Array, "Q V"]:
    """Quantities as rows, in order: a number fills its row, a vector is padded with 0."""
    width = lanes(quantities)
    rows = []
    for name, quantity in quantities.items():
        value = jnp.asarray(values[name], jnp.float32)
        if value.shape != quantity.shape:
            raise InputError(f"quantity {name!r} has shape {value.shape}, not {quantity.shape}")
        if quantity.shape:
            rows.append(jnp.pad(value, (0, width - size_of(quantity))))
        else:
            rows.append(jnp.broadcast_to(value, (width,)))
    return jnp.stack(rows)


def require_known(name: str, quantities: Quantities) -> None:
    """InputError when `name` is none of the quantities."""
    if name not in quantities:
        raise InputError(f"there is no quantity {name!r}; known: {', '.join(quantities)}")


@dataclasses.dataclass(frozen=True)
class StateQuantities:
    """`measure(prev, action, nxt)` for worlds whose state holds its quantities by name."""

    table: tuple[tuple[str, Quantity], ...]

    def __call__(self, prev: Any, action: Any, nxt: Any) -> Float[Array, "Q V"]:
        """The quantities after the step, stacked."""
        return stack_values(nxt.quantities, dict(self.table))


def state_quantities(quantities: Quantities) -> StateQuantities:
    """The measure of a world with `state.quantities`; equal tables give equal measures."""
    return StateQuantities(tuple(check_quantities(quantities).items()))
