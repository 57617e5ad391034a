"""Small models of the physics tests, built by code."""

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco", reason="needs the extra 'physics'")


def walker(*, floor: bool = True, servos: bool = True, limit: float = 20.0):
    """A box on two legs with sphere feet: 8 degrees of freedom, only the feet touch the floor."""
    from jaxrl_envs.physics import add_position_servo

    spec = mujoco.MjSpec()
    spec.option.timestep = 0.005
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    world = spec.worldbody
    if floor:
        world.add_geom(
            name="floor",
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[5, 5, 1],
            contype=0,
            conaffinity=0,
        )
    torso = world.add_body(name="torso", pos=[0, 0, 0.6])
    torso.add_freejoint(name="root")
    torso.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.15, 0.1, 0.08], mass=4, contype=0)
    torso.add_site(name="head", pos=[0.05, 0, 0.12])
    for side, sign in (("left", 1), ("right", -1)):
        leg = torso.add_body(name=side, pos=[0, 0.1 * sign, -0.08])
        leg.add_joint(name=side, axis=[0, 1, 0], range=[-1.2, 1.2], armature=0.02)
        leg.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[0, 0, 0, 0, 0, -0.35],
            size=[0.03, 0, 0],
            mass=1,
            contype=0,
            conaffinity=0,
        )
        foot = leg.add_geom(
            name=f"{side}_foot",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            pos=[0, 0, -0.4],
            size=[0.05, 0, 0],
            mass=0.5,
            contype=0,
            conaffinity=0,
        )
        leg.add_site(name=f"{side}_sole", pos=foot.pos, size=[0.07, 0.07, 0.07])
        if floor:
            spec.add_pair(geomname1="floor", geomname2=foot.name, friction=[0.8, 0.8, 0, 0, 0])
        spec.add_sensor(
            name=f"{side}_touch",
            type=mujoco.mjtSensor.mjSENS_TOUCH,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname=f"{side}_sole",
        )
        if servos:
            add_position_servo(spec, side, kp=40.0, kd=2.0, limit=limit)
    spec.add_sensor(
        name="head_velocity",
        type=mujoco.mjtSensor.mjSENS_FRAMELINVEL,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname="head",
    )
    return spec.compile()


def starts(model, number: int, seed: int = 0, height: float = 0.0):
    """Positions and velocities near the reference pose, and controls, float32."""
    rng = np.random.default_rng(seed)
    qpos = np.tile(model.qpos0, (number, 1))
    qpos[:, 2] += height
    qpos[:, 7:] += rng.uniform(-0.3, 0.3, (number, model.nq - 7))
    qvel = rng.uniform(-0.3, 0.3, (number, model.nv))
    ctrl = rng.uniform(-0.5, 0.5, (50, number, model.nu))
    return (array.astype(np.float32) for array in (qpos, qvel, ctrl))


@pytest.fixture(scope="session")
def model():
    return walker()


@pytest.fixture(scope="session")
def make_walker():
    return walker


@pytest.fixture(scope="session")
def make_starts():
    return starts
