"""MJX against MuJoCo in C: same states and controls, one control step and fifty.

MJX computes in float32 and solves the contacts by the same method up to the order of its sums, so
differences grow with time where feet touch the ground. Bounds are some ten times what was measured.
Servos are given limits that they do not reach: under `implicitfast` a servo at its limit differs,
because MJX goes on to treat its damping implicitly and MuJoCo does not.
"""

import copy

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from jaxrl_envs.physics import OUTPUTS, add_position_servo, make_physics

NUMBER = 4


def pendulum(limit: float = 200.0):
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.005
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    body = spec.worldbody.add_body(name="rod", pos=[0, 0, 1])
    body.add_joint(name="hinge", axis=[0, 1, 0], armature=0.02)
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[0, 0, 0, 0, 0, -0.4], size=[0.03, 0, 0], mass=1
    )
    body.add_site(name="tip", pos=[0, 0, -0.4])
    add_position_servo(spec, "hinge", kp=40.0, kd=2.0, limit=limit)
    spec.add_sensor(
        name="torque",
        type=mujoco.mjtSensor.mjSENS_ACTUATORFRC,
        objtype=mujoco.mjtObj.mjOBJ_ACTUATOR,
        objname="hinge",
    )
    return spec.compile()


@jax.jit
def together(states):
    return states


def roll(physics):
    @jax.jit
    def run(qpos, qvel, ctrl):
        start = jax.vmap(physics.reset)(qpos, qvel)

        def step(state, control):
            state = jax.vmap(physics.step)(state, control)
            return state, state

        return start, jax.lax.scan(step, start, ctrl)[1]

    return run


@pytest.mark.slow
def test_a_pendulum_moves_alike():
    """The jax engine without contacts, with one world that is given a broken control."""
    model = pendulum()
    rng = np.random.default_rng(0)
    qpos, qvel = rng.uniform(-1, 1, (2, NUMBER, 1)).astype(np.float32)
    ctrl = rng.uniform(-1, 1, (50, NUMBER, 1)).astype(np.float32)
    ctrl[20, 1] = np.nan
    outputs = ("site_pos", "site_linvel", "actuator_force", "sensordata")
    made = {
        engine: make_physics(model, engine=engine, substeps=2, outputs=outputs)
        for engine in ("c", "jax")
    }
    states = {engine: roll(physics)(qpos, qvel, ctrl)[1] for engine, physics in made.items()}
    for name in ("qpos", "qvel", "time", *outputs):
        ours, theirs = (np.asarray(getattr(states[engine], name)) for engine in ("jax", "c"))
        np.testing.assert_allclose(ours, theirs, atol=5e-5, rtol=5e-5, err_msg=name)
    for found in states.values():
        assert not found.bad_physics[:20].any()
        assert np.asarray(found.bad_physics)[20:].all(axis=0).tolist() == [
            False,
            True,
            False,
            False,
        ]


@pytest.mark.slow
def test_the_gradient_is_that_of_the_motion():
    """Through two substeps, against differences and against engine c's own differences."""
    model = pendulum()
    control, width = jnp.array([0.4], jnp.float32), 0.05

    def end(engine):
        physics = make_physics(model, engine=engine, substeps=2, outputs=())
        # jitted: step by step, a hundred small programs are compiled
        state = jax.jit(physics.reset)(jnp.array([0.3]), jnp.array([-0.2]))
        return jax.jit(lambda control: physics.step(state, control).qvel[0])

    gradient = jax.jit(jax.grad(end("jax")))(control)
    theirs = end("c")
    difference = (theirs(control + width) - theirs(control - width)) / (2 * width)
    np.testing.assert_allclose(gradient, difference, rtol=1e-3)
    assert abs(float(difference)) > 1


@pytest.mark.slow
def test_a_walker_moves_alike_on_the_ground_and_in_the_air(make_walker, make_starts):
    model = make_walker(limit=200.0)
    qpos, qvel, ctrl = make_starts(model, 8)
    qpos[4:, 2] += 2.0  # four of them never reach the ground
    made = {
        engine: make_physics(model, engine=engine, substeps=2, outputs=OUTPUTS, tuned=False)
        for engine in ("c", "jax")
    }
    found = {engine: roll(physics)(qpos, qvel, ctrl) for engine, physics in made.items()}
    touched = np.asarray(found["c"][1].sensordata)[:, :, :2].max(axis=(0, 2)) > 1
    assert touched.tolist() == [True] * 4 + [False] * 4
    for name in ("qpos", "qvel", "time", *OUTPUTS):
        start, states = ([getattr(pair[i], name) for pair in found.values()] for i in (0, 1))
        theirs, ours = (np.asarray(value) for value in states)
        scale = max(1.0, float(np.abs(theirs).max()))
        for steps, share in ((1, 2e-5), (50, 2e-4)):
            np.testing.assert_allclose(
                ours[:steps], theirs[:steps], atol=share * scale, rtol=0, err_msg=name
            )
        np.testing.assert_allclose(start[1], start[0], atol=2e-6 * scale, rtol=0, err_msg=name)


@pytest.mark.slow
def test_one_solver_iteration_is_the_model_s_option_and_not_the_engine_s(make_walker, make_starts):
    """MJX tuned is MuJoCo with one Newton iteration; a broken world stays alone.

    Such a solver is coarse: on the ground it parts from the converged one by centimetres within a
    tenth of a second, under either engine alike.
    """
    model = make_walker(limit=200.0)
    qpos, qvel, ctrl = make_starts(model, 8)
    ctrl[30, 5] = np.inf
    coarse = copy.copy(model)
    coarse.opt.iterations = 1
    made = {
        "jax": make_physics(model, engine="jax", substeps=2),
        "c": make_physics(coarse, engine="c", substeps=2),
        "converged": make_physics(model, engine="c", substeps=2),
    }
    states = {name: roll(physics)(qpos, qvel, ctrl)[1] for name, physics in made.items()}
    for found in states.values():
        flagged = np.asarray(found.bad_physics)
        assert flagged[30:].all(axis=0).tolist() == [world == 5 for world in range(8)]
        assert not flagged[:30].any()
        for leaf in jax.tree.leaves(found):
            assert np.isfinite(np.asarray(leaf)).all()
    ours, same, converged = (np.asarray(states[name].body_pos) for name in made)
    np.testing.assert_allclose(ours, same, atol=1e-3, rtol=0)
    assert np.abs(converged[11] - same[11]).max() > 5e-3
