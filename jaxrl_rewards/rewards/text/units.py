"""Units and signs beside a number: what is taken off, and which units say the same."""

from __future__ import annotations

import re

_SAME = {
    "cm": "centimeter centimetre",
    "mm": "millimeter millimetre",
    "km": "kilometer kilometre",
    "m": "meter metre",
    "in": "inch inche inches",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "kg": "kilogram",
    "g": "gram gm",
    "mg": "milligram",
    "lb": "pound lbs",
    "oz": "ounce",
    "l": "liter litre",
    "ml": "milliliter millilitre",
    "s": "second sec",
    "min": "minute",
    "h": "hour hr",
    "day": "",
    "week": "",
    "month": "",
    "year": "yr",
    "mph": "milesperhour mi/h",
    "km/h": "kilometersperhour kph",
    "m/s": "meterspersecond",
    "°": "degree deg",
    "radian": "rad",
    "$": "dollar usd",
    "cent": "",
    "am": "",
    "pm": "",
}
_KNOWN = {name: unit for unit, names in _SAME.items() for name in (unit, *names.split())}
_ATTACHED = {name for name in _KNOWN if len(name) > 1 and name.isalpha()}
_NO_UNITS = {"pi", "sqrt", "sin", "cos", "tan", "log", "ln", "exp", "or", "and", "to", "mod"}
_MONEY = ("£", "€", "¥")
"""A dollar sign that is written `\\$` comes as a pound; alone it is a mark of mathematics."""
_BASE = re.compile(r"([0-9A-Fa-f]{1,60})_\{?(\d{1,2})\}?")
_WORDS = re.compile(r"[A-Za-z][A-Za-z .^/\d{}°-]*")


def split_unit(text: str) -> tuple[str, str, bool]:
    """`(number, unit, percent)` of a cleaned text; the unit is "" where there is none."""
    for sign in _MONEY:
        if text.startswith(sign):
            text = text[len(sign) :].strip()
            break
        if text.startswith("-" + sign):
            text = "-" + text[len(sign) + 1 :].strip()
            break
    if match := _BASE.fullmatch(text):
        return match[1], f"base {match[2]}", False
    percent = text.endswith("%") or text.endswith("percent")
    if percent:
        return text.removesuffix("%").removesuffix("percent").strip(), "", True
    if text.endswith("°") and not any(name in text for name in ("\\sin", "\\cos", "\\tan")):
        return text[:-1].strip(), "°", False
    at = text.find("⟪")
    if at >= 0:
        unit = text[at:].replace("⟪", " ").replace("⟫", " ")
        return text[:at].strip(), unit_name(unit), "percent" in unit
    return *_trailing_words(text), False


def _trailing_words(text: str) -> tuple[str, str]:
    """A number and the words behind it: `5 apples`, `5cm^2`, `60 miles per hour`."""
    power = next((e for e in ("^2", "^3", "^{2}", "^{3}") if text.endswith(e)), "")
    bare = text.removesuffix(power)
    at = len(bare)
    while at and not (bare[at - 1] in ")}]!|" or bare[at - 1].isdecimal()):
        at -= 1
    if bare.startswith("\\pi ", at + (bare[at : at + 1] == " ")):
        at = bare.index("\\pi ", at) + 3
    words = bare[at:].strip()
    if not at or not _WORDS.fullmatch(words):
        return text, ""
    first = words.split()[0].lower().strip(".")
    spaced = bare[at] == " " and len(first) > 1
    if first in _NO_UNITS or not (spaced or first in _ATTACHED):
        return text, ""
    return bare[:at].strip(), unit_name(words + power)


def unit_name(text: str) -> str:
    """One name for the ways of writing a unit: `centimeters`, `cm.` and `cm` are one."""
    name = "".join(text.lower().replace(".", "").split()).replace("{", "").replace("}", "")
    name = name.replace("squared", "^2").replace("cubed", "^3")
    for prefix, power in (("square", "^2"), ("cubic", "^3"), ("sq", "^2")):
        if name.startswith(prefix) and len(name) > len(prefix):
            name = name.removeprefix(prefix) + power
    base, caret, power = name.partition("^")
    base = _KNOWN.get(base) or _KNOWN.get(base.removesuffix("s")) or base
    return base + caret + power


def units_conflict(left: str, right: str) -> bool:
    """Whether both are units that are known, and not the same one."""
    return left != right and all(
        name.startswith("base ") or name.partition("^")[0] in _SAME for name in (left, right)
    )
