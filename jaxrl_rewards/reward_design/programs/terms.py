"""A reward program as a sum of named terms, for training on after a search has found it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import record, static_field
from jaxrl_rewards.reward_design.programs.direct import clip_total, evaluate_expression
from jaxrl_rewards.reward_design.programs.expression import Expression, Program
from jaxrl_rewards.rewards.base import RewardTerm, WeightedSum, weighted_sum

CUT = "cut"
"""Name of the term that keeps a program's total within its limit."""
Measure = Callable[[Any, Any, Any], Any]
"""`(prev, action, nxt) -> the world's quantities by name`."""


@record
class ProgramTerm(RewardTerm):
    """One term of a program."""

    expression: Expression = static_field()
    measure: Measure = static_field()
    name: str = static_field()

    def value(self, prev: Any, action: Any, nxt: Any) -> Float[Array, ""]:
        """The expression's value."""
        return evaluate_expression(self.expression, self.measure(prev, action, nxt))


@record
class ProgramCut(RewardTerm):
    """What the limit of ±10 on a program's total takes away; 0 in most steps."""

    program: Program = static_field()
    measure: Measure = static_field()
    name: str = static_field(default=CUT)

    def value(self, prev: Any, action: Any, nxt: Any) -> Float[Array, ""]:
        """The cut total minus the total."""
        values = self.measure(prev, action, nxt)
        total = sum(evaluate_expression(node, values) for _, node in self.program.terms)
        return clip_total(jnp.asarray(total)) - total


def program_terms(program: Program, measure: Measure) -> WeightedSum:
    """The program's terms with weight 1 and, as `cut`, what its limit takes away.

    The total is that of the search. ValueError where a term of the program is called `cut`.
    """
    terms: list[RewardTerm] = [
        ProgramTerm(expression=node, measure=measure, name=name) for name, node in program.terms
    ]
    terms.append(ProgramCut(program=program, measure=measure))
    return weighted_sum(tuple(terms), (jnp.ones((), jnp.float32),) * len(terms))
