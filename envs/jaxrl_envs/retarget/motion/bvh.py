"""Reading and writing BVH: any skeleton, channel order, frame rate and unit."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np

from jaxrl_envs.retarget.motion.files import read_text
from jaxrl_envs.retarget.motion.record import Motion, build_motion, forward_kinematics
from jaxrl_envs.retarget.motion.rest import rest_stands
from jaxrl_envs.retarget.motion.roles import REQUIRED_ROLES, check_roles, guess_roles
from jaxrl_envs.retarget.motion.standing import UPRIGHT, stand, tallness
from jaxrl_rewards.core import InputError, require
from jaxrl_rewards.core.files import atomic_write_text
from jaxrl_rewards.core.rotations import quat_from_euler, quat_multiply, quat_rotate, quat_to_euler

UNITS: dict[str, float] = {
    "metre": 1.0, "centimetre": 0.01, "millimetre": 0.001, "inch": 0.0254, "foot": 0.3048,
    "CMU unit": 0.0254 / 0.45,
}  # fmt: skip
"""Metres per unit of the units that are told apart by a human's height."""
_SHORTEST, _TALLEST = 1.1, 2.4
_MOST_JOINTS = 2000
_SHORTEST_FRAME, _LONGEST_FRAME = 1e-4, 1.0
_STRETCH = 0.02
_HELD = 0.8
"""Cosine between trunk and an axis along which it is held."""
_CYCLE = {"y": (2, 0, 1), "z": (0, 1, 2)}
"""Which file axes become x, y, z when the file's up is y or z."""


@dataclasses.dataclass
class _Joint:
    name: str
    parent: int
    line: int
    offset: tuple[float, ...] | None = None
    channels: tuple[str, ...] = ()
    first: int = 0


class _Lines:
    """The words of a file, line by line, with the number of the line in every complaint."""

    def __init__(self, path: Path, text: str):
        self.path, self.lines, self.number = path, text.splitlines(), 0

    def next(self, wanted: str) -> list[str]:
        while self.number < len(self.lines):
            self.number += 1
            words = self.lines[self.number - 1].split()
            if words:
                return words
        raise InputError(f"{self.path} ends where {wanted} should stand; export it again")

    def fail(self, problem: str) -> InputError:
        return InputError(f"{self.path}, line {self.number}: {problem}")

    def number_of(self, word: str, what: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or abs(value) > 1e9:
            raise self.fail(f"{what} is {word[:40]!r}; give a finite number")
        return value


def read_bvh(
    path: str | Path,
    *,
    scale: float | None = None,
    up: str | None = None,
    roles: dict[str, str] | None = None,
    ground: bool = True,
) -> Motion:
    """The motion of a BVH file; end sites become joints named `<parent>.end`.

    `scale` is metres per unit of the file, by default guessed from the skeleton's height; `up` is
    "y" or "z", by default the axis along which the person stands in more frames; `roles` names the
    joints that play a human's (see `roles.ROLES`) and overrides what the names show. With `ground`
    the feet are put on z = 0. Channels may stand in any order, another one in each joint. The
    axes of the joints do not matter (see `standing.stand`); joints above the pelvis are folded
    into it; an offset that position channels replace is their median.

    InputError names the file, the line or joint, and the remedy: channels that do not fit the
    numbers of a row, numbers that are not finite, missing frames, a frame time or height that no
    human has, joints that move against their parents, roles that do not exist.
    """
    path = Path(path)
    lines = _Lines(path, read_text(path))
    joints, width = _read_hierarchy(lines)
    values, frame_time = _read_frames(lines, width)
    names = tuple(joint.name for joint in joints)
    parents = tuple(joint.parent for joint in joints)
    known = guess_roles(names, parents) | (check_roles(roles, names, str(path)) if roles else {})
    if up is not None and up not in _CYCLE:
        raise InputError(f"{path}: up is {up!r}; use 'y' or 'z'")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise InputError(f"{path}: scale is {scale}; give metres per unit, above 0")
    joints, rotations, root, raw, places = _from_pelvis(joints, values, known)
    names = tuple(joint.name for joint in joints)
    parents = tuple(joint.parent for joint in joints)
    known = {role: joint for role, joint in known.items() if joint in names}
    if scale is None:
        scale = _scale_of(joints, raw, known, places, path)
    _check_lengths(joints, places, scale, path)
    if up is None:
        up = _tall_axis(joints, rotations, root, raw, known)
    cycle = list(_CYCLE[up])
    rotations = np.concatenate([rotations[..., :1], rotations[..., 1:][..., cycle]], axis=-1)
    root, raw = scale * root[:, cycle], scale * raw[:, cycle]
    rotations, raw = stand(rotations, root, raw, names, parents, known)
    return build_motion(
        rotations=rotations,
        root_position=root,
        offsets=raw,
        names=names,
        parents=parents,
        frame_time=frame_time,
        roles=known,
        name=path.stem if path.stem else "motion",
        ground=ground,
    )


def write_bvh(motion: Motion, path: str | Path, *, order: str = "zyx") -> None:
    """Write a motion as BVH in metres, y up, with rotation channels in the given order.

    Read it again with `scale=1`. The root gets six channels, all others three. The file appears
    whole or not at all. ValueError for an order that is not x, y, z in some order.
    """
    require(sorted(order) == ["x", "y", "z"], f"order {order!r}: give x, y, z in any order")
    back = [1, 2, 0]
    offsets = np.asarray(motion.offsets, np.float64)[:, back]
    turns = np.asarray(motion.rotations, np.float64)
    turns = np.concatenate([turns[..., :1], turns[..., 1:][..., back]], axis=-1)
    angles = np.degrees(quat_to_euler(turns, order))
    root = np.asarray(motion.root_position, np.float64)[:, back]
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(motion.parents):
        children.setdefault(parent, []).append(joint)
    rotation = " ".join(f"{axis.upper()}rotation" for axis in order)
    text, columns = ["HIERARCHY"], []

    def write(joint: int, depth: int) -> None:
        pad, name = "  " * depth, motion.names[joint]
        end = ".end" in name and joint not in children
        kind = "End Site" if end else f"{'JOINT' if depth else 'ROOT'} {name}"
        text.extend([f"{pad}{kind}", f"{pad}{{"])
        text.append(f"{pad}  OFFSET " + " ".join(f"{x:.9g}" for x in offsets[joint] * (depth > 0)))
        if not end:
            places = "6 Xposition Yposition Zposition" if depth == 0 else "3"
            text.append(f"{pad}  CHANNELS {places} {rotation}")
            columns.append(angles[:, joint])
        for child in children.get(joint, ()):
            write(child, depth + 1)
        text.append(f"{pad}}}")

    write(0, 0)
    table = np.concatenate([root, *columns], axis=1)
    text += ["MOTION", f"Frames: {len(table)}", f"Frame Time: {float(motion.frame_time):.9g}"]
    text += [" ".join(f"{value:.7f}" for value in row) for row in table]
    atomic_write_text(path, "\n".join(text) + "\n")


def _read_hierarchy(lines: _Lines) -> tuple[list[_Joint], int]:
    if lines.next("HIERARCHY") != ["HIERARCHY"]:
        raise lines.fail("the file must begin with HIERARCHY; is it a BVH file?")
    joints: list[_Joint] = []
    stack: list[int] = []
    width = 0
    while True:
        words = lines.next("the end of the hierarchy")
        key = words[0].upper()
        if key in ("ROOT", "JOINT", "END"):
            if (key == "ROOT") != (not stack) or (key == "ROOT" and joints):
                raise lines.fail(f"{key} stands in the wrong place; one ROOT holds all joints")
            parent = stack[-1] if stack else -1
            if stack and joints[parent].offset is None:
                raise lines.fail(f"{joints[parent].name!r} has a joint before its OFFSET")
            name = " ".join(words[1:-1] if words[-1] == "{" else words[1:])
            if key == "END":
                name = f"{joints[parent].name}.end"
                twins = sum(joint.name.startswith(name) for joint in joints)
                name += str(twins + 1) if twins else ""
            if not name or any(joint.name == name for joint in joints):
                raise lines.fail(f"the name {name!r} is missing or used twice; rename the joint")
            if len(joints) >= _MOST_JOINTS:
                raise lines.fail(f"more than {_MOST_JOINTS} joints; drop fingers or split it")
            joints.append(_Joint(name, parent, lines.number))
            stack.append(len(joints) - 1)
            if words[-1] != "{" and lines.next("{") != ["{"]:
                raise lines.fail(f"'{{' must follow the name of {name!r}")
        elif key == "OFFSET" and stack:
            if len(words) != 4:
                raise lines.fail(f"OFFSET has {len(words) - 1} numbers; it needs 3")
            joint = joints[stack[-1]]
            joint.offset = tuple(lines.number_of(w, "an OFFSET") for w in words[1:])
        elif key == "CHANNELS" and stack:
            joint = joints[stack[-1]]
            joint.channels, joint.first = _read_channels(lines, words), width
            width += len(joint.channels)
        elif key == "}" and stack:
            joint = joints[stack.pop()]
            if joint.offset is None:
                raise lines.fail(f"the joint {joint.name!r} has no OFFSET; add one")
        elif key == "MOTION" and joints and not stack:
            break
        else:
            raise lines.fail(f"{' '.join(words)[:40]!r} is not expected here; mend the hierarchy")
    if width == 0:
        raise lines.fail("no joint has CHANNELS, so there is no motion; export it again")
    return joints, width


def _read_channels(lines: _Lines, words: list[str]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words[2:])
    if len(words) < 2 or not words[1].isdecimal() or len(words[1]) > 2:
        raise lines.fail("CHANNELS must be followed by their number")
    if int(words[1]) != len(channels) or len(channels) > 6:
        raise lines.fail(
            f"CHANNELS announces {words[1]} but names {len(channels)}; name up to 6, all of them"
        )
    for channel in channels:
        if channel[:1] not in "xyz" or channel[1:] not in ("position", "rotation"):
            raise lines.fail(f"the channel {channel[:40]!r} is unknown; use Xposition to Zrotation")
    turns = [c for c in channels if c.endswith("rotation")]
    if len(turns) > 3 or len(channels) - len(turns) > 3:
        raise lines.fail("more than 3 positions or rotations in one joint; name at most 3 each")
    return channels


def _read_frames(lines: _Lines, width: int) -> tuple[np.ndarray, float]:
    words = lines.next("'Frames:'")
    text = " ".join(words).replace(":", " ").split()
    if len(text) != 2 or text[0].lower() != "frames" or not text[1].isdecimal():
        raise lines.fail("'Frames: <number>' must follow MOTION")
    count = int(text[1][:12])
    words = " ".join(lines.next("'Frame Time:'")).replace(":", " ").split()
    if [word.lower() for word in words[:2]] != ["frame", "time"] or len(words) != 3:
        raise lines.fail("'Frame Time: <seconds>' must follow the number of frames")
    frame_time = lines.number_of(words[2], "the frame time")
    if not _SHORTEST_FRAME <= frame_time <= _LONGEST_FRAME:
        raise lines.fail(
            f"the frame time is {frame_time:g} s; give seconds between "
            f"{_SHORTEST_FRAME:g} and {_LONGEST_FRAME:g}"
        )
    rows = []
    for number in range(lines.number, len(lines.lines)):
        words = lines.lines[number].split()
        if not words:
            continue
        lines.number = number + 1
        if len(rows) == count:
            raise lines.fail(f"more rows than the {count} frames announced; correct 'Frames:'")
        if len(words) != width:
            raise lines.fail(
                f"frame {len(rows) + 1} has {len(words)} numbers, but the joints have {width} "
                "channels; mend the row"
            )
        try:
            row = np.array(words, np.float64)
        except ValueError:
            row = np.array([np.nan])
        if not np.isfinite(row).all() or np.abs(row).max() > 1e9:
            for word in words:
                lines.number_of(word, f"a number of frame {len(rows) + 1}")
        rows.append(row)
    if len(rows) != count or count == 0:
        raise InputError(
            f"{lines.path}: {count} frames are announced but {len(rows)} are there; "
            "correct 'Frames:' or export the motion again"
        )
    return np.stack(rows), frame_time


def _rest(joints: list[_Joint], raw: np.ndarray) -> np.ndarray:
    rest = np.zeros_like(raw)
    for number, joint in enumerate(joints[1:], 1):
        rest[number] = rest[joint.parent] + raw[number]
    return rest


def _tall_axis(
    joints: list[_Joint],
    rotations: np.ndarray,
    root: np.ndarray,
    raw: np.ndarray,
    roles: dict[str, str],
) -> str:
    """The axis along which the person stands more often; where it never does, that of a rest
    pose that stands, or along which the trunk is held."""
    parents = tuple(joint.parent for joint in joints)
    if any(role not in roles for role in REQUIRED_ROLES):
        extent = np.ptp(_rest(joints, raw), axis=0)
        return "z" if extent[2] > 1.5 * extent[1] else "y"
    index = {joint.name: number for number, joint in enumerate(joints)}
    role = {part: index[joint] for part, joint in roles.items()}
    _, places = forward_kinematics(rotations, root, raw, parents)
    tall = tallness(places, raw, parents, role)
    upright = (tall > UPRIGHT).sum(axis=0)
    if upright[1] != upright[2]:
        return "y" if upright[1] > upright[2] else "z"
    for axis, cycle in _CYCLE.items():
        if rest_stands(raw[:, list(cycle)], parents, role):
            return axis
    trunk = places[:, role["neck"]] - places[:, role["pelvis"]]
    length = np.maximum(np.linalg.norm(trunk, axis=1, keepdims=True), 1e-9)
    held = (trunk / length > _HELD).mean(axis=0)
    # A crawler's trunk points where it goes.
    goes = np.ptp(root[:, 2]) > float(length.mean())
    return "z" if held[2] > 0.5 > held[1] and not goes else "y"


def _scale_of(
    joints: list[_Joint],
    raw: np.ndarray,
    roles: dict[str, str],
    places: list[np.ndarray],
    path: Path,
) -> float:
    """Guessed; where bones seem to have no human's length, joints that move are the first fault."""
    try:
        return _guess_scale(joints, raw, roles, path)
    except InputError:
        declared = np.array([joint.offset for joint in joints])
        declared[0] = 0.0
        _check_lengths(joints, places, _guess_scale(joints, declared, roles, path), path)
        raise


def _guess_scale(joints: list[_Joint], raw: np.ndarray, roles: dict[str, str], path: Path) -> float:
    """Metres per unit with which the skeleton has a human's height."""
    index = {joint.name: number for number, joint in enumerate(joints)}

    def way(name: str | None) -> float:
        number, length = index.get(name, 0), 0.0
        while number > 0:
            length += float(np.linalg.norm(raw[number]))
            number = joints[number].parent
        return length

    parts = way(roles.get("left_ankle")), way(roles.get("head") or roles.get("neck"))
    # Soles and the top of the head add about an eighth to the bones.
    height = 1.12 * sum(parts) if min(parts) > 0 else np.ptp(_rest(joints, raw), axis=0).max()
    for metres in UNITS.values():
        if _SHORTEST <= metres * height <= _TALLEST:
            return metres
    raise InputError(
        f"{path}: the skeleton is {height:g} units tall, which is no human's height in "
        f"{', '.join(UNITS)}; pass scale=<metres per unit>"
    )


def _turns(joints: list[_Joint], values: np.ndarray) -> np.ndarray:
    """Local quaternions in the file's axes."""
    rotations = np.zeros((len(values), len(joints), 4))
    rotations[..., 0] = 1.0
    for number, joint in enumerate(joints):
        turns = [i for i, name in enumerate(joint.channels) if name.endswith("rotation")]
        if turns:
            order = "".join(joint.channels[i][0] for i in turns)
            angles = values[:, [joint.first + i for i in turns]]
            rotations[:, number] = quat_from_euler(np.radians(angles), order)
    return rotations


def _places(joints: list[_Joint], values: np.ndarray) -> list[np.ndarray]:
    """What the position channels of each joint say, frame by frame; NaN where it has none."""
    places = []
    for joint in joints:
        place = np.full((len(values), 3), np.nan)
        for i, name in enumerate(joint.channels):
            if name.endswith("position"):
                place[:, "xyz".index(name[0])] = values[:, joint.first + i]
        places.append(place)
    return places


def _from_pelvis(
    joints: list[_Joint], values: np.ndarray, roles: dict[str, str]
) -> tuple[list[_Joint], np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Joints, local quaternions, root places, offsets and position channels, the pelvis as root.

    What stands above the pelvis and may move (a fixed point of the scene) is folded into it. An
    offset that position channels replace is their median.
    """
    rotations, places = _turns(joints, values), _places(joints, values)
    offsets = np.array([joint.offset for joint in joints])
    middles = np.stack([np.median(place, axis=0) for place in places])
    raw = np.where(np.isnan(middles), offsets, middles)
    turn, root = rotations[:, 0], np.nan_to_num(places[0])
    above = _way_up(joints, roles)
    for number in above[1:]:
        place = np.where(np.isnan(places[number]), offsets[number], places[number])
        root = root + quat_rotate(turn, place)
        turn = quat_multiply(turn, rotations[:, number])
    keep = [above[-1]]
    for number, joint in enumerate(joints):
        if joint.parent in keep:
            keep.append(number)
    rotations, raw = rotations[:, keep].copy(), raw[keep]
    rotations[:, 0], raw[0] = turn, 0.0
    return _kept(joints, keep), rotations, root, raw, [places[number] for number in keep]


def _way_up(joints: list[_Joint], roles: dict[str, str]) -> list[int]:
    """The joints from the root down to the pelvis if all that play a role hang below it, else
    the root alone."""
    index = {joint.name: number for number, joint in enumerate(joints)}

    def way(number: int) -> list[int]:
        numbers = [number]
        while joints[numbers[0]].parent >= 0:
            numbers.insert(0, joints[numbers[0]].parent)
        return numbers

    pelvis = index.get(roles.get("pelvis"), 0)
    carries = all(pelvis in way(index[joint]) for joint in roles.values())
    return way(pelvis) if carries else [0]


def _kept(joints: list[_Joint], keep: list[int]) -> list[_Joint]:
    new = {number: place for place, number in enumerate(keep)}
    return [dataclasses.replace(joints[n], parent=new.get(joints[n].parent, -1)) for n in keep]


def _check_lengths(
    joints: list[_Joint], places: list[np.ndarray], scale: float, path: Path
) -> None:
    """InputError for a joint that moves against its parent; the root may."""
    for joint, place in zip(joints[1:], places[1:], strict=True):
        moved = scale * np.abs(place - np.median(place, axis=0))
        moved = float(np.max(np.nan_to_num(moved)))
        if moved > _STRETCH:
            raise InputError(
                f"{path}: the joint {joint.name!r} moves {moved:.3g} m against its parent; "
                "bones must keep their length, export it with rotations only"
            )
