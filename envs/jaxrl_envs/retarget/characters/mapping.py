"""The mapping of a character: what its MJCF does not say by itself."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import Any

from jaxrl_envs.retarget.characters.record import HUMAN_JOINTS, KEYPOINTS
from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.json_files import read_json


@dataclasses.dataclass(frozen=True)
class JointMapping:
    """How one hinge follows the human, and its servo."""

    human: str | None = None
    """Name of the human's joint (see `HUMAN_JOINTS`); None for tails and ears, which stay still."""
    sign: float = 1.0
    """1 or -1: angle = sign · gain · human angle + offset, in the joint's limits."""
    gain: float = 1.0
    """Not 0."""
    offset: float = 0.0
    """radians"""
    rest: float = 0.0
    """Angle that a zero action asks for, radians; the nearest one in the joint's limits."""
    kp: float | None = None
    """Servo stiffness, N m/rad; by default that of the human's joint times mass · leg length."""
    torque: float | None = None
    """Torque limit, N m; by default likewise."""


@dataclasses.dataclass(frozen=True)
class PointMapping:
    """A point fixed to a body."""

    body: str
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """In the body's frame, metres."""


@dataclasses.dataclass(frozen=True)
class Mapping:
    """All of a character beside its MJCF; what a mapping file holds, as JSON of the same names."""

    name: str
    root: str
    """Body with the free joint."""
    joints: dict[str, JointMapping]
    """By name of the character's hinge; hinges left out are held at 0."""
    keypoints: dict[str, PointMapping]
    """One for each of `KEYPOINTS`."""
    feet: dict[str, tuple[str, ...]]
    """By name of the foot: the geoms with which it touches the ground. No others touch it. A foot
    may have geoms on several bodies (heel and toes); no two feet share a geom or a body."""
    leg_length: float | None = None
    """By default measured: height of the highest mapped hip above the soles."""


_LARGEST = 1e9
"""Of the numbers in a mapping, far beyond sense and well within float32."""
_REQUIRED = ("name", "root", "joints", "keypoints", "feet")


def read_mapping(path: str | Path) -> Mapping:
    """Read a mapping file. InputError names the file, the field, the value and the remedy."""
    path = Path(path)
    return mapping_from(read_json(path, finite=False), str(path))


def mapping_from(values: Any, where: str) -> Mapping:
    """A `Mapping` from parsed JSON; `where` names its origin in messages."""
    if not isinstance(values, dict):
        raise InputError(f"mapping {where} must be a JSON object, got {type(values).__name__}")
    for name in _REQUIRED:
        if name not in values:
            raise InputError(f"mapping {where} lacks {name!r}; it needs {', '.join(_REQUIRED)}")
    _refuse_unknown(values, (*_REQUIRED, "leg_length"), where)
    for name in ("joints", "keypoints", "feet"):
        if not isinstance(values[name], dict) or not values[name]:
            raise InputError(f"mapping {where}: {name!r} must be an object with entries")
    for name in ("name", "root"):
        if not isinstance(values[name], str):
            raise InputError(f"mapping {where}: {name!r} must be text, got {values[name]!r}")
    joints = {
        key: _joint(value, f"{where}, joint {key!r}") for key, value in values["joints"].items()
    }
    keypoints = {}
    for key in KEYPOINTS:
        if key not in values["keypoints"]:
            raise InputError(
                f"mapping {where}: 'keypoints' lacks {key!r}; it needs {', '.join(KEYPOINTS)}"
            )
    _refuse_unknown(values["keypoints"], KEYPOINTS, f"{where}, keypoints")
    for key in KEYPOINTS:
        keypoints[key] = _point(values["keypoints"][key], f"{where}, keypoint {key!r}")
    feet = {}
    for key, geoms in values["feet"].items():
        geoms = [geoms] if isinstance(geoms, str) else geoms
        if not isinstance(geoms, list) or not geoms or not all(isinstance(g, str) for g in geoms):
            raise InputError(f"mapping {where}, foot {key!r}: give a list of geom names")
        for geom in geoms:
            listed = [foot for foot in feet if geom in feet[foot]] + [key] * geoms.count(geom)
            if len(listed) > 1:
                raise InputError(
                    f"mapping {where}, foot {key!r}: the geom {geom!r} is listed twice (for "
                    f"{' and '.join(sorted(set(listed)))}); list each geom once, for one foot"
                )
        feet[key] = tuple(geoms)
    leg = values.get("leg_length")
    if leg is not None and _number(leg, f"{where}, leg_length") <= 0:
        raise InputError(f"mapping {where}: leg_length must be above 0, got {leg}")
    return Mapping(values["name"], values["root"], joints, keypoints, feet, leg)


def _joint(value: Any, where: str) -> JointMapping:
    fields = tuple(field.name for field in dataclasses.fields(JointMapping))
    if not isinstance(value, dict):
        raise InputError(f"mapping {where} must be an object with some of {', '.join(fields)}")
    _refuse_unknown(value, fields, where)
    human = value.get("human")
    if human is not None and human not in HUMAN_JOINTS:
        close = difflib.get_close_matches(str(human), HUMAN_JOINTS, n=3, cutoff=0.4)
        hint = (
            f"did you mean {' or '.join(close)}?" if close else f"choose {', '.join(HUMAN_JOINTS)}"
        )
        raise InputError(f"mapping {where}: the human has no joint {human!r}; {hint}")
    for name in fields[1:]:
        number = value.get(name, 1.0)
        servo = name in ("kp", "torque")
        if number is None and servo:
            continue
        if number is None:
            raise InputError(
                f"mapping {where}: {name} is null; give a number, or leave the field out"
            )
        _number(number, f"{where}, {name}")
        if servo and number <= 0:
            raise InputError(f"mapping {where}: {name} must be above 0, got {number}")
        if name == "sign" and abs(number) != 1:
            raise InputError(
                f"mapping {where}: sign must be 1 or -1, got {number}; a factor goes in 'gain'"
            )
        if name == "gain" and number == 0:
            raise InputError(
                f"mapping {where}: gain must not be 0; leave out 'human' for a joint that stays "
                "still"
            )
    return JointMapping(**value)


def _point(value: Any, where: str) -> PointMapping:
    if isinstance(value, str):
        return PointMapping(value)
    if not isinstance(value, dict) or not isinstance(value.get("body"), str):
        raise InputError(f"mapping {where} must name a body, or be an object with body and offset")
    _refuse_unknown(value, ("body", "offset"), where)
    offset = value.get("offset", (0.0, 0.0, 0.0))
    if not isinstance(offset, (list, tuple)) or len(offset) != 3:
        raise InputError(f"mapping {where}: offset must be three numbers, got {offset!r}")
    return PointMapping(value["body"], tuple(_number(x, f"{where}, offset") for x in offset))


def _number(value: Any, where: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and abs(value) <= _LARGEST:  # NaN is not
        return float(value)
    raise InputError(
        f"mapping {where}: {str(value)[:40]} is not a finite number of size up to {_LARGEST:g}"
    )


def _refuse_unknown(value: dict, known: tuple[str, ...], where: str) -> None:
    for name in value:
        if name not in known:
            raise InputError(f"mapping {where}: unknown field {name!r}; known: {', '.join(known)}")
