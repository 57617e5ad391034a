"""What a user's MJCF may hold, and whether a mapping fits it."""

from __future__ import annotations

from typing import Any

from jaxrl_envs.retarget.characters.mapping import Mapping
from jaxrl_rewards.core import InputError


def check_supported(spec: Any, mapping: Mapping, where: str) -> None:
    """InputError where `assemble` cannot make a character of this `mujoco.MjSpec` and mapping.

    `where` names the spec's origin in messages.
    """
    import mujoco

    for name, found in (
        ("plugins", spec.plugins),
        ("flexes", spec.flexes),
        ("tendons", spec.tendons),
        ("equality constraints", spec.equalities),
    ):
        if found:
            raise InputError(f"{where}: {name} are not supported; remove them from the MJCF")
    kinds = mujoco.mjtJoint
    free = [joint for joint in spec.joints if joint.type == kinds.mjJNT_FREE]
    if len(free) != 1:
        raise InputError(f"{where}: a character needs exactly one free joint, found {len(free)}")
    root = free[0].parent
    if root.name != mapping.root:
        raise InputError(
            f"{where}: the free joint belongs to the body {root.name!r}, but the mapping "
            f"calls {mapping.root!r} the root"
        )
    for joint in root.find_all("joint"):
        if joint.type in (kinds.mjJNT_BALL, kinds.mjJNT_SLIDE):
            raise InputError(
                f"{where}: joint {joint.name!r} is a ball or slide joint; replace it by hinges"
            )
        if joint.type == kinds.mjJNT_HINGE and joint.ref != 0:
            raise InputError(
                f"{where}: joint {joint.name!r} has a ref of {joint.ref:g}; remove it, and shift "
                "the angle by 'offset' in the mapping"
            )
    if free[0].name in mapping.joints:
        raise InputError(
            f"{where}: the mapping names {free[0].name!r} among the joints, which is the free "
            "joint; leave it out, it follows the user by itself"
        )
    _check_names(spec, root, mapping, where)
    if not all(joint.name for joint in root.find_all("joint") if joint != free[0]):
        raise InputError(f"{where}: a hinge has no name; name all hinges")
    _check_feet(spec, mapping, where)


def _check_names(spec: Any, root: Any, mapping: Mapping, where: str) -> None:
    """All that the mapping names exists, and is a part of the character."""
    known = {
        "joint": (spec.joints, root.find_all("joint")),
        "body": (spec.bodies, [root, *root.find_all("body")]),
        "geom": (spec.geoms, root.find_all("geom")),
    }
    names = {kind: [{e.name for e in found} for found in both] for kind, both in known.items()}
    wanted = [("joint", name) for name in mapping.joints]
    wanted += [("body", point.body) for point in mapping.keypoints.values()]
    wanted += [("geom", geom) for geoms in mapping.feet.values() for geom in geoms]
    for kind, name in wanted:
        everywhere, own = names[kind]
        if name not in everywhere:
            raise InputError(
                f"{where}: the mapping names the {kind} {name!r}, which does not exist"
            )
        if name not in own:
            raise InputError(
                f"{where}: the mapping names the {kind} {name!r}, which is no part of the "
                f"character; name a {kind} in the tree of the body {mapping.root!r}"
            )


def _check_feet(spec: Any, mapping: Mapping, where: str) -> None:
    homes = {foot: foot_home(spec, geoms) for foot, geoms in mapping.feet.items()}
    for foot, geoms in mapping.feet.items():
        for geom in geoms:
            body = spec.geom(geom).parent
            nearest = next(
                other for above in lineage(body) for other, home in homes.items() if home == above
            )
            if nearest != foot:
                raise InputError(
                    f"{where}: the geom {geom!r} of the foot {foot!r} is on a body that belongs to "
                    f"the foot {nearest!r}; give each foot the geoms of its own part of a limb"
                )


def foot_home(spec: Any, geoms: tuple[str, ...]) -> Any:
    """The body of a foot's geoms; of several bodies, the nearest one above (or of) them all."""
    lines = [lineage(spec.geom(geom).parent) for geom in geoms]
    return next(body for body in lines[0] if all(body in line for line in lines))


def lineage(body: Any) -> list[Any]:
    """A body of a spec, its parent, and so on up to the world."""
    line = [body]
    while line[-1].parent is not None:
        line.append(line[-1].parent)
    return line
