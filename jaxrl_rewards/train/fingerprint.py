"""What a pytree holds besides its arrays: names and digests of its static parts.

A reward's function, a schedule's kind or a world's tables decide what a run computes just as its
numbers do, but no array shows them.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import types
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def static_parts(tree: Any) -> dict[str, str]:
    """The static parts of `tree` as text, by their place in it."""
    found: dict[str, str] = {}
    _walk(jax.tree.structure(tree), "", found)
    return found


def fingerprint(value: Any, seen: tuple[int, ...] = ()) -> str:
    """A short text that is equal for equal values in every process: functions by name and code (not
    that of the functions they call by name), arrays by digest, no addresses."""
    if id(value) in seen:
        return "..."
    return _described(value, lambda part: fingerprint(part, (*seen, id(value))))


def _described(value: Any, fingerprint: Callable[[Any], str]) -> str:
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None and not isinstance(value, type):  # jitted and decorated functions
        return f"{type(value).__name__}({fingerprint(wrapped)})"
    if isinstance(value, functools.partial):
        return f"partial({fingerprint(value.func)}, {fingerprint((value.args, value.keywords))})"
    if isinstance(value, types.MethodType):
        return f"{fingerprint(value.__func__)} of {fingerprint(value.__self__)}"
    if isinstance(value, types.FunctionType):
        return f"{value.__module__}.{value.__qualname__}#{_digest(_code_of(value, fingerprint))}"
    if isinstance(value, type | types.BuiltinFunctionType | types.ModuleType):
        return getattr(value, "__qualname__", value.__name__)
    if isinstance(value, np.ndarray | jax.Array):
        array = np.ascontiguousarray(np.asarray(value))
        return f"{array.dtype}{list(array.shape)}#{_digest(array.tobytes())}"
    if isinstance(value, dict):
        return str({str(key): fingerprint(item) for key, item in sorted(value.items(), key=str)})
    if isinstance(value, tuple | list | set | frozenset):
        items = [fingerprint(item) for item in value]
        return str(sorted(items) if isinstance(value, set | frozenset) else items)
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return f"{type(value).__qualname__}{fingerprint(fields)}"
    if type(value).__repr__ is object.__repr__:  # would show an address
        return f"{type(value).__qualname__}{fingerprint(getattr(value, '__dict__', {}))}"
    return ADDRESS.sub("", repr(value))


def _walk(structure: Any, path: str, found: dict[str, str]) -> None:
    node = structure.node_data()
    if node is None:  # a leaf, or nothing
        return
    kind, data = node
    names = [str(index) for index in range(structure.num_nodes)]
    if dataclasses.is_dataclass(kind):
        fields = dataclasses.fields(kind)
        names = [f.name for f in fields if f.metadata.get("pytree_node", True)]
        static = [f.name for f in fields if not f.metadata.get("pytree_node", True)]
        found[f"{path}.type".lstrip(".")] = kind.__qualname__
        values = data if isinstance(data, tuple) else ()
        for name, value in zip(static, values):
            found[f"{path}.{name}".lstrip(".")] = fingerprint(value)
    elif kind is dict:
        names = [str(name) for name in data]
    elif hasattr(kind, "_fields"):
        names = list(kind._fields)
    elif data is not None and kind not in (tuple, list):
        found[f"{path}.static".lstrip(".")] = fingerprint(data)
    for name, child in zip(names, structure.children()):
        _walk(child, f"{path}.{name}", found)


def _code_of(function: types.FunctionType, fingerprint: Callable[[Any], str]) -> bytes:
    """Bytes that change with what the function does: its code, defaults and what it closes over."""
    parts = [_bytes_of_code(function.__code__)]
    parts.append(fingerprint((function.__defaults__, function.__kwdefaults__)).encode())
    for cell in function.__closure__ or ():
        try:
            parts.append(fingerprint(cell.cell_contents).encode())
        except ValueError:  # an empty cell
            parts.append(b"?")
    return b"|".join(parts)


def _bytes_of_code(code: types.CodeType) -> bytes:
    constants = [
        _bytes_of_code(item) if isinstance(item, types.CodeType) else fingerprint(item).encode()
        for item in code.co_consts
    ]
    names = repr((code.co_names, code.co_varnames)).encode()
    return b"|".join([code.co_code, names, *constants])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
