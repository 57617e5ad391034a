"""Derived fields from what the engines compute, the same for all of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrl_envs.physics.versions import require_mujoco

_NEEDS = {
    "body_pos": ("xpos",),
    "body_quat": ("xquat",),
    "body_linvel": ("xpos", "cvel", "subtree_com"),
    "body_angvel": ("cvel",),
    "site_pos": ("site_xpos",),
    "site_linvel": ("site_xpos", "cvel", "subtree_com"),
    "site_angvel": ("cvel",),
    "com": ("subtree_com",),
    "actuator_force": ("actuator_force",),
    "sensordata": ("sensordata",),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Derivation:
    """Which engine fields the asked outputs need, and how they follow from them."""

    outputs: tuple[str, ...]
    root_of_body: np.ndarray
    body_of_site: np.ndarray

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the engine's fields that are needed, without repetition."""
        return tuple(dict.fromkeys(field for name in self.outputs for field in _NEEDS[name]))

    def __call__(self, raw: dict[str, Array]) -> dict[str, Array]:
        """The asked outputs of one world, float32.

        MuJoCo keeps velocities of bodies at the centre of mass of their tree (`cvel`: angular,
        then linear); moved to a point p they are v + ω × (p - centre).
        """
        made: dict[str, Any] = {}
        for name in self.outputs:
            if name in ("body_linvel", "site_linvel"):
                made[name] = self._linear(raw, name.partition("_")[0])
            elif name == "body_angvel":
                made[name] = raw["cvel"][:, :3]
            elif name == "site_angvel":
                made[name] = raw["cvel"][self.body_of_site, :3]
            else:
                made[name] = raw[_NEEDS[name][0]]
        return made

    def _linear(self, raw: dict[str, Array], kind: str) -> Array:
        centre = raw["subtree_com"][self.root_of_body]
        motion, point = raw["cvel"], raw["xpos" if kind == "body" else "site_xpos"]
        if kind == "site":
            centre, motion = centre[self.body_of_site], motion[self.body_of_site]
        return motion[:, 3:] + jnp.cross(motion[:, :3], point - centre)


def derivation(model: Any, outputs: tuple[str, ...]) -> Derivation:
    """The derivation of `outputs` for a compiled model."""
    return Derivation(outputs, np.array(model.body_rootid), np.array(model.site_bodyid))


def state_sensors(model: Any) -> np.ndarray:
    """Which numbers of `sensordata` follow from positions and velocities alone, bool."""
    last_stage = int(require_mujoco().mjtStage.mjSTAGE_ACC)
    found = np.zeros(model.nsensordata, bool)
    for i in range(model.nsensor):
        first = model.sensor_adr[i]
        found[first : first + model.sensor_dim[i]] = model.sensor_needstage[i] < last_stage
    return found
