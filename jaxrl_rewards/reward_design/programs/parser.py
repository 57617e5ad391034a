"""Reading reward programs: a tokenizer and a recursive descent that checks limits as it reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxrl_rewards.reward_design.programs.expression import (
    ANY_SIZE,
    ARITY,
    COMPARISONS,
    ELEMENTWISE,
    MAX_CHARACTERS,
    MAX_CONSTANT,
    MAX_DEPTH,
    MAX_NAME,
    MAX_NODES,
    MAX_TERMS,
    REDUCTIONS,
    SCALAR,
    Expression,
    Program,
    ProgramError,
)
from jaxrl_rewards.reward_design.programs.quantities import sizes_of

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r]+)|(?P<newline>\n)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<symbol><=|>=|[-+*/()\[\],<>=])"
)


class Token(NamedTuple):
    """A piece of text: number, name, symbol, newline or end."""

    kind: str
    text: str
    position: int


def tokenize(text: str) -> list[Token]:
    """The tokens of `text`, with an end token; ProgramError at the first unknown character."""
    if not isinstance(text, str):
        raise ProgramError(f"a program must be text, got {type(text).__name__}", 0)
    if len(text) > MAX_CHARACTERS:
        raise ProgramError(
            f"the program has {len(text)} characters, more than {MAX_CHARACTERS}", MAX_CHARACTERS
        )
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ProgramError(f"unexpected character {text[position]!r}", position)
        if match.lastgroup != "blank":
            tokens.append(Token(match.lastgroup, match.group(), position))
        position = match.end()
    return [*tokens, Token("end", "", len(text))]


def parse_expression(
    text: str, variables: Mapping[str, Any] | Sequence[str], *, scalar: bool = True
) -> Expression:
    """Read one expression over `variables`; ProgramError says what is wrong and where.

    `variables`: quantities or values by name, or names alone (sizes then go unchecked). The result
    must be a scalar unless `scalar=False`.
    """
    reader = _Reader(tokenize(text), sizes_of(variables))
    node = reader.number_expression()
    reader.expect_end()
    if scalar:
        reader.require_scalar(node, 0)
    return node


def parse_program(text: str, variables: Mapping[str, Any] | Sequence[str]) -> Program:
    """Read a program: lines `name = expression`, blank lines allowed, at least one term.

    ProgramError says what is wrong and where. See `expression` for the grammar and the limits.
    """
    reader = _Reader(tokenize(text), sizes_of(variables))
    terms: list[tuple[str, Expression]] = []
    while True:
        while reader.token.kind == "newline":
            reader.advance()
        if reader.token.kind == "end":
            break
        if len(terms) == MAX_TERMS:
            raise ProgramError(f"more than {MAX_TERMS} terms", reader.token.position)
        terms.append(reader.term({name for name, _ in terms}))
    if not terms:
        raise ProgramError("the program has no term; write lines like `name = expression`", 0)
    return Program(tuple(terms))


class _Reader:
    """The state of one descent; `token` is the next token that nobody has taken."""

    def __init__(self, tokens: list[Token], sizes: dict[str, int]):
        self.tokens, self.sizes = tokens, sizes
        self.place, self.nodes, self.depth = 0, 0, 0

    @property
    def token(self) -> Token:
        return self.tokens[self.place]

    def advance(self) -> Token:
        token = self.token
        self.place += token.kind != "end"
        return token

    def accept(self, *symbols: str) -> Token | None:
        return (
            self.advance() if self.token.kind == "symbol" and self.token.text in symbols else None
        )

    def expect(self, symbol: str) -> Token:
        token = self.accept(symbol)
        if token is None:
            raise ProgramError(f"expected {symbol!r}, found {self.shown()}", self.token.position)
        return token

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise ProgramError(f"expected the end, found {self.shown()}", self.token.position)

    def shown(self) -> str:
        return repr(self.token.text) if self.token.text else "the end"

    def node(self, position: int, op: str, args: tuple = (), size: int = SCALAR, **rest: Any):
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ProgramError(f"more than {MAX_NODES} nodes", position)
        return Expression(op, args, size=size, **rest)

    def deeper(self, position: int) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ProgramError(f"nested deeper than {MAX_DEPTH}", position)

    def term(self, taken: set[str]) -> tuple[str, Expression]:
        name = self.advance()
        if name.kind != "name":
            raise ProgramError(f"expected the name of a term, found {name.text!r}", name.position)
        if len(name.text) > MAX_NAME or name.text in ARITY:
            raise ProgramError(f"a term cannot be called {name.text[:40]!r}", name.position)
        if name.text in taken:
            raise ProgramError(f"two terms are called {name.text!r}", name.position)
        self.expect("=")
        start = self.token.position
        node = self.number_expression()
        if self.token.kind not in ("newline", "end"):
            raise ProgramError(f"expected a new line, found {self.shown()}", self.token.position)
        self.require_scalar(node, start)
        return name.text, node

    def require_scalar(self, node: Expression, position: int) -> None:
        if node.size not in (SCALAR, ANY_SIZE):
            raise ProgramError(
                f"a term must be a number, this is a vector of {node.size}; use norm, sum, mean, "
                "dot or an index",
                position,
            )

    def number_expression(self) -> Expression:
        start = self.token.position
        node = self.expression()
        self.refuse_comparison(node, start)
        return node

    def refuse_comparison(self, node: Expression, position: int) -> None:
        if node.op in COMPARISONS:
            raise ProgramError("a comparison can only be the first argument of where", position)

    def expression(self) -> Expression:
        start = self.token.position
        left = self.sum()
        sign = self.accept(*COMPARISONS)
        if sign is None:
            return left
        right = self.sum()
        self.refuse_comparison(left, start)
        self.refuse_comparison(right, sign.position)
        return self.node(
            sign.position, sign.text, (left, right), self.common(sign.position, left, right)
        )

    def sum(self) -> Expression:
        return self.chain(("+", "-"), self.product)

    def product(self) -> Expression:
        return self.chain(("*", "/"), self.unary)

    def chain(self, symbols: tuple[str, ...], part: Any) -> Expression:
        start = self.token.position
        left = part()
        while (sign := self.accept(*symbols)) is not None:
            at = self.token.position
            right = part()
            self.refuse_comparison(left, start)
            self.refuse_comparison(right, at)
            size = self.common(sign.position, left, right)
            left = self.node(sign.position, sign.text, (left, right), size)
        return left

    def unary(self) -> Expression:
        sign = self.accept("-")
        if sign is None:
            return self.atom()
        self.deeper(sign.position)
        inner = self.unary()
        self.depth -= 1
        self.refuse_comparison(inner, sign.position)
        if inner.op == "number":  # a sign belongs to its number, so that printing reads back equal
            return Expression("number", number=-inner.number)
        return self.node(sign.position, "neg", (inner,), inner.size)

    def atom(self) -> Expression:
        token = self.advance()
        if token.kind == "number":
            return self.node(token.position, "number", number=self.constant(token))
        if token.kind == "name":
            if self.token.kind == "symbol" and self.token.text == "(":
                return self.call(token)
            return self.variable(token)
        if token.kind == "symbol" and token.text == "(":
            self.deeper(token.position)
            inner = self.expression()
            self.depth -= 1
            self.expect(")")
            return inner
        found = repr(token.text) if token.text else "the end"
        raise ProgramError(f"expected a number, a name or '(', found {found}", token.position)

    def constant(self, token: Token) -> float:
        value = float(token.text)
        if not value <= MAX_CONSTANT:
            raise ProgramError(f"the constant {token.text[:20]} exceeds 1e6", token.position)
        return value

    def variable(self, token: Token) -> Expression:
        if token.text not in self.sizes:
            known = ", ".join(sorted(self.sizes))
            raise ProgramError(
                f"there is no quantity {token.text[:40]!r}; known: {known}", token.position
            )
        size = self.sizes[token.text]
        if self.accept("[") is None:
            return self.node(token.position, "variable", size=size, name=token.text)
        number = self.advance()
        if number.kind != "number" or not number.text.isdigit():
            raise ProgramError("an index must be a whole number", number.position)
        if size == SCALAR:
            raise ProgramError(f"{token.text} is a number and has no index", number.position)
        index = int(number.text)
        if index >= (MAX_CONSTANT if size == ANY_SIZE else size):
            raise ProgramError(f"{token.text} has no entry {number.text[:20]}", number.position)
        self.expect("]")
        return self.node(token.position, "index", name=token.text, index=index)

    def call(self, name: Token) -> Expression:
        if name.text not in ARITY:
            known = ", ".join(sorted(ARITY))
            raise ProgramError(
                f"there is no function {name.text[:40]!r}; known: {known}", name.position
            )
        self.deeper(name.position)
        self.expect("(")
        args: list[Expression] = []
        while True:
            start = self.token.position
            arg = self.expression()
            if not (name.text == "where" and not args):
                self.refuse_comparison(arg, start)
            args.append(arg)
            if self.accept(",") is None:
                break
        self.expect(")")
        self.depth -= 1
        if len(args) != ARITY[name.text]:
            raise ProgramError(
                f"{name.text} takes {ARITY[name.text]} arguments, got {len(args)}", name.position
            )
        size = self.common(name.position, *args)
        if name.text in ELEMENTWISE:
            size = args[0].size
        elif name.text in REDUCTIONS or name.text == "dot":
            size = SCALAR
        op = "/" if name.text == "div" else name.text
        return self.node(name.position, op, tuple(args), size)

    def common(self, position: int, *nodes: Expression) -> int:
        """The size of several operands together: numbers go with anything, lengths must agree."""
        lengths = {node.size for node in nodes} - {SCALAR, ANY_SIZE}
        if len(lengths) > 1:
            raise ProgramError(f"sizes {sorted(lengths)} do not go together", position)
        if lengths:
            return lengths.pop()
        return ANY_SIZE if any(node.size == ANY_SIZE for node in nodes) else SCALAR
