"""`evaluate` for language policies: accuracy per level on questions that training never asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_json, refuse_file

QUESTIONS = 512
"""Per level, unless told."""


def evaluate_language(folder: Path, stored: dict[str, Any], options: Any) -> int:
    """Answer the test part with the policy of a run; writes `evaluation.json`."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxrl_rewards.studies.grpo_ppo_core.train.learning import (
        make_evaluation,
        make_learner,
        make_network,
    )
    from jaxrl_rewards.studies.grpo_ppo_core.train.questions import written
    from jaxrl_rewards.studies.shared.intervals import share_interval
    from jaxrl_rewards.train.checkpoint import load_state

    task = stored_task(folder, stored)
    count = options.episodes or QUESTIONS
    out = options.out or folder
    refuse_file(out)
    questions = written(task)
    network = make_network(task, questions)
    initial = jax.eval_shape(network.init, jax.random.key(0))
    initial = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), initial)
    learner = make_learner(task, questions, network, initial)
    asked = options.which or "latest"
    which = int(asked) if asked.isascii() and asked.isdigit() else asked
    state, update = load_state(folder, learner, which=which)
    answer = make_evaluation(questions, network, count)
    key = jax.random.key(options.seed)
    params = questions.params
    levels = range(int(params.easiest), int(params.hardest) + 1)
    record: dict[str, Any] = {"run": str(folder), "update": update, "questions": count}
    for level in levels:
        at = jnp.asarray(level, jnp.int32)
        found = answer(state.params, key, params.replace(easiest=at, hardest=at))
        right = int(np.sum(found.right))
        low, high = share_interval(found.right)
        record[f"level {level}"] = {"accuracy": right / count, "interval": [low, high]}
        print(
            f"level {level}: {right} of {count} right, {right / count:.3f} [{low:.3f}, {high:.3f}]"
        )
    atomic_write_json(out / "evaluation.json", record)
    print(f"results in {out / 'evaluation.json'}")
    return 0


def stored_task(folder: Path, stored: dict[str, Any]) -> Any:
    """The task that a run's `config.json` stores; InputError names what does not belong."""
    from jaxrl_rewards.studies.grpo_ppo_core.train.task import LanguageTask, Sizes, Written

    def build(kind: Any, given: Any, where: str) -> Any:
        if not isinstance(given, dict):
            raise InputError(f"{folder}/config.json lacks the object {where}; restore it")
        unknown = sorted(set(given) - {field.name for field in dataclasses.fields(kind)})
        if unknown:
            raise InputError(
                f"{folder}/config.json has the unknown field {where}.{unknown[0]}; remove it"
            )
        return kind(**given)

    given = stored.get("config", {}).get("task")
    task = build(LanguageTask, given, "config.task")
    return dataclasses.replace(
        task,
        env=build(Written, given.get("env"), "config.task.env"),
        network=build(Sizes, given.get("network"), "config.task.network"),
    )
