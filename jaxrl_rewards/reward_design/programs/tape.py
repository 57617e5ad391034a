"""Programs as data: a padded tape of instructions that one compiled interpreter runs.

All programs have arrays of the same shapes, so a population is a leading axis for `vmap`, and a new
program is new data: nothing is compiled again. Instructions stand in postfix order; each writes
the register of its own number and names the registers it reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design.programs.expression import (
    MAX_NODES,
    MAX_TERMS,
    REDUCTIONS,
    Expression,
    Program,
)
from jaxrl_rewards.reward_design.programs.operations import (
    BINARY,
    TERNARY,
    UNARY,
    protect,
    reduce_lanes,
)
from jaxrl_rewards.reward_design.programs.quantities import Quantities

_LOADS = ("number", "variable", "index")
_OPS = (*_LOADS, *UNARY, *BINARY, *TERNARY, *REDUCTIONS, "dot")
_CODE = {op: code for code, op in enumerate(_OPS)}


@record
class Tape:
    """One program. `L` instructions, `T` terms; what is not used is 0."""

    opcode: Int[Array, "L"]
    operands: Int[Array, "L 3"]
    """Registers read; of a variable, its row and its lane."""
    constant: Float[Array, "L"]
    length: Int[Array, "L"]
    """Entries that a reduction runs over."""
    outputs: Int[Array, "T"]
    """The register that holds each term."""
    used: Bool[Array, "T"]


def compile_tape(
    program: Program,
    quantities: Quantities,
    *,
    instructions: int = MAX_NODES,
    terms: int = MAX_TERMS,
) -> Tape:
    """The tape of a program read over these quantities; leaves are NumPy arrays.

    InputError when the program has more nodes than `instructions` or more terms than `terms`.
    """
    if program.count() > instructions or len(program.terms) > terms:
        raise InputError(
            f"the program has {program.count()} nodes and {len(program.terms)} terms; this tape "
            f"holds {instructions} and {terms}"
        )
    rows = {name: row for row, name in enumerate(quantities)}
    opcode, length = (np.zeros(instructions, np.int32) for _ in range(2))
    operands, constant = np.zeros((instructions, 3), np.int32), np.zeros(instructions, np.float32)
    outputs, used = np.zeros(terms, np.int32), np.zeros(terms, bool)
    place = 0

    def write(node: Expression) -> int:
        nonlocal place
        registers = [write(arg) for arg in node.args]
        opcode[place], constant[place] = _CODE[node.op], node.number
        if node.op in ("variable", "index"):
            operands[place, :2] = rows[node.name], node.index
        else:
            operands[place, : len(registers)] = registers
        length[place] = max(1, *(arg.size for arg in node.args)) if node.args else 1
        place += 1
        return place - 1

    for number, (_, node) in enumerate(program.terms):
        outputs[number], used[number] = write(node), True
    return Tape(
        opcode=opcode,
        operands=operands,
        constant=constant,
        length=length,
        outputs=outputs,
        used=used,
    )


def stack_tapes(tapes: Sequence[Tape]) -> Tape:
    """Tapes of one size as a population with a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *tapes)


def empty_tape(*, instructions: int = MAX_NODES, terms: int = MAX_TERMS) -> Tape:
    """A program without terms: reward 0."""
    return Tape(
        opcode=np.zeros(instructions, np.int32),
        operands=np.zeros((instructions, 3), np.int32),
        constant=np.zeros(instructions, np.float32),
        length=np.ones(instructions, np.int32),
        outputs=np.zeros(terms, np.int32),
        used=np.zeros(terms, bool),
    )


def run_tape(tape: Tape, values: Float[Array, "Q V"]) -> Float[Array, "T"]:
    """The terms of a program (0 for those not used) on quantities stacked by `stack_values`.

    A register is a row of `V` lanes: a number fills it, a vector is padded. Every instruction
    computes all operations and keeps one; under `vmap` over programs that is what any
    interpreter does, and here it is one fused loop.
    """
    instructions, width = tape.opcode.shape[-1], values.shape[-1]
    values = protect(values)

    def step(number: Array, registers: Array) -> Array:
        code, operands = tape.opcode[number], tape.operands[number]
        a, b, c = (registers[operands[i]] for i in range(3))
        row = values[jnp.minimum(operands[0], values.shape[0] - 1)]
        entry = jnp.broadcast_to(row[jnp.minimum(operands[1], width - 1)], (width,))
        cases = [jnp.broadcast_to(tape.constant[number], (width,)), row, entry]
        cases += [op(a) for op in UNARY.values()]
        cases += [op(a, b) for op in BINARY.values()]
        cases += [op(a, b, c) for op in TERNARY.values()]
        lanes = jnp.arange(width) < tape.length[number]
        for op in (*REDUCTIONS, "dot"):
            cases.append(jnp.broadcast_to(reduce_lanes(op, a, b, lanes), (width,)))
        result = cases[0]
        for other, case in enumerate(cases[1:], 1):
            result = jnp.where(code == other, case, result)
        return registers.at[number].set(protect(result))

    registers = jnp.zeros((instructions, width), jnp.float32)
    registers = jax.lax.fori_loop(0, instructions, step, registers)
    return jnp.where(tape.used, registers[tape.outputs, 0], 0.0)
