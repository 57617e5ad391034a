"""Characters: a human, a dinosaur, a mouse-like creature, and those a user brings as MJCF.

A character of your own is an MJCF file with one free body and hinges, and beside it a mapping of
the same name (`robot.xml`, `robot.json`); `--env.character robot.xml` then trains it. The mapping
says what the MJCF does not:

    {"name": "robot",
     "root": "torso",                      the body with the free joint
     "joints": {"knee_l": {"human": "left_knee", "sign": -1, "gain": 1, "offset": 0, "rest": -0.5},
                "tail": {}},               angle = sign * gain * human angle + offset, in the limits
     "keypoints": {"head": {"body": "torso", "offset": [0, 0, 0.3]}, "left_hand": "hand_l",
                   "right_hand": "hand_r", "left_foot": "foot_l", "right_foot": "foot_r"},
     "feet": {"left_foot": ["heel_l", "toe_l"], "right_foot": ["heel_r", "toe_r"]},
                                           the geoms that touch the ground
     "leg_length": 0.8}                    optional: measured from the mapped hips by default

The human's joints and the meaning of their angles are in `record.HUMAN_JOINTS`. `sign` is 1 or -1,
`gain` is not 0. Of the MJCF, the bodies, geoms and hinges with their limits are kept. Servos (`kp`,
`torque` per joint, optional), sensors, contacts, physics options (gravity, fluid, flags, solver)
and joint damping are replaced by the project's; other bodies of the world are dropped.
"""

from __future__ import annotations

import functools
from pathlib import Path

from jaxrl_envs.retarget.characters.assemble import DAMPING, SUBSTEPS, TIMESTEP, assemble
from jaxrl_envs.retarget.characters.biped import BipedPlan, build_biped
from jaxrl_envs.retarget.characters.mapping import (
    JointMapping,
    Mapping,
    PointMapping,
    read_mapping,
)
from jaxrl_envs.retarget.characters.mjcf_limits import check_mjcf
from jaxrl_envs.retarget.characters.plans import PLANS
from jaxrl_envs.retarget.characters.record import HUMAN_JOINTS, KEYPOINTS, Character
from jaxrl_rewards.core import InputError


@functools.cache
def make_character(name: str, damping: float = DAMPING) -> Character:
    """A character that comes with the project, or the one in a user's MJCF file.

    `name` is human, dinosaur or mouse, or the path of an MJCF file beside which, under the same
    name with the suffix `.json`, its mapping lies. `damping`: of the servos, kd / kp in seconds at
    the human's size. InputError says what is missing or unsupported.
    """
    if name in PLANS:
        return assemble(*build_biped(PLANS[name]), f"character {name}", damping)
    path = Path(name)
    if path.suffix.lower() not in (".xml", ".mjcf"):
        raise InputError(
            f"character {name!r} is unknown; choose {', '.join(PLANS)}, or give an MJCF file (.xml)"
        )
    return load_character(path, path.with_suffix(".json"), damping)


def load_character(mjcf: str | Path, mapping: str | Path, damping: float = DAMPING) -> Character:
    """A character from a user's MJCF file and mapping file; `damping` as in `make_character`."""
    import mujoco

    check_mjcf(mjcf)
    try:
        spec = mujoco.MjSpec.from_file(str(mjcf))
    except (ValueError, RuntimeError, OSError) as error:
        raise InputError(f"MJCF {mjcf} cannot be read: {' '.join(str(error).split())}") from error
    return assemble(spec, read_mapping(mapping), str(mjcf), damping)


__all__ = [
    "DAMPING",
    "HUMAN_JOINTS",
    "KEYPOINTS",
    "PLANS",
    "SUBSTEPS",
    "TIMESTEP",
    "BipedPlan",
    "Character",
    "JointMapping",
    "Mapping",
    "PointMapping",
    "build_biped",
    "load_character",
    "make_character",
    "read_mapping",
]
