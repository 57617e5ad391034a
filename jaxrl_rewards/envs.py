"""Worlds by name: the door from the library to `jaxrl_envs`.

from jaxrl_rewards import envs
env = envs.make("CartPole-v1")
"""

from jaxrl_envs import describe, make, names, register

from jaxrl_rewards.core import check_env

__all__ = ["check_env", "describe", "make", "names", "register"]
