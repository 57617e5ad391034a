"""A skeleton whose joints have any axes gets those of the common human, from posed bones alone.

Files differ in what "nothing is turned" looks like: a T pose, a person lying flat, all bones along
x. So meaning is taken from where bones are in the world: the tallest frames say what upright is,
the bends of knees and elbows how thighs and upper arms are turned about themselves, the lowest
frames of a foot how it stands. Turning the axes of any joint of the file changes none of that.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from jaxrl_envs.retarget.motion.record import forward_kinematics
from jaxrl_envs.retarget.motion.rest import clean_rest
from jaxrl_envs.retarget.motion.roles import REQUIRED_ROLES
from jaxrl_rewards.core.rotations import (
    quat_between,
    quat_conjugate,
    quat_from_yaw,
    quat_inverse_rotate,
    quat_multiply,
    quat_rotate,
)

UPRIGHT = 0.75
"""A person whose head is this share of the stretched height above the feet stands."""
_SHARE = 0.03
"""Of the frames, the tallest (lowest) that say what upright (flat) is."""
_ALIKE = 1e-5
"""metres; frames that differ by less are counted alike, so that rounding picks none of them."""
_BENT = math.sin(0.4)
"""From this sine of the bend on, a knee or elbow tells how the limb is turned about itself."""
_AGREE = 0.5
_SPLAYED = math.cos(math.radians(20.0))
_X, _Y, _Z = np.eye(3)
_FOOT_AHEAD = np.array([0.97, 0.0, -0.24])


def stand(
    rotations: Float[np.ndarray, "frames joints 4"],
    root_position: Float[np.ndarray, "frames 3"],
    offsets: Float[np.ndarray, "joints 3"],
    names: tuple[str, ...],
    parents: tuple[int, ...],
    roles: dict[str, str],
) -> tuple[Float[np.ndarray, "frames joints 4"], Float[np.ndarray, "joints 3"]]:
    """The same movement, `(rotations, offsets)`, with axes in which zero angles are a standing
    human: metres, z up, float64.

    Every joint stays where it is in every frame. A file whose rest pose is a standing person (or
    one lying flat, who is raised) keeps it; all others get the common human's, arms hanging. A
    skeleton that lacks a required role is returned as it is.
    """
    if any(role not in roles for role in REQUIRED_ROLES):
        return rotations, offsets
    body = _Body(rotations, root_position, offsets, parents, _indices(names, roles))
    whole = clean_rest(body.turns, body.places, offsets, parents, body.role)
    if whole is None:
        axes = _standing_axes(body)
    elif np.array_equal(whole, [1.0, 0.0, 0.0, 0.0]):
        return rotations, offsets
    else:
        axes = np.broadcast_to(whole, (len(names), 4))
    return _with_axes(body.turns, offsets, parents, axes)


def tallness(
    places: Float[np.ndarray, "frames joints 3"],
    offsets: Float[np.ndarray, "joints 3"],
    parents: tuple[int, ...],
    role: dict[str, int],
) -> Float[np.ndarray, "frames 3"]:
    """How far the head is from the middle of the feet along each axis, as a share of the way
    along the bones."""
    top = role.get("head", role["neck"])
    feet = [role["left_ankle"], role["right_ankle"]]

    def way(joint: int) -> float:
        length = 0.0
        while joint != role["pelvis"] and parents[joint] >= 0:
            length += float(np.linalg.norm(offsets[joint]))
            joint = parents[joint]
        return length

    height = max(way(top) + 0.5 * (way(feet[0]) + way(feet[1])), 1e-9)
    return (places[:, top] - places[:, feet].mean(axis=1)) / height


def _indices(names: tuple[str, ...], roles: dict[str, str]) -> dict[str, int]:
    return {role: names.index(joint) for role, joint in roles.items()}


class _Body:
    """World rotations and places of all joints, and the frames that say what upright is."""

    def __init__(
        self,
        rotations: np.ndarray,
        root_position: np.ndarray,
        offsets: np.ndarray,
        parents: tuple[int, ...],
        role: dict[str, int],
    ):
        self.turns, self.places = forward_kinematics(rotations, root_position, offsets, parents)
        self.role = role
        tall = tallness(self.places, offsets, parents, role)[:, 2]
        self.tallest = _most(tall)
        self.stands = bool(tall.max() >= UPRIGHT)

    def turn(self, role: str) -> np.ndarray:
        return self.turns[:, self.role[role]]

    def place(self, role: str) -> np.ndarray:
        return self.places[:, self.role[role]]

    def way(self, first: str, second: str) -> np.ndarray:
        return self.place(second) - self.place(first)


def _most(values: np.ndarray) -> np.ndarray:
    """Which frames have the largest values."""
    count = max(int(_SHARE * len(values)), 1)
    return np.flatnonzero(values >= np.sort(values)[-count] - _ALIKE)


def _with_axes(
    turns: np.ndarray, offsets: np.ndarray, parents: tuple[int, ...], axes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations and offsets when each joint's own axes are turned by `axes`."""
    turns = quat_multiply(turns, quat_conjugate(np.asarray(axes)))
    local, moved = turns.copy(), np.array(offsets, np.float64)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            local[:, joint] = quat_multiply(quat_conjugate(turns[:, parent]), turns[:, joint])
            moved[joint] = quat_rotate(axes[parent], offsets[joint])
    return local, moved


def _standing_axes(body: _Body) -> np.ndarray:
    """Of each joint, the rotation from its own axes to the common human's, quaternions."""
    axes = _posed_axes(body)

    def put(role: str, found: np.ndarray) -> None:
        if role in body.role:
            axes[body.role[role]] = found

    def ahead_of(role: str) -> np.ndarray:
        """The canonical segment in the world, frame by frame."""
        return quat_multiply(body.turn(role), quat_conjugate(axes[body.role[role]]))

    put("pelvis", _trunk_axes(body, "pelvis", "neck", body.way("right_hip", "left_hip")))
    put("chest", _trunk_axes(body, "chest", "neck", body.way("right_shoulder", "left_shoulder")))
    left = quat_rotate(ahead_of("chest"), _Y)
    for role, above in (("neck", "head"), ("head", "head")):
        if role in body.role:
            put(role, _trunk_axes(body, role, above if above in body.role else "neck", left))
    for side in ("left", "right"):
        for carrier, upper, lower, end, sign in (
            ("pelvis", "hip", "knee", "ankle", -1.0),
            ("chest", "shoulder", "elbow", "wrist", 1.0),
        ):
            upper, lower, end = (f"{side}_{part}" for part in (upper, lower, end))
            put(upper, _limb_axes(body, ahead_of(carrier), upper, lower, end, sign))
            lateral = quat_rotate(ahead_of(upper), _Y)
            bone = _local(body.turn(lower), body.way(lower, end)).mean(axis=0)
            put(lower, _axes(y=_local(body.turn(lower), lateral).mean(axis=0), z=-bone))
        if body.role[f"{side}_wrist"] != body.role[f"{side}_elbow"]:
            put(f"{side}_wrist", _carried(body, f"{side}_wrist", ahead_of(f"{side}_elbow")))
        put(f"{side}_ankle", _foot_axes(body, side, ahead_of(f"{side}_knee")))
        for tip in (f"{side}_toe", f"{side}_toe_end"):
            if tip in body.role:
                put(tip, _carried(body, tip, ahead_of(f"{side}_ankle")))
    return axes


def _posed_axes(body: _Body) -> np.ndarray:
    """What all joints look like in the tallest frames, seen from where the hips face."""
    left = body.way("right_hip", "left_hip")[body.tallest]
    yaw = quat_from_yaw(np.arctan2(-left[:, 0], left[:, 1]))
    seen = quat_multiply(quat_conjugate(yaw)[:, None], body.turns[body.tallest])
    return np.stack([_mean(seen[:, joint]) for joint in range(seen.shape[1])])


def _trunk_axes(body: _Body, role: str, above: str, left: np.ndarray) -> np.ndarray:
    """Up is the world's where the person stands, and along the bones where it never does."""
    turn, tallest = body.turn(role), body.tallest
    up = np.broadcast_to(_Z, left.shape)
    if not body.stands:
        below = "pelvis" if role == "pelvis" else "chest" if role == "chest" else "neck"
        up, tallest = body.way(below, above), slice(None)
        up = up if np.abs(up).max() > 1e-6 else body.way("pelvis", "neck")
    frames = tallest if role in ("pelvis", "chest") else slice(None)
    lateral = _local(turn[frames], left[frames]).mean(axis=0)
    up = _local(turn[tallest], up[tallest]).mean(axis=0)
    return _axes(y=lateral, z=up) if role in ("pelvis", "chest") else _axes(z=up, y=lateral)


def _limb_axes(
    body: _Body, carrier: np.ndarray, upper: str, lower: str, end: str, sign: float
) -> np.ndarray:
    """The bone hangs; the side to which the joint below bends is back (knee) or ahead (elbow)."""
    turn = body.turn(upper)
    bone = _local(turn, body.way(upper, lower)).mean(axis=0)
    bone /= max(float(np.linalg.norm(bone)), 1e-9)
    ahead = _local(turn, _unit(body.way(lower, end)))
    aside = sign * (ahead - (ahead @ bone)[:, None] * bone)
    sine = np.linalg.norm(aside, axis=1)
    weight = np.where(sine > _BENT, sine, 0.0)
    bend = (weight[:, None] * aside).sum(axis=0)
    total = float((weight * sine).sum())
    if total > 0.0 and np.linalg.norm(bend) > _AGREE * total:
        return _axes(z=-bone, x=bend)
    frames = body.tallest
    swing = quat_between(-_Z, _local(carrier, body.way(upper, lower))[frames])
    hanging = quat_multiply(quat_conjugate(turn[frames]), quat_multiply(carrier[frames], swing))
    return quat_conjugate(_mean(hanging))


def _foot_axes(body: _Body, side: str, shin: np.ndarray) -> np.ndarray:
    """Flat on the ground in the frames where it is lowest; ahead is where the shin looks on
    average, or the toes where these are turned further out than feet are."""
    ankle, toe = f"{side}_ankle", f"{side}_toe"
    if toe not in body.role:
        return _carried(body, ankle, shin)
    turn, bone = body.turn(ankle), body.way(ankle, toe)
    lowest = _most(-(body.place(ankle)[:, 2] + body.place(toe)[:, 2]))
    toes = _local(turn, bone).mean(axis=0)
    lateral = _local(turn, quat_rotate(shin, _Y)).mean(axis=0)
    up = _local(turn[lowest], np.broadcast_to(_Z, bone[lowest].shape)).mean(axis=0)
    steep = abs(float(toes @ up)) > 0.8 * float(np.linalg.norm(toes) * np.linalg.norm(up))
    if not body.stands or steep:
        return quat_multiply(quat_between(_X, _FOOT_AHEAD), _axes(x=toes, y=lateral))
    flat = _axes(z=up, y=lateral)
    ahead = _unit(quat_rotate(flat, toes) * [1.0, 1.0, 0.0])
    return flat if ahead[0] > _SPLAYED else _axes(z=up, x=toes)


def _carried(body: _Body, role: str, carrier: np.ndarray) -> np.ndarray:
    """On average a joint is turned as the segment that carries it."""
    return quat_conjugate(_mean(quat_multiply(quat_conjugate(body.turn(role)), carrier)))


def _local(turn: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return quat_inverse_rotate(turn, vector)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def _mean(quats: np.ndarray) -> np.ndarray:
    """Of rotations, whatever their signs: the eigenvector of their products."""
    return np.linalg.eigh(np.einsum("ni,nj->ij", quats, quats))[1][:, -1]


def _axes(**directions: np.ndarray) -> np.ndarray:
    """The rotation under which the first direction becomes the axis named, the second nearly so."""
    (first, one), (second, two) = directions.items()
    one = _unit(np.asarray(one, np.float64))
    two = _unit(two - (two @ one) * one)
    rows = {first: one, second: two}
    third = next(axis for axis in "xyz" if axis not in rows)
    cross = {"x": ("y", "z"), "y": ("z", "x"), "z": ("x", "y")}[third]
    rows[third] = np.cross(rows[cross[0]], rows[cross[1]])
    return _from_matrix(np.stack([rows[axis] for axis in "xyz"]))


def _from_matrix(m: np.ndarray) -> np.ndarray:
    """The unit quaternion of a rotation matrix, as the eigenvector of Bar-Itzhack's matrix."""
    k = np.array(
        [
            [m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [0.0, m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[0, 2] + m[2, 0]],
            [0.0, 0.0, m[1, 1] - m[0, 0] - m[2, 2], m[2, 1] + m[1, 2]],
            [0.0, 0.0, 0.0, m[2, 2] - m[0, 0] - m[1, 1]],
        ]
    )
    return np.linalg.eigh(k, UPLO="U")[1][:, -1]
