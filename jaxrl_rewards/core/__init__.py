"""Records, contracts and small tools that every other package is written against."""

from jaxrl_rewards.core.check_env import check_env
from jaxrl_rewards.core.env import Env, EnvSpec
from jaxrl_rewards.core.errors import InputError, require
from jaxrl_rewards.core.pytree import record, static_field
from jaxrl_rewards.core.records import TimeStep, Trajectories, first_timestep
from jaxrl_rewards.core.spaces import Box, DictSpace, Discrete, MultiDiscrete, Space

__all__ = [
    "Box",
    "DictSpace",
    "Discrete",
    "Env",
    "EnvSpec",
    "InputError",
    "MultiDiscrete",
    "Space",
    "TimeStep",
    "Trajectories",
    "check_env",
    "first_timestep",
    "record",
    "require",
    "static_field",
]
