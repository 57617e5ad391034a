"""`jaxrl-rewards train TASK`: train a policy, with checkpoints and resume."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from jaxrl_rewards.train.arguments import choose

OWN = {
    "ppo": "PPO on a registered world (--env CartPole-v1, Pendulum-v1, gridworld, ...)",
}
"""Tasks that belong to no study, `commands/train_<task>.py`; a study brings its own as `TRAIN`."""


def main(arguments: Sequence[str]) -> int:
    """Dispatch to the task's own module, or to the study that brings the task."""
    from jaxrl_rewards.studies.registry import trainings

    found = trainings()
    tasks = OWN | {name: train.summary for name, train in found.items()}
    task, rest = choose(arguments, tasks, prog="jaxrl-rewards train", what="task")
    if task is None:
        return 0 if arguments else 2
    if task in found:
        return found[task].main(rest)
    return importlib.import_module(f"jaxrl_rewards.commands.train_{task}").main(rest)
