"""`jaxrl-rewards train METHOD`: train a policy, with checkpoints and resume."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from jaxrl_rewards.train.arguments import choose

OWN = {
    "ppo": "PPO on a registered environment (--env CartPole-v1, Pendulum-v1, gridworld, ...)",
}
"""Methods of no study, `commands/train_<name>.py`; a study brings its own as `TRAIN`."""


def main(arguments: Sequence[str]) -> int:
    """Dispatch to the method's own module, or to the study that brings it."""
    from jaxrl_rewards.studies.registry import trainings

    found = trainings()
    tasks = OWN | {name: train.summary for name, train in found.items()}
    task, rest = choose(arguments, tasks, prog="jaxrl-rewards train", what="method")
    if task is None:
        return 0 if arguments else 2
    if task in found:
        return found[task].main(rest)
    return importlib.import_module(f"jaxrl_rewards.commands.train_{task}").main(rest)
