"""What there is to know of a world: spaces, reward terms, recipe, quantities for programs."""

from __future__ import annotations

import inspect
from typing import Any

from jaxrl_rewards.core.errors import InputError

SLOW_TO_MAKE = ("retarget", "planar-retarget")
"""Worlds that take seconds to make; their reward is `rewards.retarget_terms()`."""


def terms_of(name: str) -> dict[str, str]:
    """The weights of a world's reward terms by name, as text; InputError for an unknown world."""
    from jaxrl_envs import registry

    from jaxrl_rewards.rewards import retarget_terms

    if name in SLOW_TO_MAKE:
        return _weights(retarget_terms())
    return _weights(registry.make(name).default_params().reward)


def _weights(reward: Any) -> dict[str, str]:
    weights = getattr(reward, "weights", (1.0,) * len(reward.names))
    return {
        name: "scheduled" if hasattr(weight, "is_schedule") else f"{float(weight):g}"
        for name, weight in zip(reward.names, weights, strict=True)
    }


def describe_world(name: str) -> dict[str, Any]:
    """All of it, as plain values; InputError for an unknown world, or one that cannot be made."""
    from jaxrl_envs import registry
    from jaxrl_envs.quantities import quantities_of

    env = registry.make(name)
    reward = env.default_params().reward
    found: dict[str, Any] = {
        "name": name,
        "summary": registry.describe()[name],
        "observation": repr(env.spec.observation_space),
        "action": repr(env.spec.action_space),
        "max_steps": env.spec.max_steps,
        "about": inspect.getdoc(type(env)) or "",
        "terms": [
            {"name": term, "weight": weight, "text": _text_of(reward, term)}
            for term, weight in _weights(reward).items()
        ],
        "preset": preset_of(name),
    }
    try:
        table = quantities_of(env).table
    except InputError:
        table = {}
    found["quantities"] = {
        key: {**quantity._asdict(), "shape": list(quantity.shape)}
        for key, quantity in table.items()
    }
    return found


def preset_of(name: str) -> dict[str, Any] | None:
    """The recipe of a world: steps, sizes and numbers; None without one."""
    from jaxrl_rewards.learners.presets import PRESETS

    if name not in PRESETS:
        return None
    recipe = PRESETS[name]
    return {
        "steps": recipe.steps,
        **{key: list(v) if isinstance(v, tuple) else v for key, v in recipe.sizes.items()},
        **recipe.numbers,
        "reference_return": recipe.reference_return,
        "source": recipe.source,
    }


def _text_of(reward: Any, name: str) -> str:
    """The first sentence of what a term says of itself."""
    for term in getattr(reward, "rewards", (reward,)):
        if term.name == name:
            text = inspect.getdoc(getattr(term, "fn", None) or type(term)) or ""
            return text.split("\n\n")[0].replace("\n", " ")
    return ""


DIRECTIONS = {-1: "smaller is better", 1: "larger is better", 0: "neither", None: "not known"}


def quantities_text(name: str) -> str:
    """The quantities of a world and the language of programs, for people."""
    from jaxrl_envs import registry
    from jaxrl_envs.quantities import quantities_of

    from jaxrl_rewards.reward_design.programs.expression import (
        MAX_CHARACTERS,
        MAX_TERMS,
        TOTAL_LIMIT,
    )

    table = quantities_of(registry.make(name)).table
    width = max(map(len, table)) + 2
    lines = [f"quantities of {name}, as a step leaves them:"]
    for key, quantity in table.items():
        size = f", {quantity.shape[0]} numbers" if quantity.shape else ""
        lines.append(
            f"  {key:<{width}}{quantity.text} [{quantity.unit}{size}; about {quantity.scale:g}; "
            f"{DIRECTIONS[quantity.direction]}]"
        )
    lines += ["", "a program: up to", *LANGUAGE]
    lines[-len(LANGUAGE) - 1] = (
        f"a reward program is a text file of up to {MAX_TERMS} lines `name = expression` "
        f"({MAX_CHARACTERS} characters); the terms are added up, and a step's total is cut to "
        f"±{TOTAL_LIMIT:g}"
    )
    numbers = [key for key, quantity in table.items() if not quantity.shape]
    better = [key for key in numbers if table[key].direction] or numbers or list(table)
    first = better[0]
    sign = "-" if table[first].direction == -1 else ""
    lines += ["", "for example:", f"  first = {sign}{first}"]
    if len(better) > 1:
        sign = "-" if table[better[1]].direction == -1 else ""
        lines.append(f"  second = {sign}0.1 * sq({better[1]})")
    lines += ["", f"train on it: jaxrl-rewards train ppo --env {name} --reward FILE.txt"]
    return "\n".join(lines)


LANGUAGE = (
    "  operators   + - * / and comparisons < <= > >= (1 where true, else 0)",
    "  functions   abs exp log1p sqrt sq tanh sigmoid sin cos min max clip where div",
    "  vectors     norm sum mean dot, and vector[i] for a part",
)
