"""Where the sites of a model are and how they move, from positions and velocities in closed form.

Unrolled over the model's tree when it is traced, with constants folded: a number of the model that
is 0 or 1 costs nothing. XLA compiles what is left to a few loops over the worlds, a quarter of what
MuJoCo's own pass takes, which cannot leave out the mass matrix and the bias forces.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_envs.physics.versions import require_mujoco

OF_SITES = ("site_pos", "site_linvel", "site_angvel")
"""Outputs that have a closed form. Those of all bodies are as dear as MuJoCo's pass."""
LONGEST_WAY, LONGEST_WAYS = 12, 100
"""Joints between the world and one site, and those of all sites together; a joint on a skew axis
counts as three. XLA computes the way to a site anew for each of its numbers: beyond these lengths
that is slow, and takes long to compile."""
WIDEST = 100.0
"""Radians that a hinge may turn: of a wound-up one, float32 would lose the angle."""

Number = Any
"""A Python float, known when traced, or a float32 scalar."""
Vector = tuple[Number, Number, Number]
Columns = tuple[Vector, Vector, Vector]
"""A rotation matrix by its columns."""

_NOWHERE: Vector = (0.0, 0.0, 0.0)
_UPRIGHT: Columns = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclasses.dataclass
class _Frame:
    """A body while its joints are applied one after the other; a site."""

    pos: Vector
    turn: Columns
    linear: Vector
    angular: Vector


def has_closed_form(model: Any) -> bool:
    """Whether `site_motion` is exact for a model and cheaper than MuJoCo's pass.

    There are sites, no mocap bodies, axes and quaternions of the model are of unit length, hinges
    are limited, and the ways to the sites are short.
    """
    lengths = np.linalg.norm(np.asarray(model.body_quat), axis=1)
    if model.nsite == 0 or (np.asarray(model.body_mocapid) >= 0).any() or not _are_one(lengths):
        return False
    ways = []
    for body in model.site_bodyid:
        joints = _joints_to(model, int(body))
        if not all(_is_plain(model, j) for j in joints):
            return False
        ways.append(sum(_weight(model, j) for j in joints))
    return max(ways) <= LONGEST_WAY and sum(ways) <= LONGEST_WAYS


def _is_plain(model: Any, joint: int) -> bool:
    """Whether the joint's axis is a unit vector and, of a hinge, its angle limited."""
    kinds = require_mujoco().mjtJoint
    kind = int(model.jnt_type[joint])
    if kind not in (int(kinds.mjJNT_HINGE), int(kinds.mjJNT_SLIDE)):
        return True
    if kind == int(kinds.mjJNT_HINGE):
        narrow = np.abs(model.jnt_range[joint]).max() <= WIDEST
        if not (model.jnt_limited[joint] and narrow):
            return False
    return _are_one(np.linalg.norm(model.jnt_axis[joint]))


def _weight(model: Any, joint: int) -> int:
    """What a joint adds to the length of a way."""
    kinds = require_mujoco().mjtJoint
    kind = int(model.jnt_type[joint])
    if kind == int(kinds.mjJNT_FREE):
        return 0
    straight = np.abs(model.jnt_axis[joint]).max() == 1.0
    return 1 if straight or kind == int(kinds.mjJNT_BALL) else 3


def _are_one(lengths: Any) -> bool:
    return bool((np.abs(np.asarray(lengths) - 1.0) <= 1e-6).all())


def site_motion(
    model: Any, outputs: tuple[str, ...]
) -> Callable[[Float[Array, "nq"], Float[Array, "nv"]], dict[str, Float[Array, "nsite 3"]]]:
    """`place(qpos, qvel)`: the outputs, of `OF_SITES`, of a compiled model with a closed form.

    Float32 throughout, where MuJoCo's own pass takes float64: within some 1e-6 of the model's size
    and of the root's distance from the origin. Metres, m/s and rad/s in the world's frame.
    Quaternions of free and ball joints are normalised as MuJoCo does; one of length 0 counts as no
    rotation. Works under `jit`, `vmap` and `grad`. ValueError for another output.
    """
    unknown = [name for name in outputs if name not in OF_SITES]
    if unknown:
        raise ValueError(f"no closed form for {unknown[0]!r}; known are {', '.join(OF_SITES)}")
    if not outputs:
        return lambda qpos, qvel: {}
    wanted = {b for body in model.site_bodyid for b in _way_to(model, int(body))}
    attributes = {"site_pos": "pos", "site_linvel": "linear", "site_angvel": "angular"}

    def place(qpos: Float[Array, "nq"], qvel: Float[Array, "nv"]) -> dict[str, Array]:
        bodies = _walk(model, wanted, qpos, qvel)
        sites = [
            _fixed_to(bodies[body], _vector(pos), (1.0, 0.0, 0.0, 0.0))
            for body, pos in zip(model.site_bodyid, model.site_pos, strict=True)
        ]
        return {
            name: _stack([getattr(site, attributes[name]) for site in sites], qpos.dtype)
            for name in outputs
        }

    return place


def _way_to(model: Any, body: int) -> list[int]:
    """The body and all that it hangs from, without the world."""
    way = []
    while body:
        way.append(body)
        body = int(model.body_parentid[body])
    return way


def _joints_to(model: Any, body: int) -> list[int]:
    """The joints between the world and a body."""
    spans = [(int(model.body_jntadr[b]), int(model.body_jntnum[b])) for b in _way_to(model, body)]
    return [j for first, count in spans for j in range(first, first + count)]


def _walk(model: Any, wanted: set[int], qpos: Array, qvel: Array) -> dict[int, _Frame]:
    """The frames of the wanted bodies."""
    joint = require_mujoco().mjtJoint
    # sine and cosine of all coordinates at once: left in the loops, XLA would take them many times
    angles = qpos - jnp.asarray(model.qpos0, qpos.dtype)
    sine, cosine = jnp.sin(angles), jnp.cos(angles)
    frames = {0: _Frame(_NOWHERE, _UPRIGHT, _NOWHERE, _NOWHERE)}
    for body in sorted(wanted):  # parents come first
        frame = _fixed_to(
            frames[int(model.body_parentid[body])],
            _vector(model.body_pos[body]),
            _vector(model.body_quat[body]),
        )
        first = model.body_jntadr[body]
        for j in range(first, first + model.body_jntnum[body]):
            kind, q, d = model.jnt_type[j], model.jnt_qposadr[j], model.jnt_dofadr[j]
            if kind == joint.mjJNT_FREE:
                frame = _free(qpos[q : q + 7], qvel[d : d + 6])
            elif kind == joint.mjJNT_BALL:
                anchor = _vector(model.jnt_pos[j])
                turn = _matrix_product(frame.turn, _columns(_unit(qpos[q : q + 4])))
                spin = _turned(turn, _entries(qvel[d : d + 3]))
                frame = _about(frame, anchor, turn, spin)
            elif kind == joint.mjJNT_SLIDE:
                frame = _slide(frame, _vector(model.jnt_axis[j]), angles[q], qvel[d])
            else:
                axis, anchor = _vector(model.jnt_axis[j]), _vector(model.jnt_pos[j])
                turn = _turned_about(frame.turn, axis, sine[q], cosine[q])
                spin = _scaled(qvel[d], _turned(frame.turn, axis))
                frame = _about(frame, anchor, turn, spin)
        frames[body] = frame
    return frames


def _fixed_to(parent: _Frame, pos: Vector, quat: tuple[float, ...]) -> _Frame:
    """A frame at rest relative to its parent."""
    arm = _turned(parent.turn, pos)
    return _Frame(
        pos=_add(parent.pos, arm),
        turn=_matrix_product(parent.turn, _columns(quat)),
        linear=_add(parent.linear, _cross(parent.angular, arm)),
        angular=parent.angular,
    )


def _free(qpos: Array, qvel: Array) -> _Frame:
    """A free joint's own frame: MuJoCo takes its linear velocity in the world's, its angular one in
    the body's."""
    turn = _columns(_unit(qpos[3:7]))
    return _Frame(
        pos=_entries(qpos[:3]),
        turn=turn,
        linear=_entries(qvel[:3]),
        angular=_turned(turn, _entries(qvel[3:6])),
    )


def _about(frame: _Frame, anchor: Vector, turn: Columns, spin: Vector) -> _Frame:
    """The frame turned about a point of its own, which stays where it is and moves as it did."""
    before, after = _turned(frame.turn, anchor), _turned(turn, anchor)
    angular = _add(frame.angular, spin)
    still = _add(frame.linear, _cross(frame.angular, before))
    return _Frame(
        pos=_subtract(_add(frame.pos, before), after),
        turn=turn,
        linear=_subtract(still, _cross(angular, after)),
        angular=angular,
    )


def _slide(frame: _Frame, axis: Vector, shift: Number, speed: Number) -> _Frame:
    along = _turned(frame.turn, axis)
    arm = _scaled(shift, along)
    moved = _add(_cross(frame.angular, arm), _scaled(speed, along))
    return dataclasses.replace(frame, pos=_add(frame.pos, arm), linear=_add(frame.linear, moved))


# Arithmetic in which a Python float is known: what it makes 0 or leaves as it is costs nothing.


def _product(a: Number, b: Number) -> Number:
    for one, other in ((a, b), (b, a)):
        if isinstance(one, float):
            if one == 0.0:
                return 0.0
            if one in (1.0, -1.0):
                return other if one == 1.0 else -other
    return a * b


def _sum(*terms: Number) -> Number:
    total: Number = 0.0
    for term in terms:
        if isinstance(term, float) and term == 0.0:
            continue
        total = term if isinstance(total, float) and total == 0.0 else total + term
    return total


def _add(a: Vector, b: Vector) -> Vector:
    return tuple(_sum(x, y) for x, y in zip(a, b, strict=True))


def _subtract(a: Vector, b: Vector) -> Vector:
    return _add(a, _scaled(-1.0, b))


def _scaled(factor: Number, vector: Vector) -> Vector:
    return tuple(_product(factor, x) for x in vector)


def _cross(a: Vector, b: Vector) -> Vector:
    return tuple(
        _sum(_product(a[i], b[j]), -_product(a[j], b[i])) for i, j in ((1, 2), (2, 0), (0, 1))
    )


def _turned(turn: Columns, vector: Vector) -> Vector:
    """The vector by the matrix."""
    parts = [_scaled(x, column) for x, column in zip(vector, turn, strict=True)]
    return tuple(_sum(*entries) for entries in zip(*parts, strict=True))


def _matrix_product(a: Columns, b: Columns) -> Columns:
    return tuple(_turned(a, column) for column in b)


def _turned_about(turn: Columns, axis: Vector, sine: Number, cosine: Number) -> Columns:
    """The matrix times the rotation about an axis of its own frame."""
    rest = 1.0 - cosine
    columns = []
    for j in range(3):
        unit = _UPRIGHT[j]
        along = _scaled(_product(rest, axis[j]), axis)
        across = _scaled(sine, _cross(axis, unit))
        column = _add(_scaled(cosine, unit), _add(across, along))
        if axis[j] in (1.0, -1.0):  # the axis itself stays exactly where it is
            column = unit
        columns.append(column)
    return _matrix_product(turn, tuple(columns))


def _columns(quat: tuple[Number, ...]) -> Columns:
    """The matrix of a unit quaternion."""
    w, x, y, z = quat
    double = lambda a, b: _product(2.0, _product(a, b))  # noqa: E731
    one_less = lambda a, b: _sum(1.0, -a, -b)  # noqa: E731
    return (
        (one_less(double(y, y), double(z, z)), _sum(double(x, y), double(w, z)),
         _sum(double(x, z), -double(w, y))),
        (_sum(double(x, y), -double(w, z)), one_less(double(x, x), double(z, z)),
         _sum(double(y, z), double(w, x))),
        (_sum(double(x, z), double(w, y)), _sum(double(y, z), -double(w, x)),
         one_less(double(x, x), double(y, y))),
    )  # fmt: skip


def _unit(quat: Array) -> tuple[Number, ...]:
    """A quaternion of the state, normalised."""
    square = jnp.sum(quat * quat)
    sound = square > 0
    scale = jnp.where(sound, 1.0 / jnp.sqrt(jnp.where(sound, square, 1.0)), 0.0)
    w, *rest = _entries(quat * scale)
    return (jnp.where(sound, w, 1.0), *rest)


def _vector(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _entries(vector: Array) -> tuple[Array, ...]:
    return tuple(vector[i] for i in range(vector.shape[0]))


def _stack(rows: list[tuple[Number, ...]], dtype: Any) -> Array:
    """Rows of numbers as one array."""
    flat = [jnp.asarray(value, dtype) for row in rows for value in row]
    return jnp.stack(flat).reshape(len(rows), -1)
