"""The parts of a reward program, its limits, and the error that names a place in it.

    program := { name "=" expr newline }
    expr    := sum [("<" | "<=" | ">" | ">=") sum]
    sum     := prod {("+" | "-") prod}         prod := unary {("*" | "/") unary}
    unary   := "-" unary | atom
    atom    := number | variable ["[" integer "]"] | function "(" expr {"," expr} ")" | "(" expr ")"

The named terms are added up, and the total is clipped to ±10 per step. There are no attributes,
strings, keywords, imports or calls other than to the functions below.
"""

from __future__ import annotations

import dataclasses

from jaxrl_rewards.core.errors import InputError

MAX_CHARACTERS = 1000
MAX_NODES = 64
"""Numbers, variables, operators and calls of a whole program."""
MAX_DEPTH = 16
"""Nesting of parentheses, calls and minus signs."""
MAX_CONSTANT = 1e6
MAX_TERMS = 12
MAX_NAME = 32
TOTAL_LIMIT = 10.0
"""The total reward of a step is clipped to ± this."""

ELEMENTWISE = ("abs", "exp", "log1p", "sqrt", "sq", "tanh", "sigmoid", "sin", "cos")
REDUCTIONS = ("norm", "sum", "mean")
COMPARISONS = ("<", "<=", ">", ">=")
OPERATORS = {"+": 1, "-": 1, "*": 2, "/": 2}
"""Binary operators and how tightly they bind."""
ARITY = {
    **dict.fromkeys((*ELEMENTWISE, *REDUCTIONS), 1),
    **dict.fromkeys(("dot", "min", "max", "div"), 2),
    **dict.fromkeys(("clip", "where"), 3),
}
"""The functions of the language and how many arguments they take."""

SCALAR, ANY_SIZE = 0, -1
"""Sizes: a scalar, a vector whose length is not known; else the length of a vector."""


class ProgramError(InputError):
    """A program that is refused; `position` is the character (from 0) where reading stopped."""

    def __init__(self, message: str, position: int):
        super().__init__(f"{message} (at character {position})")
        self.position = position


@dataclasses.dataclass(frozen=True)
class Expression:
    """A node of an expression. Equal nodes are equal expressions."""

    op: str
    """number, variable, index, neg, an operator, a comparison or a function's name."""
    args: tuple[Expression, ...] = ()
    number: float = 0.0
    name: str = ""
    """The variable, where `op` is variable or index."""
    index: int = 0
    size: int = SCALAR

    def count(self) -> int:
        """Nodes of the expression."""
        return 1 + sum(arg.count() for arg in self.args)

    def variables(self) -> set[str]:
        """Names of the quantities it reads."""
        return set().union({self.name} - {""}, *(arg.variables() for arg in self.args))


@dataclasses.dataclass(frozen=True)
class Program:
    """Named scalar terms, in order."""

    terms: tuple[tuple[str, Expression], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The terms' names."""
        return tuple(name for name, _ in self.terms)

    def count(self) -> int:
        """Nodes of all terms."""
        return sum(expression.count() for _, expression in self.terms)


def print_expression(node: Expression) -> str:
    """The expression as text; reading the text gives an equal expression."""
    return _print(node, 0)


def print_program(program: Program) -> str:
    """One `name = expression` per line."""
    return "\n".join(f"{name} = {print_expression(term)}" for name, term in program.terms)


def _print(node: Expression, binding: int) -> str:
    """`binding` is how tightly the place around the node binds."""
    if node.op == "number":
        return repr(node.number)
    if node.op == "variable":
        return node.name
    if node.op == "index":
        return f"{node.name}[{node.index}]"
    if node.op == "neg":
        return _wrap("-" + _print(node.args[0], 3), 3, binding)
    if node.op in OPERATORS or node.op in COMPARISONS:
        own = OPERATORS.get(node.op, 0)
        left, right = node.args
        text = f"{_print(left, max(own, 1))} {node.op} {_print(right, own + 1)}"
        return _wrap(text, own, binding)
    return f"{node.op}({', '.join(_print(arg, 0) for arg in node.args)})"


def _wrap(text: str, own: int, binding: int) -> str:
    return f"({text})" if own < binding else text
