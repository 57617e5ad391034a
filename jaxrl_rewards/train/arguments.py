"""Shared parsing: dataclasses become flags, and a bad value becomes one sentence."""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

from jaxrl_rewards.core.errors import InputError

T = TypeVar("T")

SMALLEST, LARGEST = 1.2e-38, 3.4e38
"""Beyond these a number is 0 or infinite as a float32."""


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

    A switch may stand alone (`--resume`) or with its value (`--anneal False`); whole numbers may be
    written as 1e6. With `prefixes`, flags of a nested dataclass carry its field's name
    (`--env.character`); else they stand alone (`--character`). Help ends the process.

    Raises:
      InputError: an unknown flag, a value that cannot be read, or one that the dataclass refuses.
    """
    import tyro

    kinds = _flags(kind, "" if prefixes else None)
    arguments = _checked(arguments, kinds, prog)

    extra = {} if default is None else {"default": default}
    plain = () if prefixes else (tyro.conf.OmitArgPrefixes,)
    switches = {name for name, its_kind in kinds.items() if its_kind is bool}
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


def changed_flags(values: Any, default: Any) -> list[str]:
    """The flags, without prefixes, that turn the dataclass `default` into `values`."""
    flags: list[str] = []
    for field in dataclasses.fields(values):
        now, before = getattr(values, field.name), getattr(default, field.name)
        if now == before:
            continue
        if dataclasses.is_dataclass(now):
            flags += changed_flags(now, before)
            continue
        many = isinstance(now, tuple | list)
        flags += [f"--{field.name.replace('_', '-')}", *map(str, now if many else [now])]
    return flags


def _flags(kind: Any, prefix: str | None) -> dict[str, Any]:
    """The flags of a dataclass, nested ones included, with bool, int, float or None (another kind);
    prefix None: no prefixes."""
    plain = {"bool": bool, "int": int, "float": float}
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        nested = field.default
        if field.default_factory is not dataclasses.MISSING:
            nested = field.default_factory()
        if dataclasses.is_dataclass(nested):
            found |= _flags(type(nested), None if prefix is None else f"{prefix}{name}.")
        else:
            text = field.type if isinstance(field.type, str) else field.type.__name__
            text = text.removesuffix(" | None")
            found[f"--{prefix or ''}{name}"] = plain.get(text)
    return found


def _checked(arguments: Sequence[str], kinds: dict[str, Any], prog: str) -> list[str]:
    """The arguments with whole numbers written out; InputError for what cannot be meant."""
    out: list[str] = []
    option, kind, waits = None, None, False
    for token in [*arguments, "--"]:
        opens = token.startswith("--")
        if opens and waits:
            raise InputError(f"{option} needs a value; `{prog} --help` explains it")
        if token == "--":
            continue
        if opens:
            option, given, value = token.partition("=")
            option = option.replace("_", "-")
            if option not in kinds and option != "--help":
                close = difflib.get_close_matches(option, kinds, n=1)
                hint = f"did you mean {close[0]}?" if close else f"`{prog} --help` lists them"
                raise InputError(f"{option} is no option of {prog}; {hint}")
            kind = kinds.get(option)
            waits = kind in (int, float) and not given
            out.append(f"{option}={_number(value, kind, option)}" if given else token)
        elif option is None:
            name = token.split("=")[0]
            raise InputError(
                f"{token!r} is no option of {prog}; options begin with --, as --{name}"
            )
        else:
            out.append(_number(token, kind, option) if waits else token)
            waits = False
    return out


def _number(text: str, kind: Any, option: str) -> str:
    """A number as tyro reads it."""
    if kind not in (int, float) or text == "None":
        return text
    try:
        value = float(text)
    except ValueError:
        needed = "a whole number" if kind is int else "a number"
        raise InputError(f"{option} needs {needed}, got {text!r}") from None
    if kind is float:
        if math.isfinite(value) and value != 0 and not SMALLEST <= abs(value) <= LARGEST:
            raise InputError(
                f"{option} needs a number that 32 bits hold (up to {LARGEST:.0e}), got {text}"
            )
        return text
    if not value.is_integer():
        raise InputError(f"{option} needs a whole number, got {text!r}")
    return str(int(text)) if text.lstrip("+-").isdigit() else str(int(value))


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
