"""JSON from outside: parsed within limits, with one sentence about what is wrong."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError

LIMIT_BYTES = 1 << 25
"""Parsed values take up to about 20 times the memory of their text."""


def read_json(
    path: str | os.PathLike[str],
    kind: type | None = None,
    *,
    needs: tuple[str, ...] = (),
    finite: bool = True,
    limit_bytes: int = LIMIT_BYTES,
) -> Any:
    """The value of a JSON file in UTF-8 (a byte order mark is dropped).

    `kind`, `needs` and `finite` are those of `parse_json`. InputError, one sentence with the file,
    for one that is missing, no regular file, larger than `limit_bytes`, or no UTF-8.
    """
    path = Path(path)
    try:
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):
            what = "a folder" if stat.S_ISDIR(facts.st_mode) else "no regular file"
            raise InputError(f"{path} is {what}; give a JSON file")
        if facts.st_size > limit_bytes:
            raise InputError(
                f"{path} has {facts.st_size} bytes, more than the {limit_bytes} that are read; "
                "divide it or check that it is the right file"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}; check the path") from None
    return parse_json(text, path, kind, needs=needs, finite=finite, limit_bytes=limit_bytes)


def parse_json(
    text: str | bytes,
    where: Any,
    kind: type | None = None,
    *,
    needs: tuple[str, ...] = (),
    finite: bool = True,
    limit_bytes: int = LIMIT_BYTES,
) -> Any:
    """The value of a JSON text; `where` names its origin in messages.

    `kind` is `dict` or `list` where only that will do, `needs` names the entries that an object
    must have. With `finite`, NaN, infinities and numbers beyond a float's range are refused.
    InputError, one sentence, for these, for no JSON, for nesting that is too deep, for numbers of
    thousands of digits, and for a text of more than `limit_bytes`.
    """
    if len(text) > limit_bytes:
        raise InputError(f"{where} has {len(text)} bytes; at most {limit_bytes} are read")
    hooks = {"parse_constant": _refuse, "parse_float": _finite} if finite else {}
    try:
        value = json.loads(text, **hooks)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where} is not valid JSON ({error.msg}, line {error.lineno}, column {error.colno}); "
            "correct it"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None
    except RecursionError:
        raise InputError(
            f"{where} is not valid JSON (nested too deeply); make it flatter"
        ) from None
    except ValueError as error:
        shown = " ".join(str(error).split())[:120]
        raise InputError(f"{where} holds a number that cannot be used ({shown}); correct it") from (
            None
        )
    _check_kind(value, where, kind, needs)
    return value


def _check_kind(value: Any, where: Any, kind: type | None, needs: tuple[str, ...]) -> None:
    kind = dict if needs else kind
    names = {dict: "object", list: "list"}
    if kind is not None and not isinstance(value, kind):
        found = names.get(type(value), type(value).__name__)
        raise InputError(f"{where} must be a JSON {names[kind]}, but holds a {found}; correct it")
    for name in needs:
        if name not in value:
            raise InputError(f"{where} lacks {name!r}; it needs {', '.join(needs)}")


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not finite")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is not finite")
    return value
