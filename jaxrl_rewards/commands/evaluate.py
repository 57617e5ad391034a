"""`jaxrl-rewards evaluate RUN`: a checkpoint on held-out or your own input."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_json, refuse_file
from jaxrl_rewards.core.json_files import read_json

EPISODES = 100
"""Of a PPO run, per seed, unless told."""


def main(arguments: Sequence[str]) -> int:
    """Evaluate a run's checkpoint, or the pointing policy that ships with the package."""
    from jaxrl_rewards.studies.registry import trainings

    parser = argparse.ArgumentParser(
        prog="jaxrl-rewards evaluate",
        description="Evaluate a checkpoint: the folder of a training run, or `gui` for the "
        "pointing policy that ships with the package.",
    )
    parser.add_argument("run", help="folder of a run, or `gui`")
    parser.add_argument(
        "--episodes",
        type=int,
        help="episodes per seed (default 100); avatars: random starts, in rounds of 64 (default "
        "128), or starts per clip (default 8)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the episodes (default 1)")
    parser.add_argument(
        "--which",
        help="latest, best, or an update number (default: latest; avatars: what training kept)",
    )
    parser.add_argument("--out", type=Path, help="folder of the results (default: the run's)")
    found = trainings()
    for train in found.values():
        if train.flags is not None:
            train.flags(parser)
    options = parser.parse_args(arguments)
    if options.episodes is not None and options.episodes < 1:
        raise InputError(f"--episodes must be at least 1, got {options.episodes}")
    if not 0 <= options.seed < 2**32:
        raise InputError(f"--seed must be between 0 and 2**32 - 1, got {options.seed}")
    if options.run in found and found[options.run].ships:
        return found[options.run].evaluate(None, options)
    folder = Path(options.run)
    if not folder.is_dir():
        raise InputError(f"there is no run at {folder}; give a run's folder, or `gui`")
    stored = stored_config(folder)
    for train in found.values():
        if train.evaluate is not None and train.owns(folder, stored):
            return train.evaluate(folder, options)
    return evaluate_run(folder, options)


def stored_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a run's folder; {} where it is missing or cannot be read."""
    try:
        return read_json(folder / "config.json", dict, finite=False)
    except InputError:
        return {}


def stored_task(folder: Path, values: Any) -> Any:
    """The task that a run's `config.json` stores; InputError names what does not belong."""
    from jaxrl_rewards.commands.train_ppo import PPOTask
    from jaxrl_rewards.learners.ppo import PPOConfig

    def build(kind: Any, given: Any, where: str) -> Any:
        if not isinstance(given, dict):
            raise InputError(f"{folder}/config.json lacks the object {where}; restore it")
        unknown = sorted(set(given) - {field.name for field in dataclasses.fields(kind)})
        if unknown:
            raise InputError(
                f"{folder}/config.json has the unknown field {where}.{unknown[0]}; remove it"
            )
        try:
            return kind(**given)
        except (TypeError, ValueError) as error:
            raise InputError(f"{folder}/config.json, {where}: {error}") from error

    task = build(PPOTask, values, "config.task")
    sizes = values.get("ppo")
    if isinstance(sizes, dict) and isinstance(sizes.get("hidden"), list):
        sizes = {**sizes, "hidden": tuple(sizes["hidden"])}
    return dataclasses.replace(task, ppo=build(PPOConfig, sizes, "config.task.ppo"))


def evaluate_run(folder: Path, options: Any) -> int:
    """Play whole episodes with the policy of a PPO run."""
    import jax
    import numpy as np

    from jaxrl_rewards.commands.train_ppo import build_ppo
    from jaxrl_rewards.learners.api import one_seed
    from jaxrl_rewards.studies.reproduce import summarise
    from jaxrl_rewards.train.checkpoint import load_state
    from jaxrl_rewards.train.evaluation import evaluate_policy
    from jaxrl_rewards.train.record import read

    episodes, asked = options.episodes or EPISODES, options.which or "latest"
    stored = read(folder)
    config = stored.get("config") or {}
    if not isinstance(config, dict):
        raise InputError(f"{folder}/config.json: config must be an object, got {config!r}")
    if config.get("kind") != "ppo":
        raise InputError(f"{folder} holds no PPO run (kind {config.get('kind')!r})")
    target = options.out or folder
    refuse_file(target)
    env, learner = build_ppo(stored_task(folder, config.get("task")))
    seeds = stored.get("num_seeds")
    which = int(asked) if asked.isascii() and asked.isdigit() else asked
    state, update = load_state(folder, learner, which=which, num_seeds=seeds)
    key = jax.random.key(options.seed)
    returns = []
    for index in range(seeds or 1):
        single = state if seeds is None else one_seed(state, index)
        result = evaluate_policy(learner, single, env, learner.hparams.env_params, key, episodes)
        returns.append(np.asarray(result["returns"]))
    per_seed = [float(np.mean(values)) for values in returns]
    record = {
        "run": str(folder),
        "env": env.spec.name,
        "update": update,
        "episodes": episodes,
        "return_per_seed": summarise(per_seed),
        "episode_returns": summarise(np.concatenate(returns)),
    }
    out = target / "evaluation.json"
    atomic_write_json(out, record)
    low, high = record["episode_returns"]["interval"]
    print(
        f"{env.spec.name}, update {update}: mean return {record['episode_returns']['mean']:.2f} "
        f"[{low:.2f}, {high:.2f}] over {episodes} episodes x {seeds or 1} seeds"
    )
    print(f"results in {out}")
    return 0
