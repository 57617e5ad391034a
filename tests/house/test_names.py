"""Every name that a function reads exists; the linter cannot tell, for shapes are names too."""

import builtins
import symtable
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("jaxrl_rewards", "envs", "benchmarks", "tests")
GIVEN = {*dir(builtins), "__file__", "__name__", "__package__", "__doc__", "__class__"}


def unknown_names(source: str) -> list[str]:
    """Names read somewhere in a module that neither it nor Python defines. Annotations, which are
    text under `from __future__ import annotations`, do not count."""
    module = symtable.symtable(source, "module", "exec")
    tables = list(_inside(module))
    known = {s.get_name() for s in module.get_symbols() if s.is_assigned() or s.is_imported()}
    known |= {child.get_name() for child in module.get_children()} | GIVEN
    known |= {
        symbol.get_name()
        for table in tables
        for symbol in table.get_symbols()
        if symbol.is_declared_global() and symbol.is_assigned()
    }
    return sorted(
        {
            symbol.get_name()
            for table in tables
            for symbol in table.get_symbols()
            if symbol.is_referenced() and symbol.is_global() and symbol.get_name() not in known
        }
    )


def _inside(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    if table.get_type() not in ("annotation", "type parameters"):
        yield table
        for child in table.get_children():
            yield from _inside(child)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_name_is_defined(folder):
    wrong = {
        str(path.relative_to(REPOSITORY)): names
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        if (names := unknown_names(path.read_text(encoding="utf-8")))
    }
    assert not wrong, wrong


def test_a_lost_import_is_found():
    source = "from a import b\n\ndef f(x):\n    y = [c for c in x]\n    return b(y, lost)\n"
    assert unknown_names(source) == ["lost"]
    assert unknown_names("import a.b\nfor i in a.b.c: print(i, __file__)\n") == []
