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
    )
    from jaxrl_rewards.studies.grpo_ppo_core.train.model import make_model
    from jaxrl_rewards.studies.grpo_ppo_core.train.questions import make_questions
    from jaxrl_rewards.studies.shared.intervals import share_interval
    from jaxrl_rewards.train.checkpoint import load_state

    task = stored_task(folder, stored)
    count = options.episodes or QUESTIONS
    out = options.out or folder
    refuse_file(out)
    questions = make_questions(task)
    model = make_model(task, questions)
    initial = jax.eval_shape(model.initial, jax.random.key(0))
    initial = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), initial)
    learner = make_learner(task, questions, model, initial)
    asked = options.which or "latest"
    which = int(asked) if asked.isascii() and asked.isdigit() else asked
    state, update = load_state(folder, learner, which=which)
    answer = make_evaluation(questions, model, count)
    key = jax.random.key(options.seed)
    record: dict[str, Any] = {"run": str(folder), "update": update}
    for name, params in by_level(task, questions).items():
        found = answer(state.params, key, params)
        once = asked_once(found)
        right, (low, high) = float(np.mean(once)), share_interval(once)
        record[name] = {"accuracy": right, "interval": [low, high], "questions": once.size}
        print(f"{name}: {once.sum()} of {once.size} right, {right:.3f} [{low:.3f}, {high:.3f}]")
    atomic_write_json(out / "evaluation.json", record)
    print(f"results in {out / 'evaluation.json'}")
    return 0


def asked_once(found: Any) -> Any:
    """Whether each different question was answered rightly: those of a table may be drawn twice,
    and the likeliest answer is the same then."""
    import numpy as np

    right, info = np.asarray(found.right), found.played.info
    if "row" not in info:
        return right
    _, first = np.unique(np.asarray(info["row"])[:, 0, 0], return_index=True)
    return right[first]


def by_level(task: Any, questions: Any) -> dict[str, Any]:
    """The test world's params for each level; all questions at once where there are none."""
    import jax.numpy as jnp

    params = questions.asked
    if task.data is not None:
        return {"held-back questions": params}
    levels = range(int(params.easiest), int(params.hardest) + 1)
    at = {level: jnp.asarray(level, jnp.int32) for level in levels}
    return {f"level {level}": params.replace(easiest=at[level], hardest=at[level]) for level in at}


def stored_task(folder: Path, stored: dict[str, Any]) -> Any:
    """The task that a run's `config.json` stores; InputError names what does not belong."""
    from jaxrl_rewards.studies.grpo_ppo_core.train.data import fingerprint
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

    given = dict(stored.get("config", {}).get("task") or {})
    kept = given.pop("data_sha256", None)
    task = build(LanguageTask, given, "config.task")
    data = None if task.data is None else Path(task.data)
    if data is not None and fingerprint(data) != kept:
        raise InputError(f"{data} is not the data that {folder} was trained on; restore it")
    return dataclasses.replace(
        task,
        data=data,
        model=None if task.model is None else Path(task.model),
        env=build(Written, given.get("env"), "config.task.env"),
        network=build(Sizes, given.get("network"), "config.task.network"),
    )
