"""One physics interface over MuJoCo in C, MJX and MJX-Warp.

    physics = make_physics(spec.compile(), substeps=4)
    state = physics.reset(qpos, qvel)
    state = jax.vmap(physics.step)(states, controls)

PD control is the model's: position actuators act at every substep (`add_position_servo`).
"""

from jaxrl_envs.physics.features import refuse_unsupported, unsupported_features
from jaxrl_envs.physics.interface import (
    ENGINE_VARIABLE,
    ENGINES,
    THREADS_VARIABLE,
    Physics,
    choose_engine,
    make_physics,
    usable_cores,
)
from jaxrl_envs.physics.models import add_position_servo
from jaxrl_envs.physics.state import DEFAULT_OUTPUTS, OUTPUTS, PhysicsState
from jaxrl_envs.physics.versions import check_installed

check_installed()

__all__ = [
    "DEFAULT_OUTPUTS",
    "ENGINES",
    "ENGINE_VARIABLE",
    "OUTPUTS",
    "THREADS_VARIABLE",
    "Physics",
    "PhysicsState",
    "add_position_servo",
    "choose_engine",
    "make_physics",
    "refuse_unsupported",
    "unsupported_features",
    "usable_cores",
]
