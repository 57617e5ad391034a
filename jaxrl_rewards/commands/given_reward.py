"""Rewards that are given on the command line: a program, a designed table, a function.

`--reward FILE.txt` is a reward program (what `train eureka` finds), `FILE.csv` a table (what
`design` writes), `FILE.py:NAME` or `MODULE:NAME` a function `name(prev, action, nxt)`, a reward, or
a function without arguments that makes one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import types
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import read_json

KINDS = "a reward program (FILE.txt), a designed table (FILE.csv), FILE.py:NAME or MODULE:NAME"
OWN = "own_"
"""Before the name of a world's own term where the given reward has one of that name."""
LARGEST_FILE = 1_000_000


@dataclasses.dataclass(frozen=True)
class GivenReward:
    """A reward as it was given, and what it said."""

    given: str
    kind: str
    """program, table or function."""
    text: str
    """The file's text; empty for functions, which are never made from a stored text."""
    digest: str
    actions: tuple[str, ...] = ()
    """Names of the actions that a table uses, in order, where `design` was given any."""

    def record(self, names: tuple[str, ...]) -> dict[str, Any]:
        """What a run's `config.json` holds of it; `names` are those of the terms in training."""
        return {
            "kind": self.kind,
            "name": Path(self.given.partition(":")[0]).name,
            "digest": self.digest,
            "text": self.text,
            "actions": list(self.actions),
            "terms": list(names),
        }


def find_reward(given: str) -> GivenReward:
    """Read what `--reward` names; InputError where there is nothing of the kind."""
    path, colon, name = given.rpartition(":")
    if colon and name.isidentifier() and path:
        source = _source(path)
        return GivenReward(given, "function", "", _digest(source))
    text = _text(Path(given))
    kind = "table" if given.endswith(".csv") else "program"
    if given.endswith(".py"):
        raise InputError(f"--reward {given} names a file of functions; add which, {given}:NAME")
    names = _action_names(Path(given).with_name("design.json")) if kind == "table" else ()
    return GivenReward(given, kind, text, _digest(text), names)


def stored_reward(record: Any, where: str) -> GivenReward | None:
    """The reward that a run's `config.json` holds; None without one, InputError if damaged."""
    if record is None:
        return None
    fields = {
        "kind": str, "name": str, "digest": str, "text": str, "terms": list, "actions": list,
    }  # fmt: skip
    for name, kind in fields.items():
        if not isinstance(record, dict) or not isinstance(record.get(name), kind):
            raise InputError(f"{where} lacks {name} of config.reward; restore it")
    if record["kind"] not in ("program", "table", "function"):
        raise InputError(f"{where}: config.reward.kind is {record['kind']!r}; restore it")
    actions = tuple(str(name) for name in record["actions"])
    return GivenReward(record["name"], record["kind"], record["text"], record["digest"], actions)


def with_given_reward(reward: Any, given: GivenReward, env: Any, world: str) -> Any:
    """The given reward, and the world's own terms beside it with weight 0: logged only.

    `world` is what the command line calls the world.
    """
    from jaxrl_rewards.rewards.base import Renamed, RewardTerm, WeightedSum

    makers = {"program": _program, "table": _table, "function": _function}
    found = makers[given.kind](given, env, world)
    if not isinstance(found, RewardTerm | WeightedSum):
        raise InputError(
            f"--reward {given.given} is {type(found).__name__}; it must be a reward term, a sum of "
            "them, or a function (prev, action, nxt)"
        )
    total = 1.0 * found
    own = [
        Renamed(term=term, name=f"{OWN}{term.name}") if term.name in total.names else term
        for term in reward.rewards
    ]
    for term in own:
        total = total + 0.0 * term
    return total


def placeholders(names: list[str]) -> Any:
    """A reward with terms of these names and no values, for reading a state that has them."""
    from jaxrl_rewards.rewards.base import reward_term

    total: Any = 0
    for name in names:
        total = total + reward_term(_nothing, name=str(name))
    return 1.0 * total


def _nothing(prev: Any, action: Any, nxt: Any) -> Any:
    import jax.numpy as jnp

    return jnp.zeros((), jnp.float32), jnp.zeros((), bool)


def check_given(env: Any, params: Any, given: GivenReward) -> None:
    """InputError, in one sentence, where the world cannot be scored with the reward."""
    import jax

    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        state, _ = jax.eval_shape(env.reset, key, params)
        action = jax.eval_shape(env.spec.action_space.sample, key)
        _, timestep = jax.eval_shape(env.step, key, state, action, params)
    except Exception as error:  # whatever a user's function may raise
        lines = str(error).strip().splitlines() or ["no message"]
        raise InputError(
            f"--reward {given.given} cannot score a step of {env.spec.name}: "
            f"{type(error).__name__}: {lines[0]}"
        ) from error
    if timestep.reward.shape != ():
        raise InputError(
            f"--reward {given.given} gives an array of shape {list(timestep.reward.shape)}; it "
            "must give one number per step"
        )


def _program(given: GivenReward, env: Any, world: str) -> Any:
    from jaxrl_envs.quantities import quantities_of

    from jaxrl_rewards.reward_design.programs import parse_program
    from jaxrl_rewards.reward_design.programs.terms import program_terms

    table, measure = quantities_of(env)
    try:
        return program_terms(parse_program(given.text, table), measure)
    except ValueError as error:
        raise InputError(
            f"--reward {given.given} is no reward program for {world}: {error}; "
            f"`jaxrl-rewards list --quantities {world}` explains what a program may read"
        ) from error


def _table(given: GivenReward, env: Any, world: str) -> Any:
    from jaxrl_envs.control.tabular import TabularWorld, table_reward

    from jaxrl_rewards.reward_design.explicable import parse_design
    from jaxrl_rewards.rewards.base import Renamed

    if not isinstance(env, TabularWorld):
        raise InputError(
            f"--reward {given.given} is a table of states and actions, but world {world!r} has "
            "none; use --env MODEL.npz, the model that it was designed for"
        )
    model = env.model
    if given.actions and not model.action_names and len(given.actions) == model.num_actions:
        model = dataclasses.replace(model, action_names=given.actions)
    values = parse_design(given.text, model, given.given)
    return Renamed(term=table_reward(values), name="designed")


def _function(given: GivenReward, env: Any, world: str) -> Any:
    from jaxrl_rewards.rewards.base import Reward, reward_term

    path, _, name = given.given.rpartition(":")
    module = _module(path, given.given)
    found = getattr(module, name, None)
    if found is None:
        there = [n for n, value in vars(module).items() if n[0] != "_" and callable(value)]
        raise InputError(f"{path} has no {name!r}; it has {', '.join(there) or 'no function'}")
    if isinstance(found, Reward):
        return found
    if not callable(found):
        raise InputError(f"{given.given} is {type(found).__name__}, neither function nor reward")
    needed = _needed(found)
    if needed == 3:
        return reward_term(found, name=name)
    if needed != 0:
        raise InputError(
            f"{given.given} takes {needed} arguments; a reward takes three, (prev, action, nxt), "
            "and what makes one takes none"
        )
    with _one_sentence(given.given):
        return found()


def _needed(function: Any) -> int:
    """Positional arguments that must be given."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 3
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)


def _module(path: str, given: str) -> types.ModuleType:
    """The module of that name, or made from that file; its neighbours can be imported."""
    if not path.endswith(".py"):
        with _one_sentence(given):
            return importlib.import_module(path)
    file = Path(path)
    module = types.ModuleType(f"given_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look themselves up there
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    with _one_sentence(given):
        exec(compile(_text(file), str(file), "exec"), vars(module))
    return module


@contextlib.contextmanager
def _one_sentence(given: str) -> Any:
    """Whatever a user's code raises, as one sentence."""
    try:
        yield
    except Exception as error:
        raise InputError(f"--reward {given} fails: {type(error).__name__}: {error}") from error


def _source(path: str) -> str:
    """The text of a file or a module; a module without a file counts as empty."""
    if path.endswith(".py"):
        return _text(Path(path))
    try:
        spec = importlib.util.find_spec(path)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise InputError(f"--reward {path}:... names no module that can be imported; give {KINDS}")
    try:
        return Path(spec.origin or "").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _text(path: Path) -> str:
    try:
        if path.is_file() and os.path.getsize(path) > LARGEST_FILE:
            raise InputError(f"--reward {path} is larger than a megabyte; that is no reward")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"there is no reward at {path}; give {KINDS}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"--reward {path} cannot be read: {reason}") from error


def _action_names(path: Path) -> tuple[str, ...]:
    """The actions' names that `design` wrote beside its table; () where it wrote none."""
    try:
        names = read_json(path, dict, finite=False).get("action_names", [])
    except InputError:
        return ()
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
