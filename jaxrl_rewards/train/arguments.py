"""Shared parsing: dataclasses become flags, and a bad value becomes one sentence."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

from jaxrl_rewards.core.errors import InputError

T = TypeVar("T")


def parse(
    kind: Any,
    arguments: Sequence[str],
    *,
    prog: str,
    description: str,
    default: Any = None,
    prefixes: bool = False,
) -> Any:
    """Parse `arguments` into the dataclass `kind` with tyro.

    A switch may stand alone (`--resume`) or with its value (`--anneal False`). Unknown flags and
    unreadable values end with tyro's message and exit code 2. A value that the
    dataclass itself refuses raises InputError. With `prefixes`, flags of a nested dataclass carry
    its field's name (`--env.character`); else they stand alone (`--character`).
    """
    import tyro

    extra = {} if default is None else {"default": default}
    plain = () if prefixes else (tyro.conf.OmitArgPrefixes,)
    switches = _switches(kind, "" if prefixes else None)
    try:
        return tyro.cli(
            kind, args=_complete_switches(switches, arguments), prog=prog, description=description,
            config=(tyro.conf.FlagConversionOff, *plain), **extra,
        )  # fmt: skip
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from error


def _complete_switches(names: set[str], arguments: Sequence[str]) -> list[str]:
    """The arguments with "True" after every switch that stands alone."""
    out = []
    for index, token in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        out.append(token)
        if token.replace("_", "-") in names and following.lower() not in ("true", "false"):
            out.append("True")
    return out


def _switches(kind: Any, prefix: str | None) -> set[str]:
    """The flags of the boolean fields of a dataclass, nested ones included; None: no prefixes."""
    found = set()
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(field.default):
            found |= _switches(field.default, None if prefix is None else f"{prefix}{name}.")
        elif field.type in (bool, "bool"):
            found.add(f"--{prefix or ''}{name}")
    return found


def choose(
    arguments: Sequence[str], options: dict[str, str], *, prog: str, what: str
) -> tuple[str | None, list[str]]:
    """Split off the first positional argument, which must be one of `options`.

    Prints help and returns None for `--help` or nothing; raises InputError for an unknown one.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        plural = "studies" if what == "study" else f"{what}s"
        width = max(18, 2 + max(len(name) for name in options))
        lines = [f"usage: {prog} {what.upper()} [FLAGS]", "", f"{plural}:"]
        lines += [f"  {name:<{width}}{text}" for name, text in options.items()]
        lines += ["", f"`{prog} {what.upper()} --help` shows the flags."]
        print("\n".join(lines), file=sys.stdout if arguments else sys.stderr)
        return None, list(arguments)
    name = arguments[0]
    if name not in options:
        raise InputError(f"{name!r} is no {what} here; choose one of {', '.join(options)}")
    return name, list(arguments[1:])
