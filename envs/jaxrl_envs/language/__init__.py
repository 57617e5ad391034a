"""Token worlds: a prompt, an answer written step by step, a verifier, and exact step labels.

task = Arithmetic(max_level=3)
prompts = task.prompts(jax.random.key(0), 64, 2)      # 64 problems with two digits
answers = task.solutions(prompts)                     # int32 [64, T], for a warm start
task.score(prompts, answers), task.steps(prompts, answers)
env = TokenWorld(task)                                # the same as a world, token by token
"""

from jaxrl_envs.language.arithmetic import Arithmetic
from jaxrl_envs.language.chain import ModularChain
from jaxrl_envs.language.countdown import Countdown
from jaxrl_envs.language.env import TokenParams, TokenState, TokenWorld, turns
from jaxrl_envs.language.graph import GraphPath
from jaxrl_envs.language.key_tokens import KeyTokens
from jaxrl_envs.language.planted import PlantedSequence
from jaxrl_envs.language.task import Prompts, Reader, StepLabels, TokenTask
from jaxrl_envs.language.tokens import TEXT, Vocabulary, letters

TASKS = {
    task.name: task
    for task in (Arithmetic, ModularChain, Countdown, GraphPath, PlantedSequence, KeyTokens)
}
"""The tasks by name."""


def world(task: str, *, observation: str = "token", **sizes) -> TokenWorld:
    """The world of a task by name; `sizes` go to the task."""
    return TokenWorld(TASKS[task](**sizes), observation=observation)


__all__ = [
    "TASKS",
    "TEXT",
    "Arithmetic",
    "Countdown",
    "GraphPath",
    "KeyTokens",
    "ModularChain",
    "PlantedSequence",
    "Prompts",
    "Reader",
    "StepLabels",
    "TokenParams",
    "TokenState",
    "TokenTask",
    "TokenWorld",
    "Vocabulary",
    "letters",
    "turns",
    "world",
]
