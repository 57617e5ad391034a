"""Records, contracts and small tools that every other package is written against."""

from typing import TYPE_CHECKING

from jaxrl_rewards.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxrl_rewards.core.env import Env, EnvSpec
    from jaxrl_rewards.core.errors import InputError, require
    from jaxrl_rewards.core.mesh import make_mesh
    from jaxrl_rewards.core.pytree import Record, record, replace, static_field
    from jaxrl_rewards.core.quantities import Quantity
    from jaxrl_rewards.core.records import TimeStep, Trajectories, first_timestep
    from jaxrl_rewards.core.spaces import Box, DictSpace, Discrete, MultiDiscrete, Space
    from jaxrl_rewards.core.tabular import TabularModel, load_tabular_model, save_tabular_model
    from jaxrl_rewards.core.world_check import check_env

__all__ = [
    "Box",
    "DictSpace",
    "Discrete",
    "Env",
    "EnvSpec",
    "InputError",
    "MultiDiscrete",
    "Quantity",
    "Record",
    "Space",
    "TabularModel",
    "TimeStep",
    "Trajectories",
    "check_env",
    "first_timestep",
    "load_tabular_model",
    "make_mesh",
    "record",
    "replace",
    "require",
    "save_tabular_model",
    "static_field",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "env": ("Env", "EnvSpec"),
            "errors": ("InputError", "require"),
            "mesh": ("make_mesh",),
            "pytree": ("Record", "record", "replace", "static_field"),
            "quantities": ("Quantity",),
            "records": ("TimeStep", "Trajectories", "first_timestep"),
            "spaces": ("Box", "DictSpace", "Discrete", "MultiDiscrete", "Space"),
            "tabular": ("TabularModel", "load_tabular_model", "save_tabular_model"),
            "world_check": ("check_env",),
        },
    )
