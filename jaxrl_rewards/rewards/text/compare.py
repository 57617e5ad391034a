"""Whether two answers say the same."""

from __future__ import annotations

import functools
import re

from jaxrl_rewards.rewards.text.numbers import Number, exactly, same_number
from jaxrl_rewards.rewards.text.units import units_conflict
from jaxrl_rewards.rewards.text.values import (
    LONGEST,
    Equation,
    Named,
    Ordered,
    Quantity,
    Several,
    Words,
    read_value,
)

MANY = 64
"""Sets and tuples of more values are compared as text."""

_WORD = re.compile(r"[A-Za-z (){}.'\"]*")


def same_answer(answer: str, gold: str) -> bool:
    """Whether an answer says what `gold` says; both as mathematics or words are written.

    Numbers: exactly, or to six decimals where one is written with a decimal point. A percentage
    equals its number and its share (50% is 50 and 0.5). Units may be left out, but two known ones
    must agree. Sets and lists in any order, tuples and intervals in order and with their brackets;
    expressions by their values; `x = 5` and 5 are one. Words without regard to case. Linear in the
    length up to 2,000 characters; longer answers must be the same text. Never raises.
    """
    answer, gold = answer.strip(), gold.strip()
    if not answer or not gold:
        return False
    if answer.isdecimal() and gold.isdecimal() and len(answer) + len(gold) < LONGEST:
        return int(answer) == int(gold)
    if answer == gold or _letters(answer) == _letters(gold) != "":
        return True
    return _same(_value(answer), _value(gold))


_value = functools.lru_cache(maxsize=4096)(read_value)


def _letters(text: str) -> str:
    """The letters of a text of words, in lower case; "" where it holds anything else."""
    for command in ("\\text", "\\textbf", "\\mathrm", "\\mbox"):
        text = text.replace(command + "{", "{")
    if len(text) > LONGEST or not _WORD.fullmatch(text):
        return ""
    return "".join(char for char in text if char.isalpha()).lower()


def _same(a: object, b: object) -> bool:
    """Whether two values are the same."""
    if isinstance(a, Named) or isinstance(b, Named):
        return _same_named(a, b)
    if isinstance(a, Several) or isinstance(b, Several):
        return _same_several(a, b)
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        return _same_quantity(a, b)
    if isinstance(a, Ordered) and isinstance(b, Ordered):
        if (a.opening, a.closing, len(a.items)) != (b.opening, b.closing, len(b.items)):
            return False
        return len(a.items) <= MANY and all(map(_same, a.items, b.items))
    if isinstance(a, Equation) and isinstance(b, Equation):
        return _proportional(a.difference, b.difference)
    if isinstance(a, Words) and isinstance(b, Words):
        return a.text.lower().split() == b.text.lower().split() != []
    return False


def _same_named(a: object, b: object) -> bool:
    if isinstance(a, Named) and isinstance(b, Named):
        return a.name == b.name and _same(a.value, b.value)
    return _same(a.value if isinstance(a, Named) else a, b.value if isinstance(b, Named) else b)


def _same_several(a: object, b: object) -> bool:
    """In any order, each counted once; a single value is the set of it."""
    left = _distinct(a.items if isinstance(a, Several) else (a,))
    right = _distinct(b.items if isinstance(b, Several) else (b,))
    if len(left) != len(right) or len(left) > MANY:
        return False
    for value in left:
        match = next((i for i, other in enumerate(right) if _same(value, other)), None)
        if match is None:
            return False
        right.pop(match)
    return True


def _distinct(values: tuple) -> list:
    """Each value once; of too many, all."""
    if len(values) > MANY:
        return list(values)
    kept: list = []
    for value in values:
        if not any(_same(value, other) for other in kept):
            kept.append(value)
    return kept


def _same_quantity(a: Quantity, b: Quantity) -> bool:
    if a.unit and b.unit and units_conflict(a.unit, b.unit):
        return False
    if same_number(a.number, b.number):
        return not (a.percent != b.percent and (a.unit or b.unit))
    if a.percent == b.percent:
        return False
    share, plain = (a, b) if a.percent else (b, a)
    return not plain.unit and same_number(_hundredth(share.number), plain.number)


def _hundredth(number: Number) -> Number:
    if number.exact is not None:
        return exactly(number.exact / 100, number.decimal)
    points = tuple(value / 100 for value in number.points)
    return Number(None, points, number.decimal, number.variable)


def _proportional(a: Number, b: Number) -> bool:
    """Whether two differences vanish together: one is a multiple of the other."""
    if not (a.variable and b.variable) or abs(b.points[0]) < 1e-12:
        return False
    factor = a.points[0] / b.points[0]
    near = (
        abs(x - factor * y) <= 1e-9 * (abs(x) + abs(factor * y))
        for x, y in zip(a.points, b.points, strict=True)
    )
    return abs(factor) > 1e-12 and all(near)
