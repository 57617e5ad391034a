"""Shared parsing: dataclasses become flags, and a bad value becomes one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import re
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

from jaxrl_rewards.core.errors import InputError

T = TypeVar("T")
_BOX = "│|╭╮╰╯"


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

    A switch may stand alone (`--resume`) or with its value (`--anneal False`), and a whole number
    may be written as `1e6`. Whatever cannot be read, and what the dataclass itself refuses, raises
    InputError with one sentence. With `prefixes`, flags of a nested dataclass carry its field's
    name (`--env.character`); else they stand alone (`--character`).
    """
    import tyro

    extra = {} if default is None else {"default": default}
    plain = () if prefixes else (tyro.conf.OmitArgPrefixes,)
    kinds = _flags(kind, "" if prefixes else None)
    arguments = _whole_numbers(kinds, _complete_switches(kinds, arguments))
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.cli(
                kind, args=arguments, prog=prog, description=description,
                config=(tyro.conf.FlagConversionOff, *plain), **extra,
            )  # fmt: skip
    except SystemExit as end:
        if not end.code:
            raise
        raise InputError(f"{_sentence(told.getvalue(), kinds)}; see {prog} --help") from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from error


def _sentence(text: str, kinds: dict[str, str]) -> str:
    """The parser's message in a box as one sentence in the words of the other errors."""
    flat = " ".join(text.translate(str.maketrans("", "", _BOX)).split())
    found = re.search(
        r"(Unrecognized options:|Missing value for argument|Error parsing) .*?"
        r"(?= [-─]{5,}| Argument helptext| For full helptext|$)",
        flat,
    )
    message = found.group() if found else flat
    head, _, rest = message.partition(": ")
    if head == "Unrecognized options":
        return _unknown(rest.split(", ")[0].split()[0], kinds)
    if head.startswith("Missing value for argument"):
        return f"{head.split(chr(39))[1]} needs a value"
    if head.startswith("Error parsing "):
        flag = head.removeprefix("Error parsing ")
        given = rest.rpartition(": ")[2].strip()
        wanted = {"int": "a whole number", "float": "a number", "bool": "True or False"}
        plain = kinds.get(flag, "").removesuffix(" | None")
        if plain in wanted:
            return f"{flag} must be {wanted[plain]}, got {given}"
        return f"{flag} cannot be read: {rest}"
    return message.rstrip(".") or "the arguments cannot be read"


def _unknown(token: str, kinds: dict[str, str]) -> str:
    """What to do about an option that does not exist, or a word that stands alone."""
    name = token.partition("=")[0]
    if not token.startswith("-"):
        return f"{token!r} is no option; options begin with --, as in --{name.replace('_', '-')}"
    close = difflib.get_close_matches(name.replace("_", "-"), kinds, n=1)
    return f"there is no option {name}" + (f"; did you mean {close[0]}?" if close else "")


def _whole_numbers(kinds: dict[str, str], arguments: Sequence[str]) -> list[str]:
    """The arguments with `1e6` written out where a whole number is asked for."""
    out: list[str] = []
    for token in arguments:
        flag, equals, value = token.partition("=")
        if equals and _is_whole_flag(kinds, flag):
            token = f"{flag}={_written_out(value)}"
        elif out and _is_whole_flag(kinds, out[-1]):
            token = _written_out(token)
        out.append(token)
    return out


def _is_whole_flag(kinds: dict[str, str], flag: str) -> bool:
    return kinds.get(flag.replace("_", "-")) in ("int", "int | None")


def _written_out(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    return str(int(number)) if "e" in value.lower() and number.is_integer() else value


def _complete_switches(kinds: dict[str, str], arguments: Sequence[str]) -> list[str]:
    """The arguments with "True" after every switch that stands alone."""
    out = []
    for index, token in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else "--"
        out.append(token)
        alone = following.startswith("-") or "=" in following
        if kinds.get(token.replace("_", "-")) == "bool" and alone:
            out.append("True")
    return out


def _flags(kind: Any, prefix: str | None) -> dict[str, str]:
    """Flag to the name of its type, of a dataclass and those nested in it; None: no prefixes."""
    found: dict[str, str] = {}
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(field.default):
            found |= _flags(field.default, None if prefix is None else f"{prefix}{name}.")
        else:
            plain = field.type if isinstance(field.type, str) else _type_name(field.type)
            found[f"--{prefix or ''}{name}"] = plain
    return found


def _type_name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))


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
