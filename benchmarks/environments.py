"""The page of environments, generated from the registry, the docstrings and the recipes."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks.tables import RETURNS, number, read_results, table


def environments(results: Path) -> str:
    """An overview of all registered environments, then a section per class.

    A section holds the class's docstring, and for each registered name its spaces, its default
    reward with weights, its recipe and the measured and wanted return.
    """
    from jaxrl_envs import registry

    made = {name: registry.make(name) for name in registry.names()}
    summaries = registry.describe()
    measured = {
        row.get("what"): row
        for _, record in read_results(results, f"bench-{RETURNS}.json")
        for row in record.get("rows", [])
    }
    titles = ["name", "what it is", "observation", "action", "steps at most", "recipe reaches"]
    rows = [_row(name, env, summaries[name], measured.get(name)) for name, env in made.items()]
    classes: dict[type, list[str]] = {}
    for name, env in made.items():
        classes.setdefault(type(env), []).append(name)
    sections = [_section(kind, names, made) for kind, names in classes.items()]
    return "\n\n".join([table(titles, rows, "llllrl"), *sections])


def _row(name: str, env: Any, summary: str, measured: dict[str, Any] | None) -> list[str]:
    spec = env.spec
    reached = "no recipe yet"
    if measured is not None:
        reached = f"{number(measured['ours'])} (wanted {number(measured['required'])})"
    elif _recipe(name) is not None:
        reached = "not measured yet"
    link = f"[`{name}`](#{type(env).__name__.lower()})"
    spaces = [space_text(spec.observation_space), space_text(spec.action_space)]
    return [link, summary, *spaces, number(spec.max_steps), reached]


def _section(kind: type, names: Sequence[str], made: dict[str, Any]) -> str:
    """Docstring and state of the class, then what each of its names stands for."""
    text = inspect.cleandoc(kind.__doc__ or "")
    parts = [f"## {kind.__name__}", text, _state(made[names[0]])]
    for name in names:
        parts.append(f"**`{name}`**: reward {_reward(made[name])}. {_recipe_text(name)}")
    return "\n\n".join(parts)


def _state(env: Any) -> str:
    """What reward terms see as `prev` and `nxt`: the state's fields with their shapes."""
    state, _ = jax.eval_shape(env.reset, jax.random.key(0), env.default_params())
    fields = [
        f"`{field.name}`{_shape(getattr(state, field.name))}" for field in dataclasses.fields(state)
    ]
    return f"Reward terms see the state's {', '.join(fields)}."


def _shape(value: Any) -> str:
    """The shape of an array that is no scalar; nothing for the rest."""
    shape = getattr(value, "shape", ())
    return f" {list(shape)}" if isinstance(shape, tuple) and shape else ""


def _reward(env: Any) -> str:
    """The default reward as a weighted sum of its terms."""
    reward = env.default_params().reward
    weights = getattr(reward, "weights", (1.0,) * len(reward.names))
    terms = [
        f"{number(float(weight))} × `{name}`"
        for name, weight in zip(reward.names, weights, strict=True)
    ]
    return " + ".join(terms).replace("+ -", "- ")


def _recipe(name: str) -> Any:
    from jaxrl_rewards.learners.presets import PRESETS

    return PRESETS.get(name)


def _recipe_text(name: str) -> str:
    recipe = _recipe(name)
    if recipe is None:
        return "No recipe yet."
    settings = recipe.sizes | recipe.numbers
    listed = ", ".join(f"{key} {_plain(value)}" for key, value in settings.items())
    return (
        f"Recipe, {recipe.steps:,} steps: {listed}. Reference return "
        f"{number(recipe.reference_return)} ({recipe.source})."
    )


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def space_text(space: Any) -> str:
    """A space in a few words: `float32 [3]`, `2 choices`, `view [7, 7, 8], status [4]`."""
    kind = type(space).__name__
    if kind in ("Discrete", "MultiDiscrete"):
        sizes = getattr(space, "nvec", None)
        if sizes is None:
            return f"{space.n} choices"
        sizes = list(sizes)
        alike = len(set(sizes)) == 1
        return f"{len(sizes)} x {sizes[0]} choices" if alike else f"choices {sizes}"
    if kind == "DictSpace":
        return ", ".join(f"{name}: {space_text(inner)}" for name, inner in space.spaces)
    dtype = getattr(space.dtype, "dtype", space.dtype)
    name = getattr(dtype, "name", str(dtype))
    return f"{name} {list(space.shape)}{_bounds(space)}"


def _bounds(space: Any) -> str:
    low, high = space.low, space.high
    if isinstance(low, (tuple, list)) or isinstance(high, (tuple, list)):
        return ""
    if math.isinf(float(low)) or math.isinf(float(high)):
        return ""
    return f" in [{number(low)}, {number(high)}]"
