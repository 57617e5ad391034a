"""Which joint of a foreign skeleton plays which part of the human body."""

from __future__ import annotations

from jaxrl_envs.retarget.motion.names import roles_by_parts
from jaxrl_rewards.core import InputError

FOOT_ROLES = ("ankle", "toe", "toe_end")
_SIDED = ("hip", "knee", "ankle", "toe", "toe_end", "shoulder", "elbow", "wrist")
ROLES: tuple[str, ...] = (
    "pelvis", "chest", "neck", "head",
    *(f"{side}_{part}" for side in ("left", "right") for part in _SIDED),
)  # fmt: skip
"""The joints of the common human. `head` turns the head and `neck` carries it; `toe` is the ball
of the foot and `toe_end` its tip; the wrist is where the hand is."""
REQUIRED_ROLES: tuple[str, ...] = (
    "pelvis", "chest", "neck",
    *(
        f"{side}_{part}"
        for side in ("left", "right")
        for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    ),
)  # fmt: skip
"""Without these a motion cannot be retargeted."""


def _sides(left: dict[str, str], swap: tuple[str, str]) -> dict[str, str]:
    table = {}
    for part, name in left.items():
        table[f"left_{part}"] = name
        table[f"right_{part}"] = name.replace(*swap)
    return table


CMU_ROLES: dict[str, str] = {
    "pelvis": "Hips", "chest": "Chest2", "neck": "Neck", "head": "Head",
} | _sides(
    {"hip": "LeftHip", "knee": "LeftKnee", "ankle": "LeftAnkle", "toe": "LeftToe",
     "toe_end": "LeftToe.end", "shoulder": "LeftShoulder", "elbow": "LeftElbow",
     "wrist": "LeftWrist"},
    ("Left", "Right"),
)  # fmt: skip
"""CMU motions as BVH with names of joints."""

MOTIONBUILDER_ROLES: dict[str, str] = {
    "pelvis": "Hips", "chest": "Spine1", "neck": "Neck", "head": "Head",
} | _sides(
    {"hip": "LeftUpLeg", "knee": "LeftLeg", "ankle": "LeftFoot", "toe": "LeftToeBase",
     "toe_end": "LeftToeBase.end", "shoulder": "LeftArm", "elbow": "LeftForeArm",
     "wrist": "LeftHand"},
    ("Left", "Right"),
)  # fmt: skip
"""CMU and many others as BVH with names of bones, as character animation programs write them."""

SMPL_NAMES: tuple[str, ...] = (
    "Pelvis", "L_Hip", "R_Hip", "Torso", "L_Knee", "R_Knee", "Spine", "L_Ankle", "R_Ankle",
    "Chest", "L_Toe", "R_Toe", "Neck", "L_Thorax", "R_Thorax", "Head", "L_Shoulder", "R_Shoulder",
    "L_Elbow", "R_Elbow", "L_Wrist", "R_Wrist",
)  # fmt: skip
SMPL_ROLES: dict[str, str] = {
    "pelvis": "Pelvis", "chest": "Chest", "neck": "Neck", "head": "Head",
} | _sides(
    {"hip": "L_Hip", "knee": "L_Knee", "ankle": "L_Ankle", "toe": "L_Toe",
     "shoulder": "L_Shoulder", "elbow": "L_Elbow", "wrist": "L_Wrist"},
    ("L_", "R_"),
)  # fmt: skip
"""The body joints of SMPL, SMPL-H and SMPL-X, in the order of AMASS."""

DEEPMIMIC_NAMES: tuple[str, ...] = (
    "root", "chest", "neck", "right_hip", "right_knee", "right_ankle", "right_shoulder",
    "right_elbow", "right_wrist", "left_hip", "left_knee", "left_ankle", "left_shoulder",
    "left_elbow", "left_wrist", "right_toe", "left_toe",
)  # fmt: skip
DEEPMIMIC_ROLES: dict[str, str] = {"pelvis": "root", "chest": "chest", "neck": "neck"} | _sides(
    {"hip": "left_hip", "knee": "left_knee", "ankle": "left_ankle", "shoulder": "left_shoulder",
     "elbow": "left_elbow", "wrist": "left_wrist", "toe": "left_toe"},
    ("left", "right"),
)  # fmt: skip
"""The humanoid of DeepMimic; the tips of its feet are ours, they do not turn."""

TABLES: dict[str, dict[str, str]] = {
    "cmu": CMU_ROLES,
    "motionbuilder": MOTIONBUILDER_ROLES,
    "smpl": SMPL_ROLES,
    "deepmimic": DEEPMIMIC_ROLES,
    "own": {role: role for role in ROLES},
}

_FALLBACKS = {
    "chest": ("Spine3", "spine3", "Chest4", "Chest3", "Chest2", "Spine2", "spine2", "Spine1",
              "Chest", "Spine", "chest", "spine"),
    "neck": ("Neck", "neck", "Neck1", "lowerneck"),
    "head": ("Head", "head"),
}  # fmt: skip


def guess_roles(names: tuple[str, ...], parents: tuple[int, ...]) -> dict[str, str]:
    """The roles that a skeleton's joint names show, from the table that fits best, or from their
    words (`roles_by_parts`) where these show more.

    Prefixes up to a colon ("mixamorig:") do not count, nor does case. Of several spine joints the
    chest is the one that carries both arms; the pelvis is the one that carries legs and trunk.
    Roles that no joint plays are left out; a skeleton that is no human's gives few or none.
    """
    best = _by_tables(names)
    words = roles_by_parts(names, parents)
    if _required(words) > _required(best):
        best = words
    if all(words.get(role, best[role]) == best[role] for role in _LIMBS if role in best):
        best = words | best
    for side in ("left", "right"):
        for role, above in (("wrist", "elbow"), ("toe", "ankle"), ("toe_end", "toe")):
            end = f"{best.get(f'{side}_{above}')}.end"
            if f"{side}_{role}" not in best and end in names:
                best[f"{side}_{role}"] = end
    return _trunk(best, names, parents)


_LIMBS = tuple(role for role in REQUIRED_ROLES if role not in ("pelvis", "chest", "neck"))


def _by_tables(names: tuple[str, ...]) -> dict[str, str]:
    plain = {name.rsplit(":", 1)[-1].lower(): name for name in reversed(names)}
    best: dict[str, str] = {}
    for table in TABLES.values():
        found = {role: plain[name.lower()] for role, name in table.items() if name.lower() in plain}
        if len(found) > len(best):
            best = found
    for role, others in _FALLBACKS.items():
        if best and role not in best:
            match = next((plain[o.lower()] for o in others if o.lower() in plain), None)
            best |= {role: match} if match else {}
    return best


def _required(roles: dict[str, str]) -> int:
    return sum(role in roles for role in REQUIRED_ROLES)


def _trunk(
    roles: dict[str, str], names: tuple[str, ...], parents: tuple[int, ...]
) -> dict[str, str]:
    """Chest and pelvis from what they carry, whatever they are called."""

    def shared(*parts: str) -> int | None:
        joints = [roles.get(part) for part in parts]
        if not all(joints):
            return None
        ways = [_ancestors(names.index(joint), parents) for joint in joints]
        return next((joint for joint in ways[0] if all(joint in way for way in ways)), None)

    chest = shared("left_shoulder", "right_shoulder")
    if chest:
        roles = roles | {"chest": names[chest]}
    pelvis = shared("left_hip", "right_hip", "neck")
    return roles if pelvis is None else roles | {"pelvis": names[pelvis]}


def _ancestors(joint: int, parents: tuple[int, ...]) -> list[int]:
    way = []
    while parents[joint] >= 0:
        joint = parents[joint]
        way.append(joint)
    return way


def check_roles(roles: dict[str, str], names: tuple[str, ...], where: str) -> dict[str, str]:
    """The roles given by a user; InputError for a role or joint that does not exist."""
    for role, joint in roles.items():
        if role not in ROLES:
            raise InputError(f"{where}: no human joint is called {role!r}; use {', '.join(ROLES)}")
        if joint not in names:
            raise InputError(
                f"{where}: {role!r} is mapped to the joint {joint!r}, which the file lacks; "
                f"it has {', '.join(names)}"
            )
    return dict(roles)
