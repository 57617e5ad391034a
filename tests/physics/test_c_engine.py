"""Engine `c`: the same numbers as MuJoCo's own loop, world by world."""

import os

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from jaxrl_envs.physics import OUTPUTS, make_physics, usable_cores
from jaxrl_envs.physics.c_engine import _SILENCE

from jaxrl_rewards.core import InputError

SUBSTEPS = 3
NUMBER = 5


@pytest.fixture(scope="module")
def physics(model):
    return make_physics(model, engine="c", substeps=SUBSTEPS, outputs=OUTPUTS, threads=2)


@pytest.fixture(scope="module")
def rolled(model, physics, make_starts):
    """Starts, controls and every state of 50 control steps of five worlds, under jit and vmap."""
    qpos, qvel, ctrl = make_starts(model, NUMBER)
    return qpos, qvel, ctrl, rolling(physics, qpos, qvel, ctrl)


def roll(physics, qpos, qvel, ctrl):
    start = jax.vmap(physics.reset)(qpos, qvel)

    def step(state, control):
        state = jax.vmap(physics.step)(state, control)
        return state, state

    return jax.lax.scan(step, start, ctrl)[1]


rolling = jax.jit(roll, static_argnums=0)


def numbers(packed):
    return np.ascontiguousarray(packed).view(np.float64)


def loop(model, qpos, qvel, ctrl):
    """MuJoCo as anybody would call it; yields its data after every control step."""
    data = mujoco.MjData(model)
    data.qpos, data.qvel = qpos, qvel
    for control in ctrl:
        data.ctrl = control
        for _ in range(SUBSTEPS):
            mujoco.mj_step(model, data)
        yield data


def test_bit_identical_to_a_plain_loop(model, rolled):
    qpos, qvel, ctrl, states = rolled
    for world in range(NUMBER):
        packed = numbers(states.packed[:, world])
        for t, data in enumerate(loop(model, qpos[world], qvel[world], ctrl[:, world])):
            expected = np.concatenate([[data.time], data.qpos, data.qvel, data.qacc_warmstart])
            np.testing.assert_array_equal(packed[t], expected)
    assert np.ptp(numbers(states.packed[-1])[:, 1]) > 1e-3, "the worlds did not differ"
    assert states.sensordata[:, :, 0].max() > 1, "no foot ever touched the floor"


def test_fields_are_those_of_the_new_state(model, rolled):
    qpos, qvel, ctrl, states = rolled
    data = list(loop(model, qpos[0], qvel[0], ctrl[:, 0]))[-1]
    last = jax.tree.map(lambda leaf: np.asarray(leaf[-1, 0], np.float64), states)
    forces = data.actuator_force.copy(), data.sensordata[:2].copy()
    mujoco.mj_step1(model, data)
    near = {"atol": 2e-6, "rtol": 2e-6}
    for name, kind, count in (
        ("body", mujoco.mjtObj.mjOBJ_XBODY, model.nbody),
        ("site", mujoco.mjtObj.mjOBJ_SITE, model.nsite),
    ):
        for i in range(count):
            velocity = np.zeros(6)  # angular, then linear
            mujoco.mj_objectVelocity(model, data, kind, i, velocity, 0)
            np.testing.assert_allclose(getattr(last, f"{name}_angvel")[i], velocity[:3], **near)
            np.testing.assert_allclose(getattr(last, f"{name}_linvel")[i], velocity[3:], **near)
    np.testing.assert_allclose(last.body_pos, data.xpos, **near)
    np.testing.assert_allclose(last.body_quat, data.xquat, **near)
    np.testing.assert_allclose(last.site_pos, data.site_xpos, **near)
    np.testing.assert_allclose(last.com, data.subtree_com, **near)
    np.testing.assert_allclose(last.qpos, data.qpos, **near)
    np.testing.assert_allclose(last.time, 50 * SUBSTEPS * model.opt.timestep, **near)
    # what follows from forces is that of the last substep; the velocity sensor is of the new state
    np.testing.assert_allclose(last.actuator_force, forces[0], **near)
    np.testing.assert_allclose(last.sensordata[:2], forces[1], **near)
    np.testing.assert_allclose(last.sensordata[2:], last.site_linvel[0], **near)


@pytest.mark.slow
def test_a_world_does_not_depend_on_its_batch(physics, rolled):
    qpos, qvel, ctrl, states = rolled
    order = np.array([3, 0, 4])
    other = rolling(physics, qpos[order], qvel[order], ctrl[:3, order])
    np.testing.assert_array_equal(other.packed, states.packed[:3, order])
    np.testing.assert_array_equal(other.site_linvel, states.site_linvel[:3, order])
    alone, step = physics.reset(qpos[2], qvel[2]), jax.jit(physics.step)
    for t in range(3):
        alone = step(alone, ctrl[t, 2])
        np.testing.assert_array_equal(alone.packed, states.packed[t, 2])


def test_nested_vmap_keeps_the_batch_whole(physics, rolled):
    qpos, qvel, ctrl, states = rolled

    @jax.jit
    def all_pairs(qpos, qvel, controls):
        start = jax.vmap(physics.reset)(qpos, qvel)
        return jax.vmap(jax.vmap(physics.step, (0, None)), (None, 0))(start, controls)

    many = all_pairs(qpos, qvel, ctrl[0])
    assert many.qpos.shape == (NUMBER, NUMBER, physics.model.nq)
    diagonal = np.arange(NUMBER)
    np.testing.assert_array_equal(many.packed[diagonal, diagonal], states.packed[0])


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(model, rolled, threads):
    qpos, qvel, ctrl, states = rolled
    other = make_physics(model, engine="c", substeps=SUBSTEPS, threads=threads)
    np.testing.assert_array_equal(
        rolling(other, qpos, qvel, ctrl[:4]).packed, np.asarray(states.packed[:4])
    )


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["control", "force", "state", "huge"])
def test_a_broken_world_touches_no_other(model, physics, rolled, broken):
    qpos, qvel, ctrl, states = rolled
    state = jax.tree.map(lambda leaf: leaf[9], states)
    control, force = ctrl[10].copy(), np.zeros((NUMBER, model.nbody, 6), np.float32)
    packed = np.array(state.packed)
    if broken == "control":
        control[2, 1] = np.nan
    elif broken == "force":
        force[2, 1, 0] = np.inf
    else:
        packed[2].view(np.float64)[4] = np.nan if broken == "state" else 1e9
    state = state.replace(packed=jnp.asarray(packed))
    step = jax.jit(jax.vmap(physics.step))
    after = step(state, control, force)
    assert list(np.flatnonzero(after.bad_physics)) == [2]
    others = np.array([0, 1, 3, 4])
    np.testing.assert_array_equal(after.packed[others], states.packed[10, others])
    np.testing.assert_array_equal(after.site_linvel[others], states.site_linvel[10, others])
    for leaf in jax.tree.leaves(after):
        assert np.isfinite(np.asarray(leaf)).all()
    # the broken one waits in the reference pose, flagged until reset, and steps on from there
    rest = jax.jit(physics.reset)()
    np.testing.assert_array_equal(after.packed[2], rest.packed)
    np.testing.assert_array_equal(after.qpos[2], rest.qpos)
    np.testing.assert_array_equal(after.site_pos[2], rest.site_pos)
    further = step(after, ctrl[11], np.zeros_like(force))
    assert list(np.flatnonzero(further.bad_physics)) == [2]
    np.testing.assert_array_equal(
        further.packed[2], jax.jit(physics.step)(rest, ctrl[11, 2]).packed
    )
    np.testing.assert_array_equal(further.packed[others], states.packed[11, others])


def test_a_world_that_diverges_by_itself_is_flagged(make_walker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = make_walker(servos=False)
    model.opt.timestep = 0.02
    physics = make_physics(model, engine="c", substeps=20)
    qvel = np.zeros((3, model.nv), np.float32)
    qvel[1, 3:6] = 9e5  # within the limit, and more than the integrator can follow
    start = jax.jit(jax.vmap(lambda v: physics.reset(qvel=v)))(qvel)
    assert not start.bad_physics.any()
    step = jax.jit(jax.vmap(lambda state: physics.step(state, jnp.zeros(0))))
    for _ in range(3):
        start = step(start)
    assert list(np.asarray(start.bad_physics)) == [False, True, False]
    np.testing.assert_array_equal(start.packed[0], start.packed[2])
    assert not list(tmp_path.iterdir()), "MuJoCo's log of warnings was written"


def test_reset_with_broken_numbers_gives_the_reference_pose(model, physics):
    qpos = np.tile(model.qpos0, (3, 1)).astype(np.float32)
    qpos[1, 2] = np.nan
    states = jax.jit(jax.vmap(physics.reset))(qpos)
    assert list(np.asarray(states.bad_physics)) == [False, True, False]
    for leaf in jax.tree.leaves(states):
        np.testing.assert_array_equal(np.asarray(leaf)[0], np.asarray(leaf)[2])
    np.testing.assert_array_equal(states.packed[0], states.packed[1])


def test_a_force_accelerates_its_body(make_walker):
    model = make_walker(floor=False)
    physics = make_physics(model, engine="c", substeps=4)
    state, mass = physics.reset(), model.body_subtreemass[1]
    force = np.zeros((model.nbody, 6), np.float32)
    force[1, 1] = 30.0
    momentum = []
    for given in (None, force):
        moved = physics.step(state, np.zeros(model.nu), given)
        data = mujoco.MjData(model)
        data.qpos, data.qvel = moved.qpos, moved.qvel
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        momentum.append(mass * data.subtree_linvel[1])
    pushed = momentum[1] - momentum[0]
    np.testing.assert_allclose(pushed, [0, 30.0 * physics.dt, 0], atol=2e-3)


def test_set_state_moves_and_keeps_the_flag(model, physics, rolled):
    state = jax.tree.map(lambda leaf: leaf[5, 0], rolled[3])
    pushed = physics.set_state(state, qvel=state.qvel + 1.0)
    np.testing.assert_array_equal(pushed.qpos, state.qpos)
    np.testing.assert_allclose(pushed.qvel, state.qvel + 1.0)
    np.testing.assert_allclose(pushed.body_pos, state.body_pos, atol=1e-6)
    assert physics.set_state(state.replace(bad_physics=jnp.array(True))).bad_physics


def test_two_calls_at_once_do_not_mix(physics, rolled):
    qpos, qvel, ctrl, states = rolled

    @jax.jit
    def both(first, second):
        return jax.vmap(physics.step)(first, ctrl[1]), jax.vmap(physics.step)(second, ctrl[8])

    a, b = both(*(jax.tree.map(lambda leaf, t=t: leaf[t], states) for t in (0, 7)))
    np.testing.assert_array_equal(a.packed, states.packed[1])
    np.testing.assert_array_equal(b.packed, states.packed[8])


def test_gradients_are_refused_clearly(model, physics):
    state = physics.reset()
    with pytest.raises(InputError, match="no gradients; make the world with engine='jax'"):
        jax.grad(lambda u: physics.step(state, u).qpos.sum())(jnp.zeros(model.nu))
    with pytest.raises(InputError, match="no gradients"):
        jax.jacfwd(lambda q: physics.reset(q).site_pos)(jnp.asarray(model.qpos0, jnp.float32))
    stopped = jax.grad(lambda u: (u * physics.step(state, jax.lax.stop_gradient(u)).qpos[2]).sum())(
        jnp.ones(model.nu)
    )
    assert np.isfinite(stopped).all()


def test_checks_of_shape_name_the_argument(model, physics):
    state = physics.reset()
    with pytest.raises(InputError, match=r"ctrl has shape \(3,\); this model needs \(2,\)"):
        physics.step(state, jnp.zeros(3))
    with pytest.raises(InputError, match=r"qpos has shape \(2, 9\)"):
        physics.reset(jnp.zeros((2, model.nq)))
    with pytest.raises(InputError, match=r"body_force has shape \(6,\)"):
        physics.step(state, jnp.zeros(2), jnp.zeros(6))


def test_the_servo_is_a_clipped_pd_law_at_every_substep(make_walker):
    model = make_walker(floor=False)
    physics = make_physics(model, engine="c", substeps=1, outputs=("actuator_force",))
    state, step = jax.jit(physics.reset)(), jax.jit(physics.step)
    for target in ([0.3, -0.2], [3.0, -3.0], [0.1, 0.4]):
        angle, speed = np.asarray(state.qpos[7:]), np.asarray(state.qvel[6:])
        state = step(state, jnp.asarray(target))
        expected = np.clip(40.0 * (np.array(target) - angle) - 2.0 * speed, -20.0, 20.0)
        np.testing.assert_allclose(state.actuator_force, expected, rtol=1e-5)


def test_the_warning_handler_is_free_again_after_the_last_of_two_threads():
    assert mujoco.get_mju_user_warning() is None
    with _SILENCE:
        with _SILENCE:  # another thread's step
            assert mujoco.get_mju_user_warning() is not None
        assert mujoco.get_mju_user_warning() is not None, "the first thread still steps"
    assert mujoco.get_mju_user_warning() is None

    def users(message):
        del message

    mujoco.set_mju_user_warning(users)
    try:
        with _SILENCE:
            assert mujoco.get_mju_user_warning() is users
        assert mujoco.get_mju_user_warning() is users
    finally:
        mujoco.set_mju_user_warning(None)


def test_forces_of_one_call_do_not_reach_the_next(model, physics, rolled):
    states, control = jax.tree.map(lambda leaf: leaf[3], rolled[3]), rolled[2][4]
    step = jax.jit(jax.vmap(physics.step))
    force = np.zeros((NUMBER, model.nbody, 6), np.float32)
    force[:, 1, 0] = 50.0
    pushed = step(states, control, force)
    assert not np.array_equal(pushed.packed, rolled[3].packed[4])
    np.testing.assert_array_equal(step(states, control).packed, rolled[3].packed[4])


def test_cores_are_counted_where_the_system_has_no_affinity(monkeypatch):
    assert usable_cores() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_sensors_of_limits_contacts_and_springs_are_those_of_the_state():
    """They need the forces that the pass over a new state leaves out elsewhere."""
    model = mujoco.MjModel.from_xml_string("""
        <mujoco>
          <worldbody>
            <geom name="floor" type="plane" size="1 1 1"/>
            <body pos="0 0 0.05">
              <geom name="ball" size="0.1"/>
              <joint name="lift" type="slide" axis="0 0 1" range="0.01 0.2" limited="true"
                     stiffness="50" springref="0.3"/>
            </body>
          </worldbody>
          <sensor>
            <jointlimitpos joint="lift"/>
            <e_potential/>
            <contact geom1="floor" geom2="ball" data="found"/>
          </sensor>
        </mujoco>""")
    physics = make_physics(model, engine="c", outputs=("sensordata",))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert (data.sensordata * [-1, 1, 1] > 0).all()
    np.testing.assert_allclose(physics.reset().sensordata, data.sensordata, rtol=1e-6)
    state = physics.step(physics.reset(), jnp.zeros(0))
    mujoco.mj_step(model, data)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(state.sensordata, data.sensordata, rtol=1e-6)
