"""Evaluating one parsed expression by walking its tree: the plain form, traced anew per program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.reward_design.programs.expression import (
    TOTAL_LIMIT,
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
from jaxrl_rewards.reward_design.programs.parser import parse_expression


def evaluate_expression(node: Expression, variables: Mapping[str, Any]) -> Float[Array, "..."]:
    """The value of a parsed expression; `variables` maps names to numbers or vectors."""
    if node.op == "number":
        return jnp.float32(node.number)
    if node.op == "variable":
        return protect(jnp.asarray(variables[node.name], jnp.float32))
    if node.op == "index":
        return protect(jnp.asarray(variables[node.name], jnp.float32)[node.index])
    args = [evaluate_expression(arg, variables) for arg in node.args]
    if node.op in UNARY:
        return protect(UNARY[node.op](*args))
    if node.op in BINARY:
        return protect(BINARY[node.op](*args))
    if node.op in TERNARY:
        return protect(TERNARY[node.op](*args))
    rows = jnp.broadcast_arrays(*(jnp.atleast_1d(arg) for arg in args))
    return protect(reduce_lanes(node.op, rows[0], rows[-1]))


def evaluate_program(
    program: Program, variables: Mapping[str, Any]
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """`(total, terms)`: the sum of the terms cut to ±10, and the terms by name."""
    terms = {name: evaluate_expression(node, variables) for name, node in program.terms}
    return clip_total(sum(terms.values())), terms


def clip_total(total: Array) -> Array:
    """The reward of a step, cut to ±10."""
    return jnp.clip(total, -TOTAL_LIMIT, TOTAL_LIMIT)


def eval_reward_expression(expression: str, variables: Mapping[str, Any]) -> Float[Array, ""]:
    """Read and evaluate one scalar expression; ProgramError where it cannot be read."""
    return evaluate_expression(parse_expression(expression, variables), variables)
