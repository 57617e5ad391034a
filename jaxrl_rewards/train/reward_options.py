"""Weights of reward terms on the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import parse_json

PREFIX, WEIGHTS = "--reward.", "--reward-weights"


def split_reward_options(arguments: Sequence[str]) -> list[str]:
    """The arguments with all weights put together into one `--reward-weights` JSON object.

    Understood are `--reward.torque 0`, `--reward.torque=0`, `--reward-weights torque=0 angle=2`
    and `--reward-weights '{"torque": 0}'`.

    Raises:
      InputError: a weight is no finite number, or is missing.
    """
    weights: dict[str, float] = {}
    rest: list[str] = []
    tokens = list(arguments)
    while tokens:
        token = tokens.pop(0)
        option, given, value = token.partition("=")
        option = option.replace("_", "-") if option == "--reward_weights" else option
        if option.startswith(PREFIX):
            if not given:
                value = tokens.pop(0) if tokens else ""
            _add(weights, {option.removeprefix(PREFIX): number(value, option)})
        elif option == WEIGHTS:
            values = [value] if given else []
            while tokens and not tokens[0].startswith("--"):
                values.append(tokens.pop(0))
            _add(weights, _named(values))
        else:
            rest.append(token)
    return [*rest, WEIGHTS, json.dumps(weights)] if weights else rest


def _add(weights: dict[str, float], more: dict[str, float]) -> None:
    for name, value in more.items():
        if name in weights:
            raise InputError(f"the weight of {name!r} is given twice; give it once")
        weights[name] = value


def number(text: str, what: str) -> float:
    """A finite number; InputError names what it was for."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{what} needs a number, got {text!r}")
    return value


def _named(values: list[str]) -> dict[str, float]:
    joined = " ".join(values)
    if joined.lstrip().startswith(("{", "[")):
        return _from_json(joined)
    if not values:
        raise InputError(f"{WEIGHTS} needs weights by name, e.g. {WEIGHTS} torque=0 angle=2")
    found = {}
    for value in values:
        name, given, weight = value.partition("=")
        if not given:
            raise InputError(f"{WEIGHTS} needs NAME=NUMBER, got {value!r}")
        found[name] = number(weight, f"{WEIGHTS}: the weight of {name!r}")
    return found


def _from_json(text: str) -> dict[str, float]:
    wanted = parse_json(text, f"{WEIGHTS} {text[:80]!r}", dict, finite=False)
    for name, value in wanted.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{WEIGHTS}: the weight of {name!r} must be a number, got {value!r}")
    return {
        name: number(str(v), f"{WEIGHTS}: the weight of {name!r}") for name, v in wanted.items()
    }
