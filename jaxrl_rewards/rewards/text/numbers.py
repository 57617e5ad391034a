"""Numbers and expressions as mathematics is written in answers: LaTeX, plain text, a mix of both.

`evaluate` gives a `Number`: exact where only integers, decimals and the four operations are used,
and otherwise its values at three fixed points, which tell `(x-1)(x+1)` from `x^2+1` though nothing
is solved. Time and memory are linear in the length of the text; powers and factorials are bounded.
"""

from __future__ import annotations

import cmath
import dataclasses
import math
import re
import zlib
from fractions import Fraction

POINTS = 3
"""At the first, variables are negative, at the second positive, at the third complex."""
DEPTH = 32
"""Deeper nesting is not read."""

_BITS = 20_000  # of an exact power; larger ones are not read
_TOKEN = re.compile(
    r"\s*(?:(\d++(?:\.\d++)?(?:[eE][+-]?\d{1,3}(?!\d))?|\.\d++)|(\\[A-Za-z]++)|(\S))"
)
_FUNCTIONS = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "ln": cmath.log,
    "log": cmath.log10,
    "exp": cmath.exp,
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
    "sqrt": cmath.sqrt,
}
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_ROUNDED = {"\\lfloor": ("\\rfloor", math.floor), "\\lceil": ("\\rceil", math.ceil)}
_CONSTANTS = {"\\pi": math.pi, "\\infty": math.inf, "e": math.e, "i": 1j}


class Unreadable(ValueError):
    """A text that is no number and no expression."""


@dataclasses.dataclass(frozen=True)
class Number:
    """A value: `exact`, or its values at the points."""

    exact: Fraction | None
    points: tuple[complex, ...]
    decimal: bool = False
    """Written with a decimal point, so known to some digits only."""
    variable: bool = False
    """It depends on a variable."""

    @property
    def real(self) -> float | None:
        """Its value where it is one real number."""
        value = self.points[0]
        return None if self.variable or abs(value.imag) > 1e-12 else value.real


def exactly(value: Fraction | int, decimal: bool = False) -> Number:
    """The number of an exact value."""
    value = Fraction(value)
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    return Number(value, (complex(near),) * POINTS, decimal)


def same_number(left: Number, right: Number) -> bool:
    """Whether two numbers are equal.

    Exact ones must be so exactly. Where one is written with a decimal point, 5e-7 apart and 1e-5 of
    their size are allowed (six decimals); else 1e-9 of their size at every point.
    """
    if left.exact is not None and right.exact is not None and left.exact == right.exact:
        return True
    a, b = left.real, right.real
    if (left.decimal or right.decimal) and a is not None and b is not None:
        return abs(a - b) <= min(5.1e-7, 1e-5 * max(abs(a), abs(b)))
    if left.exact is not None and right.exact is not None:
        return False
    if (left.exact is None) != (right.exact is None) and cmath.isinf(left.points[0]):
        return False  # a number beyond floats is not infinite
    return all(_near(a, b) for a, b in zip(left.points, right.points, strict=True))


def _near(a: complex, b: complex) -> bool:
    if cmath.isnan(a) or cmath.isnan(b):
        return False
    if cmath.isinf(a) or cmath.isinf(b):
        return a.real == b.real
    return abs(a - b) <= 1e-12 + 1e-9 * max(abs(a), abs(b))


def evaluate(text: str, sign: int = 1) -> Number:
    """The value of an expression; `sign` is what `\\pm` stands for. Unreadable where it is none."""
    reader = _Reader(text, sign)
    try:
        value = reader.sum(0)
    except Unreadable:
        raise
    except (ArithmeticError, RecursionError, ValueError) as error:
        raise Unreadable(f"{text[:40]!r} has no value") from error
    if reader.peek():
        raise Unreadable(f"{text[:40]!r} is no expression")
    return value


def variable(name: str) -> Number:
    """A variable by name: fixed values at the points."""
    draw = [(zlib.crc32(f"{name}/{k}".encode("utf-8", "replace")) % 9973) / 9973 for k in range(4)]
    points = (
        complex(-0.4 - draw[0]),
        complex(0.4 + draw[1]),
        complex(0.3 + draw[2], draw[3] + 0.2),
    )
    return Number(None, points, variable=True)


def _apply(function, *numbers: Number) -> Number:
    points = tuple(function(*at) for at in zip(*(n.points for n in numbers), strict=True))
    return Number(None, points, any(n.decimal for n in numbers), any(n.variable for n in numbers))


def _operate(left: Number, right: Number, sign: str) -> Number:
    """One of the four operations, exact where both are."""
    operations = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b,
    }
    operation = operations[sign]
    if left.exact is not None and right.exact is not None:
        return exactly(operation(left.exact, right.exact), left.decimal or right.decimal)
    return _apply(operation, left, right)


def _power(base: Number, exponent: Number) -> Number:
    whole = exponent.exact is not None and exponent.exact.denominator == 1
    if base.exact is not None and whole:
        power = int(exponent.exact)
        size = max(base.exact.numerator.bit_length(), base.exact.denominator.bit_length())
        if abs(power) * size > _BITS:
            raise Unreadable("the power is too large")
        return exactly(base.exact**power, base.decimal)
    return _apply(lambda a, b: a**b, base, exponent)


def _factorial(value: Number) -> Number:
    exact = value.exact
    if exact is None or exact.denominator != 1 or not 0 <= exact <= 1000:
        raise Unreadable("the factorial of this is not read")
    return exactly(math.factorial(int(exact)))


def _rounded(value: Number, rounded) -> Number:
    if value.exact is not None:
        return exactly(rounded(value.exact))
    return _apply(lambda a: complex(rounded(a.real)), value)


class _Reader:
    """Reads tokens from the left: sums of products of powers."""

    def __init__(self, text: str, sign: int) -> None:
        self.tokens = [match.group().strip() for match in _TOKEN.finditer(text)]
        self.at = 0
        self.plus_minus = sign
        self.bars = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise Unreadable(f"{wanted or 'a number'} is missing")
        self.at += 1
        return token

    def sum(self, depth: int) -> Number:
        if depth > DEPTH:
            raise Unreadable("it is nested too deeply")
        total = self.product(depth)
        while self.peek() in ("+", "-", "\\pm"):
            sign = self.take()
            if sign == "\\pm":
                sign = "+" if self.plus_minus > 0 else "-"
            total = _operate(total, self.product(depth), sign)
        return total

    def product(self, depth: int) -> Number:
        value = self.signed(depth)
        while True:
            token = self.peek()
            if token in ("*", "\\cdot", "\\times", "/", ":", "\\div"):
                self.take()
                sign = "*" if token in ("*", "\\cdot", "\\times") else "/"
                value = _operate(value, self.signed(depth), sign)
            elif self.starts_factor(token):
                value = _operate(value, self.powered(depth), "*")
            else:
                return value

    def starts_factor(self, token: str) -> bool:
        """Whether a token begins a factor that is multiplied without a sign."""
        if not token or (token == "|" and self.bars):
            return False
        if token[0] == "\\":
            return token not in ("\\pm", "\\rfloor", "\\rceil")
        return token[0].isalpha() or token in ("(", "[", "{", "|")

    def signed(self, depth: int) -> Number:
        negative = False
        while self.peek() in ("-", "+", "\\pm"):
            sign = self.take()
            down = self.plus_minus < 0 if sign == "\\pm" else sign == "-"
            negative ^= down
        value = self.powered(depth)
        if not negative:
            return value
        if value.exact is not None:
            return exactly(-value.exact, value.decimal)
        return _apply(lambda a: -a, value)

    def powered(self, depth: int) -> Number:
        base = self.marked(depth)
        if self.peek() == "^":
            self.take()
            base = _power(base, self.argument(depth + 1))
        return base

    def marked(self, depth: int) -> Number:
        """An atom and the marks behind it: factorials, degrees, percent."""
        value = self.atom(depth)
        while self.peek() in ("!", "°", "%"):
            mark = self.take()
            if mark == "!":
                value = _factorial(value)
            elif mark == "%":
                value = _operate(value, exactly(100), "/")
            else:
                value = _apply(lambda a: a * math.pi / 180, value)
        return value

    def argument(self, depth: int) -> Number:
        """`{...}`, or one signed atom."""
        if self.peek() == "{":
            return self.bracketed("{", depth)
        negative = self.peek() == "-"
        if negative:
            self.take()
        value = self.marked(depth)
        return _operate(exactly(0), value, "-") if negative else value

    def bracketed(self, opening: str, depth: int) -> Number:
        self.take(opening)
        bars, self.bars = self.bars, 0
        value = self.sum(depth + 1)
        self.bars = bars
        self.take({"(": ")", "[": "]", "{": "}"}[opening])
        return value

    def atom(self, depth: int) -> Number:
        token = self.peek()
        if not token or depth > DEPTH:
            raise Unreadable("a number is missing")
        if token in ("(", "[", "{"):
            return self.bracketed(token, depth)
        self.take()
        if token[0].isdecimal() or (token[0] == "." and len(token) > 1):
            return self.mixed(token, depth)
        if token == "|":
            self.bars += 1
            value = self.sum(depth + 1)
            self.bars -= 1
            self.take("|")
            return _apply(lambda a: complex(abs(a)), value)
        if token in _ROUNDED:
            closing, rounded = _ROUNDED[token]
            value = self.sum(depth + 1)
            self.take(closing)
            return _rounded(value, rounded)
        if token in _CONSTANTS:
            return Number(None, (complex(_CONSTANTS[token]),) * POINTS)
        if token in ("\\frac", "\\binom"):
            return self.fraction(token, depth)
        if token[1:] in _FUNCTIONS and token[0] == "\\":
            return self.function(token[1:], depth)
        if token.isalpha() or (token[0] == "\\" and len(token) > 2):
            return variable(token + self.subscript())
        raise Unreadable(f"{token} is not read")

    def subscript(self) -> str:
        """The name's subscript, `_1` or `_{12}`, or nothing."""
        if self.peek() != "_":
            return ""
        self.take()
        parts = [self.take()]
        while parts[0] == "{" and parts[-1] != "}":
            parts.append(self.take())
        return "_" + "".join(parts).strip("{}")

    def mixed(self, token: str, depth: int) -> Number:
        """A literal, with the fraction that follows it at once added: `3\\frac{1}{2}`."""
        decimal = "." in token or "e" in token or "E" in token
        value = exactly(Fraction(token), decimal)
        if decimal or self.peek() != "\\frac":
            return value
        self.take()
        part = self.fraction("\\frac", depth)
        proper = part.exact is not None and 0 < part.exact < 1
        return _operate(value, part, "+" if proper else "*")

    def fraction(self, token: str, depth: int) -> Number:
        """`\\frac{a}{b}`, also `\\frac12` and `\\frac 1 2`; `\\binom` likewise."""
        first = self.peek()
        following = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else ""
        whole = following and (following == "{" or following[0].isdecimal())
        if first.isdecimal() and len(first) > 1 and not whole:
            self.tokens[self.at : self.at + 1] = [first[0], first[1:]]
        above, below = self.argument(depth + 1), self.argument(depth + 1)
        if token == "\\frac":
            return _operate(above, below, "/")
        if None in (above.exact, below.exact) or not 0 <= below.exact <= above.exact <= 1000:
            raise Unreadable("this binomial coefficient is not read")
        return exactly(math.comb(int(above.exact), int(below.exact)))

    def function(self, name: str, depth: int) -> Number:
        """`\\sqrt[n]{x}`, `\\log_b x`, `\\sin^2 x`, `\\ln 2`."""
        power, base = None, None
        while self.peek() in ("^", "_") or (name == "sqrt" and self.peek() == "["):
            mark = self.peek()
            if mark == "[":
                power = _operate(exactly(1), self.bracketed("[", depth), "/")
                value = self.argument(depth + 1)
                return _power_of(value, power)
            self.take()
            if mark == "^":
                power = self.argument(depth + 1)
            else:
                base = self.argument(depth + 1)
        single = name == "sqrt" or self.peek() == "{"
        value = self.argument(depth + 1) if single else self.operand(depth + 1)
        if name in _INVERSE and power is not None and power.exact == -1:
            name, power = _INVERSE[name], None
        result = _apply(_FUNCTIONS[name], value)
        if base is not None:
            result = _operate(_apply(cmath.log, value), _apply(cmath.log, base), "/")
        return result if power is None else _power(result, power)

    def operand(self, depth: int) -> Number:
        """What a function without brackets is of: factors up to the next sign."""
        value = self.powered(depth)
        while self.peek() and (self.peek()[0].isalpha() or self.peek() == "\\pi"):
            value = _operate(value, self.powered(depth), "*")
        return value


def _power_of(value: Number, power: Number) -> Number:
    """A root; the real one of a negative number where the degree is odd."""
    degree = None if power.exact is None else 1 / power.exact if power.exact else None
    odd = degree is not None and degree.denominator == 1 and int(degree) % 2 == 1

    def root(a: complex, p: complex) -> complex:
        if odd and a.imag == 0 and a.real < 0:
            return -((-a) ** p)
        return a**p

    return _apply(root, value, power)
