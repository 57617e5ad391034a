"""The world around a character: ground, contacts, sensors and physics options are the project's."""

from __future__ import annotations

from typing import Any

from jaxrl_envs.retarget.characters.checks import foot_home
from jaxrl_envs.retarget.characters.mapping import Mapping
from jaxrl_envs.retarget.characters.record import KEYPOINTS


def furnish(spec: Any, mapping: Mapping) -> None:
    """Put the character of a `mujoco.MjSpec` alone into a known world, with its sites and sensors.

    For specs that pass `check_supported`. New elements do not take the spec's defaults.
    """
    import mujoco

    untouched = mujoco.MjSpec()
    _clear(spec, mapping)
    _reset_options(spec, untouched)
    for name in KEYPOINTS:
        point = mapping.keypoints[name]
        spec.body(point.body).add_site(
            untouched.default, name=f"keypoint_{name}", pos=list(point.offset)
        )
    ground = _add_ground(spec, untouched, "retarget_ground")
    grounds = {}
    for foot, geoms in mapping.feet.items():
        own = _add_foot(spec, untouched, foot, geoms)
        grounds.update(dict.fromkeys(geoms, own or ground))
    for name, below in sorted(grounds.items()):
        spec.add_pair(
            untouched.default, geomname1=below, geomname2=name, condim=3,
            friction=[1, 1, 0.005, 0, 0],
        )  # fmt: skip


def _clear(spec: Any, mapping: Mapping) -> None:
    """Take away everything but the character's body."""
    root = spec.body(mapping.root)
    bodies = [root, *root.find_all("body")]
    names = {body.name for body in bodies}
    reserved = {f"keypoint_{name}" for name in KEYPOINTS}
    reserved |= {f"touch_{foot}" for foot in mapping.feet}
    for elements in (
        spec.actuators,
        spec.sensors,
        spec.pairs,
        spec.excludes,
        spec.keys,
        spec.tuples,
        spec.numerics,  # engines read settings from them
        [e for e in (*spec.cameras, *spec.lights) if e.targetbody not in ("", *names)],
        [body for body in spec.worldbody.bodies if body != root],
        [site for site in spec.sites if site.name in reserved],
    ):
        for element in list(elements):
            spec.delete(element)
    for body in bodies:
        body.gravcomp = 0.0
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0


def _reset_options(spec: Any, untouched: Any) -> None:
    """MuJoCo's default options, then ours: flags, gravity and fluid of an MJCF do not survive."""
    import mujoco

    option = spec.option
    for name in dir(untouched.option):
        if not name.startswith("_"):
            setattr(option, name, getattr(untouched.option, name))
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.solver = mujoco.mjtSolver.mjSOL_PGS
    option.iterations = 10
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.gravity = [0.0, 0.0, -9.81]


def _add_ground(spec: Any, untouched: Any, name: str) -> str:
    """A plane at height 0 that nothing touches yet; its name, which is free in the spec."""
    import mujoco

    taken = {geom.name for geom in spec.geoms}
    while name in taken:
        name += "_"
    spec.worldbody.add_geom(
        untouched.default, name=name, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05],
        contype=0, conaffinity=0, rgba=[0.8, 0.8, 0.8, 1.0],
    )  # fmt: skip
    return name


def _add_foot(spec: Any, untouched: Any, foot: str, geoms: tuple[str, ...]) -> str | None:
    """Site and sensor `touch_FOOT`; all else is known from positions and velocities.

    A foot on one body has a touch sensor, N, which sees the contacts of that body. One on several
    bodies has the number of contacts with a ground of its own, whose name is returned.
    """
    import mujoco

    home = foot_home(spec, geoms)
    name = f"touch_{foot}"
    # The touch sensor counts contacts of the body inside the site: make the site hold all of it.
    home.add_site(
        untouched.default, name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[2.0, 0, 0],
        pos=list(spec.geom(geoms[0]).pos),
    )  # fmt: skip
    if all(spec.geom(geom).parent == home for geom in geoms):
        spec.add_sensor(
            name=name, type=mujoco.mjtSensor.mjSENS_TOUCH,
            objtype=mujoco.mjtObj.mjOBJ_SITE, objname=name,
        )  # fmt: skip
        return None
    ground = _add_ground(spec, untouched, f"retarget_ground_{foot}")
    found = 1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND)
    strongest = 2  # reduced by force, the sensor is of the step's forces, as touch sensors are
    spec.add_sensor(
        name=name, type=mujoco.mjtSensor.mjSENS_CONTACT, objtype=mujoco.mjtObj.mjOBJ_GEOM,
        objname=ground, intprm=[found, strongest, 1],
    )  # fmt: skip
    return ground
