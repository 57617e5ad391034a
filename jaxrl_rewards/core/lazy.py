"""Packages whose names load on first use: an import costs nothing that is not needed.

Type checkers and editors see the same names by the imports under `TYPE_CHECKING`.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy_exports(
    package: str, names: Mapping[str, Sequence[str]], submodules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package's module.

    `names` holds, by submodule, what the package offers of it; `submodules` are offered
    themselves. No name may be that of a submodule it does not stand for: importing that submodule
    would put it in the name's place.
    """
    places = {name: module for module, offered in names.items() for name in offered}

    def get(name: str) -> Any:
        if name in submodules:
            return importlib.import_module(f"{package}.{name}")
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{places[name]}"), name)
        setattr(sys.modules[package], name, value)  # the next use finds it without asking
        return value

    def offered() -> list[str]:
        return sorted({*places, *submodules})

    return get, offered
