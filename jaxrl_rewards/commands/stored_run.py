"""What the folder of a PPO run says of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import read_json


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
