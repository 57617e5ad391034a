"""`jaxrl-rewards train TASK`: train a policy, with checkpoints and resume."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from jaxrl_rewards.commands.arguments import choose

TASKS = {
    "ppo": "PPO on a registered world (--env CartPole-v1, Pendulum-v1, gridworld, ...)",
    "retarget": "an avatar under physics that follows a headset and two controllers",
    "eureka": "a search of reward programs, offline or by a chat server",
    "gui": "a reading-and-pointing policy for screenshots, on generated screens",
}


def main(arguments: Sequence[str]) -> int:
    """Dispatch to the task's own module."""
    task, rest = choose(arguments, TASKS, prog="jaxrl-rewards train", what="task")
    if task is None:
        return 0 if arguments else 2
    return importlib.import_module(f"jaxrl_rewards.commands.train_{task}").main(rest)
