"""The named quantities of a world that reward programs may read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design.programs.expression import ANY_SIZE, ARITY, MAX_NAME, SCALAR

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number or a vector that a world reports for every step."""

    shape: tuple[int, ...] = ()
    """() for a number, (n,) for a vector."""
    unit: str = ""
    scale: float = 1.0
    """Typical magnitude, > 0; what a proposer divides by."""
    direction: int | None = None
    """1: more is better, -1: less is better, 0: neither, None: not known."""
    text: str = ""
    """What it means, for whoever writes rewards."""

    def __post_init__(self):
        if len(self.shape) > 1 or any(length < 1 for length in self.shape):
            raise InputError(f"a quantity is a number or a vector, got shape {self.shape}")
        if not self.scale > 0:
            raise InputError(f"the scale of a quantity must be positive, got {self.scale}")
        if self.direction not in (-1, 0, 1, None):
            raise InputError(f"direction must be -1, 0, 1 or None, got {self.direction!r}")

    @property
    def size(self) -> int:
        """0 for a number, else the length."""
        return self.shape[0] if self.shape else SCALAR


Quantities = Mapping[str, Quantity]


def check_quantities(quantities: Quantities) -> dict[str, Quantity]:
    """The quantities as a dict; InputError for a name that the language cannot read."""
    for name in quantities:
        check_name(name)
    if not quantities:
        raise InputError("a reward program needs at least one quantity to read")
    return dict(quantities)


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
    return max(1, *(quantity.size for quantity in quantities.values()))


def stack_values(values: Mapping[str, Any], quantities: Quantities) -> Float[Array, "Q V"]:
    """Quantities as rows, in order: a number fills its row, a vector is padded with 0."""
    width = lanes(quantities)
    rows = []
    for name, quantity in quantities.items():
        value = jnp.asarray(values[name], jnp.float32)
        if value.shape != quantity.shape:
            raise InputError(f"quantity {name!r} has shape {value.shape}, not {quantity.shape}")
        if quantity.size:
            rows.append(jnp.pad(value, (0, width - quantity.size)))
        else:
            rows.append(jnp.broadcast_to(value, (width,)))
    return jnp.stack(rows)


def require_known(name: str, quantities: Quantities) -> None:
    """InputError when `name` is none of the quantities."""
    if name not in quantities:
        raise InputError(f"there is no quantity {name!r}; known: {', '.join(quantities)}")


def quantities_from(table: Mapping[str, Any]) -> dict[str, Quantity]:
    """Quantities of a world's own table: entries with `shape, unit, scale, direction, text`.

    An entry is an object with these attributes, a mapping with these keys, or a tuple in this
    order; what an object or mapping lacks takes its default.
    """
    fields = [field.name for field in dataclasses.fields(Quantity)]
    found = {}
    for name, entry in table.items():
        if isinstance(entry, Mapping):
            given = {field: entry[field] for field in fields if field in entry}
        elif isinstance(entry, tuple):
            given = dict(zip(fields, entry, strict=False))
        else:
            given = {field: getattr(entry, field) for field in fields if hasattr(entry, field)}
        given["shape"] = tuple(given.get("shape", ()))
        found[name] = Quantity(**given)
    return check_quantities(found)


def zeros(quantities: Quantities) -> dict[str, jax.Array]:
    """A zero for every quantity."""
    return {name: jnp.zeros(quantity.shape) for name, quantity in quantities.items()}
