"""Worlds by name; a world's module is imported when the world is made."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Callable
from typing import Any

from jaxrl_rewards.core import Env, InputError
from jaxrl_rewards.core.extras import require_package

Factory = str | Callable[..., Env]


@dataclasses.dataclass(frozen=True)
class Entry:
    """How to make a world: a factory or its import path "module:attribute", and its defaults."""

    factory: Factory
    summary: str = ""
    defaults: tuple[tuple[str, Any], ...] = ()
    needs: str = ""
    """A package that not everybody has."""


def _grid(layout: str, summary: str) -> Entry:
    return Entry("jaxrl_envs.control:GridWorld", summary, (("layout", layout),))


def _language(task: str, summary: str) -> Entry:
    return Entry("jaxrl_envs.language:world", summary, (("task", task),))


_ENTRIES: dict[str, Entry] = {
    "CartPole-v1": Entry("jaxrl_envs.control:CartPole", "balance a pole on a cart"),
    "Pendulum-v1": Entry("jaxrl_envs.control:Pendulum", "swing a pendulum up with a weak motor"),
    "MountainCar-v0": Entry("jaxrl_envs.control:MountainCar", "rock a car out of a valley"),
    "MountainCarContinuous-v0": Entry(
        "jaxrl_envs.control:MountainCarContinuous",
        "rock a car out of a valley with a continuous push",
    ),
    "Acrobot-v1": Entry("jaxrl_envs.control:Acrobot", "swing a two-link pendulum up"),
    "gridworld": _grid("four-rooms", "a map of four rooms, or any map given as `layout`"),
    "gridworld-cliff": _grid("cliff", "walk along a cliff"),
    "gridworld-line-key": _grid("line-key", "fetch a key, walk back, pass a door"),
    "gridworld-door-key": _grid("door-key", "two rooms, a key and a door"),
    "gridworld-ice": _grid("ice", "slippery cells and pits"),
    "keydoor": Entry("jaxrl_envs.control:KeyDoor", "three rooms with keys, doors and stairs"),
    "keydoor_text": Entry(
        "jaxrl_envs.control:KeyDoor",
        "four such rooms that speak to the agent in text messages",
        (("rooms", 4), ("door_row", 1), ("messages", True)),
    ),
    "gridworld-continuous": Entry(
        "jaxrl_envs.control:ContinuousGridWorld",
        "a continuous square with a goal, a misleading bonus and a helpful distance",
    ),
    "tabular-rooms": Entry(
        "jaxrl_envs.control:TabularWorld",
        "four rooms with an exact model, for reward design",
        (("model", "rooms"),),
    ),
    "tabular-line-key": Entry(
        "jaxrl_envs.control:TabularWorld",
        "a line with a key to fetch, with an exact model",
        (("model", "line-key"),),
    ),
    "tabular-chain": Entry(
        "jaxrl_envs.control:TabularWorld",
        "a long chain with a far reward, with an exact model",
        (("model", "chain"),),
    ),
    "roguelike": Entry(
        "jaxrl_envs.roguelike:Roguelike", "random dungeons with keys, doors, monsters and gold"
    ),
    "retarget": Entry(
        "jaxrl_envs.retarget.env:Retarget",
        "an avatar under physics that follows a headset and two controllers",
        needs="mujoco",
    ),
    "planar-retarget": Entry(
        "jaxrl_envs.retarget.planar_env:PlanarRetarget",
        "a flat figure under physics that follows them, small enough for a laptop",
        needs="mujoco",
    ),
    "gui-ground": Entry("jaxrl_envs.gui:GuiGround", "point at or outline an element of a screen"),
    "language-arithmetic": _language("arithmetic", "add long numbers, carries written out"),
    "language-modular-chain": _language("modular-chain", "chains of operations modulo a prime"),
    "language-countdown": _language("countdown", "reach a number from given ones"),
    "language-graph-path": _language("graph-path", "find a way through a directed graph"),
    "language-planted-sequence": _language("planted-sequence", "hit upon a hidden word"),
    "language-key-tokens": _language("key-tokens", "write the right letters at hidden places"),
}


def names() -> tuple[str, ...]:
    """All registered names, in order of registration."""
    return tuple(_ENTRIES)


def make(name: str, **kwargs: Any) -> Env:
    """Make a world; `kwargs` go to its constructor.

    InputError for an unknown name (with close matches), for options the world does not have, and
    where a package that it needs is missing.
    """
    entry = _entry(name)
    check_packages(name)
    factory = entry.factory
    if isinstance(factory, str):
        module, _, attribute = factory.partition(":")
        factory = getattr(importlib.import_module(module), attribute)
    try:
        return factory(**{**dict(entry.defaults), **kwargs})
    except TypeError as error:
        if "argument" in str(error) and kwargs:
            raise InputError(
                f"world {name!r} cannot be made with {sorted(kwargs)}: {error}"
            ) from error
        raise


def check_packages(name: str) -> None:
    """InputError, with the command that installs it, where a package is missing for a world."""
    needs = _entry(name).needs
    if needs:
        require_package(needs, f"world {name!r}")


def register(
    name: str, factory: Factory, *, summary: str = "", replace: bool = False, **defaults: Any
) -> None:
    """Add a world under `name`.

    `factory` returns an `Env` when called, or is its import path "module:attribute". `defaults`
    are keyword arguments that `make` passes unless given others. InputError when the name is
    taken (unless `replace`) or the path has no colon.
    """
    if name in _ENTRIES and not replace:
        raise InputError(f"world {name!r} is already registered; pass replace=True to replace it")
    if isinstance(factory, str) and ":" not in factory:
        raise InputError(f"factory {factory!r} of world {name!r} must read 'module:attribute'")
    _ENTRIES[name] = Entry(factory, summary, tuple(defaults.items()))


def describe(name: str | None = None) -> dict[str, Any]:
    """Without a name: every name with its one-line summary. With one: what its spec says too."""
    if name is None:
        return {key: entry.summary for key, entry in _ENTRIES.items()}
    entry = _entry(name)
    spec = make(name).spec
    return {
        "name": name,
        "summary": entry.summary,
        "observation": repr(spec.observation_space),
        "action": repr(spec.action_space),
        "max_steps": spec.max_steps,
        "reward_terms": list(spec.term_names),
    }


def _entry(name: str) -> Entry:
    if name in _ENTRIES:
        return _ENTRIES[name]
    by_lower = {known.lower(): known for known in _ENTRIES}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    if close:
        hint = f"did you mean {' or '.join(repr(by_lower[match]) for match in close)}?"
    else:
        hint = f"known worlds: {', '.join(_ENTRIES)}"
    raise InputError(f"world {name!r} is unknown; {hint}")
