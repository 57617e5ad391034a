"""Answers as values: numbers with units, sets, tuples, intervals, equations, words.

`read_value` never fails: what is nothing else is words. Texts of more than `LONGEST` characters are
words too, so that reading costs a bounded time.
"""

from __future__ import annotations

import dataclasses
import re

from jaxrl_rewards.rewards.text.numbers import Number, Unreadable, evaluate
from jaxrl_rewards.rewards.text.units import split_unit

LONGEST = 2000
LEVELS = 8
"""Brackets within brackets that are read as sets, tuples and intervals."""

_PLAIN = {
    "−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "π": "\\pi ", "∞": "\\infty ", "√": "\\sqrt ",
    "²": "^2", "³": "^3", "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ", "∪": "\\cup ", "∈": "\\in ",
    "±": "\\pm ", "∅": "\\emptyset ", "½": "\\frac12 ", "¼": "\\frac14 ", "¾": "\\frac34 ",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "，": ",", "（": "(", "）": ")", "\t": " ",
    "\n": " ",
}  # fmt: skip
_TABLE = str.maketrans(_PLAIN)
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|mathrm|mathbf|mathit|mbox|operatorname)\s?\{"
)
_DROPPED = re.compile(
    r"\\(?:left|right|displaystyle|limits|bigl|bigr|Bigl|Bigr|big|Big|quad|qquad|!|;|,|:|>| |\s)"
    r"(?![A-Za-z])|\*\*|\$|~|\\\(|\\\)|\\\[|\\\]"
)
_NAMES = {
    "\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\cfrac": "\\frac", "\\dbinom": "\\binom",
    "\\tbinom": "\\binom", "\\leq": "\\le", "\\geq": "\\ge", "\\leqslant": "\\le",
    "\\geqslant": "\\ge", "\\lt": "<", "\\gt": ">", "\\neq": "\\ne", "\\infin": "\\infty",
    "\\degree": "°", "\\circ": "°", "\\varnothing": "\\emptyset", "\\lbrace": "⦃",
    "\\rbrace": "⦄", "\\lvert": "|", "\\rvert": "|", "\\vert": "|", "\\ast": "*",
    "\\mid": "|", "\\textdegree": "°",
}  # fmt: skip
_COMMAND = re.compile(r"\\[A-Za-z]++")
_THOUSANDS = re.compile(r"([-+]?\s?\d{1,3})((?:(?:,|\{,\}|\\,|\\!,|,\\!| )\s?\d{3})++)(?=\D|$)")
_GROUPED = re.compile(r"[-+\d,. ]++(?:$|(?=[^\d,. ]))")
_MIXED = re.compile(r"(?<![\d./^_])(\d{1,9})\s++(\d{1,9})/(\d{1,9})(?![\d.])")
_REPEATING = re.compile(r"(\d{0,30})\.(\d{0,30})\\overline\s?\{(\d{1,30})\}")
_RELATION = re.compile(r"\\le(?![A-Za-z])|\\ge(?![A-Za-z])|<=|>=|<|>|≤|≥")
_MEMBER = re.compile(r"\\in(?![A-Za-z])")
_NAME = re.compile(r"\s*(?:[A-Za-z]|\\[a-z]{2,9})(?:_\{?\w{1,4}\}?)?\s*(?:\(\s*[A-Za-z]\s*\))?\s*")
_OPEN, _CLOSE = "([{⦃⟪", ")]}⦄⟫"


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number with what stands beside it."""

    number: Number
    unit: str = ""
    percent: bool = False


@dataclasses.dataclass(frozen=True)
class Words:
    """What is nothing else."""

    text: str


@dataclasses.dataclass(frozen=True)
class Several:
    """Values in any order, each counted once: `{1, 2}`, `1, 2`, `1 or 2`, `±1`, a union."""

    items: tuple


@dataclasses.dataclass(frozen=True)
class Ordered:
    """Values in order between brackets: a tuple, an interval, a matrix."""

    opening: str
    closing: str
    items: tuple


@dataclasses.dataclass(frozen=True)
class Named:
    """`x = 5`."""

    name: str
    value: object


@dataclasses.dataclass(frozen=True)
class Equation:
    """An equation that gives no single name its value: left side less right side."""

    difference: Number


def read_value(text: str) -> object:
    """The value of an answer; Words where it is nothing else."""
    if len(text) > LONGEST:
        return Words(text.strip())
    return _read(clean(text), 0)


def clean(text: str) -> str:
    """One way of writing: no layout commands, one name per sign, `⟪text⟫` for `\\text{text}`."""
    text = text.translate(_TABLE).replace("\\{", "⦃").replace("\\}", "⦄").replace("\\$", "£")
    text = _join_thousands(text)
    text = _mark_texts(text)
    text = text.replace("\\\\", "⏎")
    text = _DROPPED.sub(" ", text).replace("\\%", "%").replace("\\#", "#")
    text = _COMMAND.sub(lambda match: _NAMES.get(match.group(), match.group()), text)
    text = text.replace("^{°}", "°").replace("^ °", "°").replace("^°", "°").replace("^{ °}", "°")
    text = _REPEATING.sub(_repeating, text)
    text = _MIXED.sub(r"(\1+\2/\3)", text)
    text = " ".join(text.split()).rstrip(" .;,").strip()
    stray = text.count("}") - text.count("{")
    return text.removesuffix("}" * stray) if stray > 0 else text


def _repeating(match: re.Match[str]) -> str:
    """`0.1\\overline{6}` as the fraction that it is."""
    whole, first, again = match.groups()
    above = int(whole + first + again) - int((whole + first) or "0")
    return f"(\\frac{{{above}}}{{{10 ** len(first) * (10 ** len(again) - 1)}}})"


def _join_thousands(text: str) -> str:
    """`1,000` becomes 1000 where all of the text is one number, perhaps with a unit."""
    bare = text.strip().lstrip("$£ ")
    match = _THOUSANDS.match(bare)
    if match is None or "," in bare[match.end() :]:
        return text
    return (
        re.sub(r"\D", "", match[1]).join(
            ["-" if match[1].startswith("-") else "", re.sub(r"\D", "", match[2])]
        )
        + bare[match.end() :]
    )


def _mark_texts(text: str) -> str:
    """`\\text{...}` as `⟪...⟫`; what is not closed stays."""
    if "\\" not in text:
        return text
    parts, at = [], 0
    for match in _TEXT.finditer(text):
        if match.start() < at:
            continue
        end = text.find("}", match.end())
        if end < 0:
            break
        parts += [text[at : match.start()], "⟪", text[match.end() : end], "⟫"]
        at = end + 1
    return "".join([*parts, text[at:]])


# ---------------------------------------------------------------- structure


def _read(text: str, level: int) -> object:
    """The value of a cleaned text."""
    if not text or level > LEVELS:
        return Words(text)
    if "\\begin" in text:
        return _matrix(text, level) or Words(text)
    for separator in (_unions, _alternatives):
        parts = separator(text)
        if len(parts) > 1:
            return Several(tuple(_flat(_read(part.strip(), level + 1) for part in parts)))
    return _bracketed(text, level) or _statement(text, level) or _quantity(text) or Words(text)


def _flat(values) -> list:
    """Values without sets in sets."""
    flat = []
    for value in values:
        flat += value.items if isinstance(value, Several) else [value]
    return flat


def _unions(text: str) -> list[str]:
    return _split(text, ("\\cup",)) if "\\cup" in text else [text]


def _alternatives(text: str) -> list[str]:
    """The parts between commas, semicolons, "and", "or"."""
    parts = _split(text, (",", ";", "⟪ or ⟫", "⟪or⟫", "⟪ and ⟫", "⟪and⟫", " or ", " and ", "⟪,⟫"))
    return [part for part in parts if part.strip()] or [text]


def _split(text: str, separators: tuple[str, ...]) -> list[str]:
    """`text` at the separators that stand in no bracket."""
    parts, start, depth, at = [], 0, 0, 0
    while at < len(text):
        found = ""
        if depth == 0:
            found = next((s for s in separators if text.startswith(s, at)), "")
        if found:
            parts.append(text[start:at])
            at += len(found)
            start = at
            continue
        depth += (text[at] in _OPEN) - (text[at] in _CLOSE)
        depth = max(depth, 0)
        at += 1
    return [*parts, text[start:]]


def _whole_bracket(text: str) -> bool:
    """Whether the first bracket closes at the end of the text."""
    if text[0] not in _OPEN or text[-1] not in _CLOSE:
        return False
    depth = 0
    for at, char in enumerate(text):
        depth += (char in _OPEN) - (char in _CLOSE)
        if depth == 0:
            return at == len(text) - 1
    return False


def _bracketed(text: str, level: int) -> object | None:
    """A set, a tuple, an interval, or what stands in needless brackets."""
    if text == "\\emptyset":
        return Several(())
    if not _whole_bracket(text):
        return None
    inner = text[1:-1].strip()
    if text[0] == "⟪":
        return _quantity(inner) if inner[:1].isdecimal() else None
    parts = _split(inner, (",", ";")) if inner else []
    items = tuple(_read(part.strip(), level + 1) for part in parts)
    if text[0] == "⦃" or (text[0] == "{" and len(parts) > 1):
        return Several(tuple(_flat(items)))
    if len(parts) == 1 and text[0] in "({[":
        return items[0]
    return Ordered(text[0], text[-1], items)


def _matrix(text: str, level: int) -> object | None:
    """`\\begin{pmatrix}...\\end{pmatrix}` as rows; one column or row as its entries."""
    match = re.fullmatch(r"\\begin\s?\{[a-z]{0,2}matrix\}(.*)\\end\s?\{[a-z]{0,2}matrix\}", text)
    if match is None:
        return None
    rows = [row.split("&") for row in match[1].split("⏎") if row.strip()]
    read = tuple(
        Ordered("|", "|", tuple(_read(entry.strip(), level + 1) for entry in row)) for row in rows
    )
    return Ordered("|", "|", read)


def _statement(text: str, level: int) -> object | None:
    """`x = 5`, `x > 3` as an interval, `x \\in [0, 1]` as the interval, `5 + 3 = 8` as 8."""
    if member := _MEMBER.search(text):
        name, rest = text[: member.start()], text[member.end() :]
        return _read(rest.strip(), level + 1) if _NAME.fullmatch(name) else None
    if "\\ne" in text:
        return None
    signs = _RELATION.findall(text)
    if signs:
        return _interval(_RELATION.split(text), signs, level)
    sides = text.replace(":=", "=").replace("\\equiv", "=").split("=")
    if len(sides) < 2:
        return None
    if _NAME.fullmatch(sides[0]):
        return Named("".join(sides[0].split()), _read(sides[-1].strip(), level + 1))
    try:
        difference = evaluate(f"({sides[0]})-({sides[-1]})")
    except Unreadable:
        return None
    return Equation(difference) if difference.variable else _read(sides[-1].strip(), level + 1)


def _interval(sides: list[str], signs: list[str], level: int) -> object | None:
    """`x > 3` and `1 < x \\le 2` as intervals of the name between."""
    sides = [side.strip() for side in sides]
    rising = all(sign[0] == "<" or sign.startswith(("\\le", "≤")) for sign in signs)
    if not rising:
        if any(sign[0] == "<" or sign.startswith(("\\le", "≤")) for sign in signs):
            return None
        sides, signs = sides[::-1], signs[::-1]
    closed = [sign not in ("<", ">") for sign in signs]
    infinity, minus = _read("\\infty", LEVELS), _read("-\\infty", LEVELS)
    if len(sides) == 3 and _NAME.fullmatch(sides[1]):
        low, high = _read(sides[0], level + 1), _read(sides[2], level + 1)
        return Ordered("[" if closed[0] else "(", "]" if closed[1] else ")", (low, high))
    if len(sides) != 2:
        return None
    if _NAME.fullmatch(sides[0]):
        return Ordered("(", "]" if closed[0] else ")", (minus, _read(sides[1], level + 1)))
    if _NAME.fullmatch(sides[1]):
        return Ordered("[" if closed[0] else "(", ")", (_read(sides[0], level + 1), infinity))
    return None


def _quantity(text: str) -> object | None:
    """A number or an expression with its unit; both values of `\\pm`."""
    core, unit, percent = split_unit(text)
    if not core:
        return None
    try:
        value = Quantity(evaluate(core), unit, percent)
        if "\\pm" not in core:
            return value
        return Several((value, Quantity(evaluate(core, -1), unit, percent)))
    except Unreadable:
        return None
