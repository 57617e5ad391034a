"""Sizes of a study: what a configuration must keep, and its small version for a first look."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxrl_rewards.core.errors import InputError

KEY_LIMIT = 2**30


def at_least(config: Any, least: float, *names: str) -> None:
    """InputError unless every field of `names` is `least` or more."""
    for name in names:
        if not getattr(config, name) >= least:
            raise InputError(f"{name} must be at least {least:g}, got {getattr(config, name)}")


def multiple(config: Any, name: str, of: str) -> None:
    """InputError unless the field `name` is a multiple of the field `of`."""
    value, unit = getattr(config, name), getattr(config, of)
    if value % unit:
        raise InputError(f"{name}={value} must be a multiple of {of}={unit}")


def shared_fields(kind: type, config: Any) -> dict[str, Any]:
    """The values of `config` whose names are fields of the dataclass `kind` too: what a study's
    configuration passes on to the configuration of a learner or a world."""
    own = {field.name for field in dataclasses.fields(config)}
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(kind)
        if field.name in own
    }


def root_key(config: Any) -> int:
    """The field `root_key`, from which all that is random in a study comes.

    InputError where it is missing, or does not lie between 0 and 2**30 - 1.
    """
    value = getattr(config, "root_key", None)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < KEY_LIMIT:
        raise InputError(f"root_key must be a whole number from 0 to 2**30 - 1, got {value!r}")
    return value


def changed(config: Any, changes: dict[str, Any]) -> Any:
    """The configuration with other values; InputError for a field that it lacks."""
    known = [field.name for field in dataclasses.fields(config)]
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise InputError(f"{unknown[0]!r} is no field of {type(config).__name__}: {known}")
    return dataclasses.replace(config, **changes)
