"""Programs linear in their terms, as five small arrays: four slots `w · φ(quantity / τ)`.

Cheaper than the tape by far, and what the offline proposer varies. Every slot program is also a
program of the language; those of this shape can be read back.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design.programs.expression import Expression, Program
from jaxrl_rewards.reward_design.programs.operations import protect
from jaxrl_rewards.reward_design.programs.quantities import Quantities, require_known

SHAPES = ("identity", "exp", "gauss", "tanh", "square")
"""x, exp(−|x/τ|), exp(−(x/τ)²), tanh(x/τ), −x²."""
SLOTS = 4


@dataclasses.dataclass(frozen=True)
class Slot:
    """One term on the host."""

    quantity: str
    shape: str = "identity"
    weight: float = 1.0
    scale: float = 1.0
    """τ; of no effect for identity and square."""


@record
class Slots:
    """One program; `S` slots. A slot that is not used has weight 0."""

    quantity: Int[Array, "S"]
    """Row of the quantity."""
    shape: Int[Array, "S"]
    weight: Float[Array, "S"]
    scale: Float[Array, "S"]
    used: Bool[Array, "S"]


def compile_slots(slots: tuple[Slot, ...], quantities: Quantities, *, count: int = SLOTS) -> Slots:
    """The arrays of a slot program (NumPy leaves); quantities must be numbers, not vectors.

    InputError for more slots than `count`, an unknown quantity or shape, or a vector.
    """
    program_of(slots, quantities)
    rows = list(quantities)
    padded = [*slots, *[Slot(rows[0], weight=0.0)] * (count - len(slots))]
    if len(padded) > count:
        raise InputError(f"the program has {len(slots)} slots, more than {count}")
    return Slots(
        quantity=np.array([rows.index(slot.quantity) for slot in padded], np.int32),
        shape=np.array([SHAPES.index(slot.shape) for slot in padded], np.int32),
        weight=np.array([slot.weight for slot in padded], np.float32),
        scale=np.array([slot.scale for slot in padded], np.float32),
        used=np.arange(count) < len(slots),
    )


def run_slots(slots: Slots, values: Float[Array, "Q V"]) -> Float[Array, "S"]:
    """The terms of a slot program on quantities stacked by `stack_values`."""
    x = protect(values[:, 0])[slots.quantity]
    z = x / jnp.maximum(jnp.abs(slots.scale), 1e-6)
    shaped = jnp.stack(
        [x, jnp.exp(-jnp.abs(z)), jnp.exp(-jnp.square(z)), jnp.tanh(z), -jnp.square(x)]
    )
    chosen = jnp.take_along_axis(shaped, slots.shape[None], axis=0)[0]
    return jnp.where(slots.used, protect(slots.weight * protect(chosen)), 0.0)


def program_of(slots: tuple[Slot, ...], quantities: Quantities) -> Program:
    """The same program in the language; terms are called by their quantity and number."""
    terms = []
    for number, slot in enumerate(slots):
        require_known(slot.quantity, quantities)
        if quantities[slot.quantity].shape:
            raise InputError(f"quantity {slot.quantity!r} is a vector; a slot reads numbers only")
        if slot.shape not in SHAPES:
            raise InputError(f"slot shape {slot.shape!r} is unknown; choose one of {SHAPES}")
        if slot.scale < 1e-6:
            raise InputError(f"the scale of a slot must be at least 1e-6, got {slot.scale}")
        terms.append((f"{slot.quantity[:29]}_{number}", _term(slot)))
    return Program(tuple(terms))


def _number(value: float) -> Expression:
    return Expression("number", number=float(value))


def _term(slot: Slot) -> Expression:
    x = Expression("variable", name=slot.quantity)
    shaped = _shaped(slot.shape, x, Expression("/", (x, _number(slot.scale))))
    return Expression("*", (_number(slot.weight), shaped))


def _shaped(shape: str, x: Expression, ratio: Expression) -> Expression:
    return {
        "identity": x,
        "exp": Expression("exp", (_negative(Expression("abs", (ratio,))),)),
        "gauss": Expression("exp", (_negative(Expression("sq", (ratio,))),)),
        "tanh": Expression("tanh", (ratio,)),
        "square": _negative(Expression("sq", (x,))),
    }[shape]


def _negative(node: Expression) -> Expression:
    return Expression("neg", (node,))


def slots_of(program: Program, *, count: int = SLOTS) -> tuple[Slot, ...] | None:
    """The slots of a program whose every term has a slot's shape; None for any other program.

    A term may leave out the weight 1, and may be a quantity with a minus sign.
    """
    found = tuple(_slot(node) for _, node in program.terms)
    return None if None in found or len(found) > count else found


def _slot(node: Expression) -> Slot | None:
    weight = 1.0
    if node.op == "neg" and node.args[0].op == "variable":
        weight, node = -1.0, node.args[0]
    elif node.op == "*" and node.args[0].op == "number":
        weight, node = node.args[0].number, node.args[1]
    if node.op == "variable":
        return Slot(node.name, weight=weight)
    name, scale, ratio = _inner(node)
    if scale < 1e-6:
        return None
    x = Expression("variable", name=name)
    for shape in SHAPES[1:]:
        if _shaped(shape, x, ratio) == node:
            return Slot(name, shape, weight, scale)
    return None


def _inner(node: Expression) -> tuple[str, float, Expression]:
    """The quantity inside a shape, what it is divided by (1 where it is not), and both together."""
    while node.args and node.op in ("exp", "neg", "abs", "sq", "tanh"):
        node = node.args[0]
    if node.op == "/" and node.args[0].op == "variable" and node.args[1].op == "number":
        return node.args[0].name, node.args[1].number, node
    return (node.name, 1.0, node) if node.op == "variable" else ("", 0.0, node)
