"""A reader sees a method, then its steps: no function is longer than a screen."""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("jaxrl_rewards", "envs", "benchmarks")
LONGEST = 60
"""Lines of a function, its docstring not counted."""
STILL_LONGER = {"jaxrl_rewards/train/evaluation.py: _player": 62}
"""They may shrink, not grow; nothing is added here."""


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    first = function.body[0]
    return lines - (first.end_lineno - first.lineno + 1)


def functions() -> dict[str, int]:
    """The length of every function, by file and name; the longest of equal names counts."""
    found: dict[str, int] = {}
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    name = f"{path.relative_to(REPOSITORY)}: {node.name}"
                    found[name] = max(found.get(name, 0), lines_of(node))
    return found


def test_functions_are_of_readable_length():
    long = {
        name: lines
        for name, lines in functions().items()
        if lines > STILL_LONGER.get(name, LONGEST)
    }
    assert not long, f"split along their steps: {long}"
