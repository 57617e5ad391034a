"""This project's text rewards as the callables of other trainers; no trainer is imported.

Any `rewards.text` reward, or a function `(text, row) -> float`, becomes a reward function of TRL
(`trl_reward`), verl (`verl_score`), tunix (`tunix_reward`, `tunix_agent_reward`), verifiers
(`verifiers_function`, `verifiers_rubric`, `verifiers_method`) or OpenEnv (`openenv_rubric`). JAX is
not imported either.
"""

from jaxrl_rewards.hosts.openenv import openenv_rubric
from jaxrl_rewards.hosts.trl import trl_reward
from jaxrl_rewards.hosts.tunix import tunix_agent_reward, tunix_reward
from jaxrl_rewards.hosts.verifiers import (
    verifiers_function,
    verifiers_method,
    verifiers_rubric,
)
from jaxrl_rewards.hosts.verl import verl_batch_score, verl_score

__all__ = [
    "openenv_rubric",
    "trl_reward",
    "tunix_agent_reward",
    "tunix_reward",
    "verifiers_function",
    "verifiers_method",
    "verifiers_rubric",
    "verl_batch_score",
    "verl_score",
]
