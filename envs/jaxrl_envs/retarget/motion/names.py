"""Roles from the parts that joint names are made of: side, body part, number."""

from __future__ import annotations

import os
import re

_SIDES = {"left": "left", "l": "left", "lft": "left", "right": "right", "r": "right", "rt": "right"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PREFIX = re.compile(r"^mixamorig[0-9]*_?")
_END = re.compile(r"[._ ]([eE]nd|[tT]ip|[nN]ub)[0-9]*$")
_FILLERS = {"def", "jnt", "bn", "bone", "bip", "j", "m", "avg"}
_PARTS: dict[str, tuple[str, ...]] = {
    "hip": ("upleg", "upperleg", "thigh", "thighbend", "uleg", "hip", "femur", "leg", "hipjoint"),
    "knee": ("lowerleg", "lowleg", "shin", "calf", "knee", "lleg", "tibia", "leg", "shinbend"),
    "ankle": ("ankle", "foot"),
    "toe": ("toebase", "toe", "toes", "ball", "metatarsals"),
    "shoulder": ("upperarm", "uparm", "shldrbend", "shldr", "uarm", "arm", "humerus", "shoulder"),
    "elbow": ("lowerarm", "lowarm", "forearm", "forearmbend", "farm", "foarm", "elbow", "radius"),
    "wrist": ("wrist", "hand"),
}
"""Names of the part that a role is, the surest first."""
_MIDDLE: dict[str, tuple[str, ...]] = {
    "pelvis": ("hips", "pelvis", "hip", "root"),
    "neck": ("neck", "necklower", "lowerneck"),
    "head": ("head",),
    "chest": ("chest", "chestupper", "upperchest", "spine"),
}


def roles_by_parts(names: tuple[str, ...], parents: tuple[int, ...]) -> dict[str, str]:
    """The roles that names show which are put together from words, in any spelling.

    `LeftUpLeg`, `upperleg.L`, `lThighBend`, `Bip01 L Thigh` and `thigh_l` are one joint. What
    stands before a colon and what all names begin with does not count; numbers only order joints
    of one name, and the first down the limb is taken.
    """
    known = _parsed(names)
    roles: dict[str, str] = {}
    for side in ("left", "right"):
        taken: set[int] = set()
        for part, options in _PARTS.items():
            above = roles.get(f"{side}_{_ABOVE[part]}") if part in _ABOVE else None
            start = names.index(above) if above else None
            joint = _first(known, side, options, parents, start, taken)
            if joint is not None:
                taken.add(joint)
                roles[f"{side}_{part}"] = names[joint]
    for part, options in _MIDDLE.items():
        joint = _first(known, "", options, parents, None, set())
        if joint is not None:
            roles[part] = names[joint]
    return roles


_ABOVE = {"knee": "hip", "ankle": "knee", "toe": "ankle", "elbow": "shoulder", "wrist": "elbow"}


def _first(
    known: list[tuple[str, str]],
    side: str,
    options: tuple[str, ...],
    parents: tuple[int, ...],
    above: int | None,
    taken: set[int],
) -> int | None:
    """The first joint of a side with the surest of some names, below another joint if given."""
    for option in options:
        for joint, (its_side, part) in enumerate(known):
            fits = its_side == side and part == option and joint not in taken
            if fits and (above is None or _is_below(joint, above, parents)):
                return joint
    return None


def _is_below(joint: int, above: int, parents: tuple[int, ...]) -> bool:
    while joint >= 0 and joint != above:
        joint = parents[joint]
    return joint == above


def _parsed(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """(side, part) of each name; both are empty where it is an end site."""
    plain = [_PREFIX.sub("", re.split(r"[:|]", name)[-1]) for name in names]
    bodies = [name for name in plain if not _END.search(name)]
    shared = os.path.commonprefix(bodies) if len(bodies) > 3 else ""
    # What is shared ends with a mark or number, so that LeftHip and LeftKnee keep their side.
    shared = re.sub(r"[A-Za-z]+$", "", shared)
    return [("", "") if _END.search(n) else _side_and_part(n.removeprefix(shared)) for n in plain]


def _side_and_part(name: str) -> tuple[str, str]:
    words = [w.lower() for w in _WORDS.findall(re.sub(r"^([LR])(?=[A-Z])", r"\1 ", name))]
    words = [word for word in words if not word.isdigit() and word not in _FILLERS]
    if len(words) == 1:
        glued = re.fullmatch(r"(left|right|l|r)(.+)", words[0])
        if glued and any(glued[2] in options for options in _PARTS.values()):
            words = list(glued.groups())
    side = next((_SIDES[word] for word in words if word in _SIDES), "")
    return side, "".join(word for word in words if word not in _SIDES)
