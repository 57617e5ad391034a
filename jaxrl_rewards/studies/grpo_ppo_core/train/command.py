"""`jaxrl-rewards train language`: a decoder learns to answer, from solutions and from a reward."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.studies.grpo_ppo_core.train import KIND
from jaxrl_rewards.studies.grpo_ppo_core.train.task import TRANSIENT, LanguageTask, check
from jaxrl_rewards.train.arguments import parse
from jaxrl_rewards.train.reward_options import split_reward_options

SAMPLES = 5
"""Answers that are printed before and after."""
WARM_START = "warm_start"


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    task = parse(
        LanguageTask,
        split_reward_options(arguments),
        prog="jaxrl-rewards train language",
        description="Train a language model to answer: first from solutions, then from a reward.",
        prefixes=True,
    )
    check(task)
    return train(task, again=shlex.join(["jaxrl-rewards", "train", "language", *arguments]))


def train(task: LanguageTask, again: str = "the same command") -> int:
    """Warm start, group learning, samples before and after; all of it lands in the run's folder."""
    import jax

    from jaxrl_rewards.studies.grpo_ppo_core.train.learning import (
        make_evaluation,
        make_learner,
        watch,
    )
    from jaxrl_rewards.studies.grpo_ppo_core.train.model import make_model, save
    from jaxrl_rewards.studies.grpo_ppo_core.train.questions import make_questions
    from jaxrl_rewards.studies.grpo_ppo_core.train.samples import Samples
    from jaxrl_rewards.train.record import check_usable
    from jaxrl_rewards.train.runner import NonFiniteUpdates, run

    out = default_out(task)
    check_usable(out, resume=task.resume)
    questions = make_questions(task)
    model = make_model(task, questions)
    keys = jax.random.split(jax.random.key(task.seed), 4)
    answer = make_evaluation(questions, model, task.evaluation_questions)
    begun = start(task, questions, model, keys[0], out)
    if begun is None:
        print(f"interrupted in the warm start; go on with\n  {again} --resume")
        return 130
    learner = make_learner(task, questions, model, begun)
    samples = Samples(questions.show, SAMPLES)
    before = answer(begun, keys[2], questions.asked)
    samples.add("before", before)
    try:
        result = run(
            learner,
            key=keys[1],
            total_updates=task.updates,
            out_dir=out,
            chunk_updates=min(task.chunk, task.updates),
            resume=task.resume,
            evaluate=watch(answer, questions.asked, keys[2]),
            evaluate_every=task.evaluate_every,
            checkpoint_every=task.checkpoint_every,
            best_metric="evaluation/accuracy",
            config={"kind": KIND, "task": settings(task)},
            show=("score", "length"),
            title=f"{task.loss} on {subject(task)}",
        )
    except NonFiniteUpdates as error:
        print(f"jaxrl-rewards train: {error}", file=sys.stderr)
        return 1
    if result.interrupted:
        print(f"interrupted after {result.updates} updates; go on with\n  {again} --resume")
        return 128 + int(result.signal_number or 15)
    after = answer(result.state.params, keys[2], questions.asked)
    samples.add("after", after)
    samples.write(out / "samples.json")
    folder = save(task, model, result.state.params, out)
    print(samples.table())
    print(
        f"accuracy on {task.evaluation_questions} questions that training never asked: "
        f"{float(before.accuracy):.3f} before, {float(after.accuracy):.3f} after "
        f"{result.updates} updates"
    )
    print(f"results in {out}: metrics.jsonl, curves.png, samples.json, checkpoints/, config.json")
    if folder is not None:
        print(f"the model as a Hugging Face directory: {folder}")
    print(f"next: jaxrl-rewards evaluate {out}")
    return 0


def start(task: LanguageTask, questions: Any, model: Any, key: Any, out: Path) -> Any | None:
    """Parameters after the warm start, a run of its own in the folder; None if interrupted."""
    from jaxrl_rewards.studies.grpo_ppo_core.train.learning import STEPS, make_warm_start
    from jaxrl_rewards.train.runner import run

    if task.warm_start == 0 or questions.solutions is None:
        return model.initial(key)
    updates = max(1, round(task.warm_start / STEPS))
    given = None if task.model is None else model.initial(key)
    result = run(
        make_warm_start(task, questions, model, given),
        key=key,
        total_updates=updates,
        out_dir=out / WARM_START,
        resume=task.resume,
        config={"kind": f"{KIND}-{WARM_START}", "task": settings(task)},
        show=("loss", "accuracy"),
        title=f"warm start on {subject(task)}",
    )
    return None if result.interrupted else result.state.params


def default_out(task: LanguageTask) -> Path:
    """The run's folder."""
    return Path("runs") / f"language-{subject(task)}" if task.out is None else task.out


def subject(task: LanguageTask) -> str:
    """What is asked, in a word."""
    return task.env.task if task.data is None else task.data.stem


def settings(task: LanguageTask) -> dict[str, Any]:
    """What is stored of a task, and compared when it goes on."""
    stored = dataclasses.asdict(task)
    stored = {name: value for name, value in stored.items() if name not in TRANSIENT}
    if task.data is not None:
        from jaxrl_rewards.studies.grpo_ppo_core.train.data import fingerprint

        stored |= {"data": str(task.data.absolute()), "data_sha256": fingerprint(task.data)}
    if task.model is not None:
        stored["model"] = str(task.model.absolute())
    return stored
