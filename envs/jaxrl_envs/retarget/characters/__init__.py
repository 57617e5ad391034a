"""Characters: a human, a dinosaur, a mouse-like creature, and those a user brings as MJCF."""

from __future__ import annotations

import functools
from pathlib import Path

from jaxrl_envs.retarget.characters.assemble import SUBSTEPS, TIMESTEP, assemble
from jaxrl_envs.retarget.characters.biped import BipedPlan, build_biped
from jaxrl_envs.retarget.characters.mapping import (
    JointMapping,
    Mapping,
    PointMapping,
    read_mapping,
)
from jaxrl_envs.retarget.characters.plans import PLANS
from jaxrl_envs.retarget.characters.record import HUMAN_JOINTS, KEYPOINTS, Character
from jaxrl_rewards.core import InputError


@functools.cache
def make_character(name: str) -> Character:
    """A character that comes with the project, or the one in a user's MJCF file.

    `name` is human, dinosaur or mouse, or the path of an MJCF file beside which, under the same
    name with the suffix `.json`, its mapping lies. InputError says what is missing or unsupported.
    """
    if name in PLANS:
        return assemble(*build_biped(PLANS[name]), f"character {name}")
    path = Path(name)
    if path.suffix.lower() not in (".xml", ".mjcf"):
        raise InputError(
            f"character {name!r} is unknown; choose {', '.join(PLANS)}, or give an MJCF file (.xml)"
        )
    return load_character(path, path.with_suffix(".json"))


def load_character(mjcf: str | Path, mapping: str | Path) -> Character:
    """A character from a user's MJCF file and mapping file."""
    import mujoco

    plan = read_mapping(mapping)
    try:
        spec = mujoco.MjSpec.from_file(str(mjcf))
    except (ValueError, RuntimeError, OSError) as error:
        raise InputError(f"MJCF {mjcf} cannot be read: {' '.join(str(error).split())}") from error
    return assemble(spec, plan, str(mjcf))


__all__ = [
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
