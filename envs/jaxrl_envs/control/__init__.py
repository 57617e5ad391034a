"""Classic control and grid worlds."""

from jaxrl_envs.control.acrobot import Acrobot, AcrobotParams, AcrobotState
from jaxrl_envs.control.barfi_grid import (
    ContinuousGridParams,
    ContinuousGridState,
    ContinuousGridWorld,
)
from jaxrl_envs.control.cartpole import CartPole, CartPoleParams, CartPoleState
from jaxrl_envs.control.gridworld import GridWorld, GridWorldParams, GridWorldState
from jaxrl_envs.control.keydoor import KeyDoor, KeyDoorParams, KeyDoorState
from jaxrl_envs.control.layouts import LAYOUTS, Layout, parse_layout
from jaxrl_envs.control.mountain_car import (
    MountainCar,
    MountainCarContinuous,
    MountainCarParams,
    MountainCarState,
)
from jaxrl_envs.control.pendulum import Pendulum, PendulumParams, PendulumState
from jaxrl_envs.control.tabular import TabularParams, TabularState, TabularWorld
from jaxrl_envs.control.tabular_models import (
    chain_model,
    line_key_model,
    room_squares,
    rooms_model,
)

__all__ = [
    "LAYOUTS",
    "Acrobot",
    "AcrobotParams",
    "AcrobotState",
    "CartPole",
    "CartPoleParams",
    "CartPoleState",
    "ContinuousGridParams",
    "ContinuousGridState",
    "ContinuousGridWorld",
    "GridWorld",
    "GridWorldParams",
    "GridWorldState",
    "KeyDoor",
    "KeyDoorParams",
    "KeyDoorState",
    "Layout",
    "MountainCar",
    "MountainCarContinuous",
    "MountainCarParams",
    "MountainCarState",
    "Pendulum",
    "PendulumParams",
    "PendulumState",
    "TabularParams",
    "TabularState",
    "TabularWorld",
    "chain_model",
    "line_key_model",
    "parse_layout",
    "room_squares",
    "rooms_model",
]
