"""Reference vectors: reading them, running our functions on them, comparing the outcome.

A file holds `{"system": name, "cases": [{"function", "inputs", "expected"}, ...]}`; the module
`tests.reference.adapters.<system>` has a dict `ADAPTERS` from the file's function names to
callables `(inputs) -> value`, which is compared with `expected`, entry by entry.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parent / "data"
RELATIVE, ABSOLUTE = 1e-5, 1e-6
_SPECIAL = {
    "nan": math.nan,
    "inf": math.inf,
    "+inf": math.inf,
    "-inf": -math.inf,
    "infinity": math.inf,
    "-infinity": -math.inf,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One entry of a file."""

    system: str
    file: Path
    index: int
    function: str
    inputs: dict[str, Any]
    expected: Any
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.system}-{self.index}-{self.function}"


def read_cases(file: Path) -> list[Case]:
    """All cases of one file; ValueError with the file's name where it is no such file."""
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as reference vectors: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("cases"), list):
        raise ValueError(f"{file} has no list 'cases'")
    system = content.get("system", Path(file).stem)
    cases = []
    for index, case in enumerate(content["cases"]):
        missing = {"function", "inputs", "expected"} - set(case)
        if missing:
            raise ValueError(f"{file}, case {index}: no {', '.join(sorted(missing))}")
        cases.append(
            Case(
                system=system,
                file=Path(file),
                index=index,
                function=case["function"],
                inputs=case["inputs"],
                expected=case["expected"],
                note=case.get("note", ""),
            )
        )
    return cases


def adapters_of(system: str) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """The adapters of a system; LookupError when it has none."""
    name = f"tests.reference.adapters.{system}"
    if not system.isidentifier() or importlib.util.find_spec(name) is None:
        raise LookupError(f"system {system!r} has no module tests/reference/adapters/{system}.py")
    return importlib.import_module(name).ADAPTERS


def run_case(case: Case) -> Any:
    """What our function gives for the case; LookupError when its name has no adapter."""
    adapters = adapters_of(case.system)
    if case.function not in adapters:
        raise LookupError(
            f"{case.file.name}, case {case.index}: function {case.function!r} has no adapter in "
            f"tests/reference/adapters/{case.system}.py"
        )
    return adapters[case.function](case.inputs)


def number_array(value: Any) -> np.ndarray:
    """Float64 array of nested lists of numbers, booleans, None (NaN), "nan", "inf", "-inf"."""

    def convert(node: Any) -> Any:
        if isinstance(node, list):
            return [convert(item) for item in node]
        if isinstance(node, str):
            return _SPECIAL[node.strip().lower()]
        return math.nan if node is None else float(node)

    return np.asarray(convert(value), np.float64)


def compare(actual: Any, expected: Any, where: str = "") -> tuple[float, list[str]]:
    """`(largest error, complaints)`.

    The error of a number is `|a − b| / (|b| + 0.1)`; the rule `|a − b| ≤ 1e-5 |b| + 1e-6` asks
    for at most 1e-5 of it. NaN equals NaN only and an infinity itself only.
    """
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return math.inf, [f"{where or 'result'}: expected a mapping, got {type(actual)}"]
        worst, complaints = 0.0, []
        for key, value in expected.items():
            place = f"{where}.{key}" if where else key
            if key not in actual:
                worst, complaints = math.inf, [*complaints, f"{place}: the adapter gives none"]
                continue
            error, more = compare(actual[key], value, place)
            worst, complaints = max(worst, error), complaints + more
        return worst, complaints
    if isinstance(expected, str) and expected.strip().lower() not in _SPECIAL:
        return _equal(actual, expected, where)
    if expected is None:
        return _equal(actual, None, where)
    if isinstance(expected, list) and not _numeric(expected):
        actual = list(actual)
        if len(actual) != len(expected):
            return math.inf, [f"{where}: {len(actual)} entries, expected {len(expected)}"]
        results = [
            compare(one, other, f"{where}[{i}]")
            for i, (one, other) in enumerate(zip(actual, expected, strict=True))
        ]
        return max((r[0] for r in results), default=0.0), [c for r in results for c in r[1]]
    return _compare_numbers(np.asarray(actual, np.float64), number_array(expected), where)


def _equal(actual: Any, expected: Any, where: str) -> tuple[float, list[str]]:
    same = type(actual) is type(expected) and actual == expected
    return (0.0, []) if same else (math.inf, [f"{where}: got {actual!r}, expected {expected!r}"])


def _numeric(node: Any) -> bool:
    if isinstance(node, list):
        return all(_numeric(item) for item in node) and _rectangular(node)
    if isinstance(node, str):
        return node.strip().lower() in _SPECIAL
    return isinstance(node, (int, float))


def _rectangular(node: list) -> bool:
    lengths = {len(item) if isinstance(item, list) else -1 for item in node}
    return len(lengths) <= 1


def _compare_numbers(actual: np.ndarray, expected: np.ndarray, where: str):
    if actual.shape != expected.shape:
        return math.inf, [f"{where}: shape {actual.shape}, expected {expected.shape}"]
    with np.errstate(invalid="ignore"):
        error = np.abs(actual - expected) / (np.abs(expected) + ABSOLUTE / RELATIVE)
    identical = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    error = np.where(identical, 0.0, np.where(np.isfinite(error), error, math.inf))
    bad = np.argwhere(error > RELATIVE)
    complaints = [
        f"{where}{list(map(int, index)) if len(index) else ''}: got {actual[tuple(index)]!r}, "
        f"expected {expected[tuple(index)]!r}"
        for index in bad[:5]
    ]
    return float(error.max(initial=0.0)), complaints
