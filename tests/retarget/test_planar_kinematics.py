"""Planar characters and motion: kinematics against MuJoCo, exact steps of the retargeting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxrl_envs.retarget import planar_body, planar_clips, planar_motion
from jaxrl_envs.retarget import planar_checks as kinematic
from jaxrl_envs.retarget.planar_body import BODIES, FEET
from jaxrl_envs.retarget.planar_checks import kinematic_checks, kinematic_row

MUJOCO_NAMES = {"left_foot": 3, "right_foot": 4}


@pytest.mark.parametrize("name", BODIES)
def test_model_and_kinematics_are_one_body(name):
    """Feet and hands where MuJoCo puts them; masses, gains and order of joints as declared."""
    mujoco = pytest.importorskip("mujoco")
    body = BODIES[name]
    model = planar_body.build_spec(body).compile()
    data = mujoco.MjData(model)
    assert model.nq == planar_body.COORDINATES and model.nu == len(planar_body.JOINTS)
    assert tuple(model.joint(i).name for i in range(3, model.njnt)) == planar_body.JOINTS
    np.testing.assert_allclose(model.body_mass.sum(), body.mass, rtol=1e-9)
    np.testing.assert_allclose(model.actuator_forcerange[:, 1], body.gains()[:, 2], rtol=1e-9)
    np.testing.assert_allclose(model.jnt_range[3:, 0], planar_body.LOWER, rtol=1e-9)
    random = np.random.default_rng(0)
    for _ in range(5):
        q = body.rest_coordinates() + random.normal(0.0, 0.4, model.nq).astype(np.float32)
        data.qpos[:] = q
        mujoco.mj_forward(model, data)
        points = planar_body.keypoints(body, jnp.asarray(q))
        for foot, row in MUJOCO_NAMES.items():
            np.testing.assert_allclose(data.geom(foot).xpos[[0, 2]], points[row], atol=2e-6)
        for side, row in (("left", 1), ("right", 2)):
            link = data.body(f"{side}_elbow_link")
            hand = link.xpos + link.xmat.reshape(3, 3) @ np.array([0.0, 0.0, -body.forearm])
            np.testing.assert_allclose(hand[[0, 2]], points[row], atol=2e-6)


def test_human_stands_on_its_feet_only():
    """At rest under its servos the weight is borne by the two foot contacts."""
    mujoco = pytest.importorskip("mujoco")
    body = BODIES["human"]
    model = planar_body.build_spec(body).compile()
    data = mujoco.MjData(model)
    data.qpos[:] = body.rest_coordinates()
    forces = []
    for _ in range(40):
        data.ctrl[:] = planar_body.REST_JOINTS
        mujoco.mj_step(model, data)
        force = np.zeros(6)
        total = 0.0
        for index in range(data.ncon):
            mujoco.mj_contactForce(model, data, index, force)
            total += force[0]
        forces.append(total)
    assert data.ncon == 2
    assert abs(np.mean(forces[20:]) - body.mass * 9.81) < 0.15 * body.mass * 9.81


@given(
    x=st.floats(-0.5, 0.5), z=st.floats(-0.78, -0.3), name=st.sampled_from(["human", "dinosaur"])
)
def test_leg_angles_reach_their_target(x, z, name):
    body = BODIES[name]
    target = np.array([x, z]) * body.leg / 0.8
    if np.linalg.norm(target) > 0.999 * body.leg:
        target *= 0.999 * body.leg / np.linalg.norm(target)
    hip, knee = planar_body.leg_angles(body, jnp.asarray(target, jnp.float32))
    q = jnp.zeros(planar_body.COORDINATES).at[7].set(hip).at[8].set(knee)
    foot = planar_body.keypoints(body, q)[3]
    np.testing.assert_allclose(foot, target, atol=2e-4 * body.leg)
    assert float(knee) >= 0.0


@pytest.mark.slow
def test_out_of_reach_is_a_stretched_finite_leg():
    body = BODIES["human"]
    for target in ([0.0, -5.0], [3.0, 0.0], [0.0, 0.0]):
        angles = planar_body.leg_angles(body, jnp.asarray(target))
        assert np.all(np.isfinite(angles))
        gradient = jax.jacobian(lambda t: jnp.stack(planar_body.leg_angles(body, t)))(
            jnp.asarray(target) + 1e-3
        )
        assert np.all(np.isfinite(gradient))


@pytest.fixture(scope="module")
def human_clips():
    make = jax.jit(lambda key: planar_clips.make_clips(key, BODIES["human"], clips=24, seconds=4.0))
    return make(jax.random.key(3))


def test_clips_are_as_the_gait_says(human_clips):
    clips, styles = human_clips
    frame = planar_clips.unpack(clips.table)
    assert np.all(np.isfinite(clips.table)) and clips.frames == 4 * 30 + 1 + planar_motion.HISTORY
    heights = planar_body.foot_heights(BODIES["human"], frame.points)
    speed = np.asarray(styles.speed)
    assert speed.min() >= 0.0 and speed.max() <= 1.2
    # feet that are on the ground rest there, and each does for the stance share of the time
    still = np.linalg.norm(frame.velocities[:, :, FEET], axis=-1)
    on_ground = np.asarray(heights) < 1e-5
    assert np.quantile(still[on_ground], 0.99) < 1e-3 and still[on_ground].max() < 0.1
    assert abs(on_ground.mean() - planar_motion.STANCE) < 0.05
    np.testing.assert_allclose(heights.min(axis=-1), 0.0, atol=1e-5)
    assert np.asarray(heights).max() <= 0.06 + 0.08 * 1.2 + 1e-4
    assert 0.55 < np.asarray(frame.contact).mean() < 0.8
    np.testing.assert_allclose(
        frame.q[:, -1, 0] - frame.q[:, 0, 0], speed * (clips.frames - 1) / 30.0, rtol=1e-4
    )
    hip = frame.q[..., 1] - BODIES["human"].foot_radius
    crouched = planar_motion.HIP_HEIGHT - np.asarray(hip).min()
    assert 0.0 < crouched <= 0.12 + 1e-5


def test_velocities_are_derivatives(human_clips):
    """Central differences at 2 ms in float64-sized steps of time, away from gait seams."""
    _, styles = human_clips
    body, step = BODIES["dinosaur"], 2e-3
    style = jax.tree.map(lambda leaf: leaf[0], styles)
    rows = jax.jit(jax.vmap(lambda now: planar_clips.reference_frame(body, style, now)))
    times = jnp.linspace(0.1, 3.5, 25)
    before, here, after = (
        jax.device_get(planar_clips.unpack(rows(times + sign * step))) for sign in (-1, 0, 1)
    )
    close = 0
    for value, rate in (("q", "qd"), ("points", "velocities")):
        slope = (getattr(after, value) - getattr(before, value)) / (2 * step)
        gap = np.abs(slope - getattr(here, rate)) < 2e-2 + 2e-2 * np.abs(getattr(here, rate))
        close += gap.reshape(25, -1).all(axis=1).sum()
    assert close >= 48  # of 50: a seam between stance and swing may fall into a difference


@pytest.mark.slow
def test_exact_properties_of_the_kinematic_step(human_clips):
    _, styles = human_clips
    worst = kinematic_checks(styles, 4.0)
    assert set(worst) == {
        "rest pose to rest pose",
        "feet relative to root",
        "lowest foot on the ground",
        "reference on itself",
    }
    assert all(gap <= 1e-5 for gap in worst.values()), worst


@pytest.fixture
def one_body(monkeypatch):
    """The checks over one body: a fault that it shows is not hidden by the largest of the others,
    and each further body costs three compiles."""
    monkeypatch.setattr(kinematic, "BODIES", {"human": BODIES["human"]})


@pytest.mark.usefixtures("one_body")
def test_a_broken_step_is_noticed(monkeypatch, human_clips):
    """The checks fail when the character's legs are bent by another angle than the human's."""
    _, styles = human_clips
    original = planar_clips.retarget_coordinates
    monkeypatch.setattr(
        kinematic, "retarget_coordinates", lambda body, q: original(body, q).at[8].add(0.01)
    )
    worst = kinematic_checks(jax.tree.map(lambda leaf: leaf[:2], styles), 0.5)
    assert worst["feet relative to root"] > 1e-4 and worst["rest pose to rest pose"] > 1e-4


@pytest.mark.usefixtures("one_body")
def test_a_world_that_misplaces_its_character_is_noticed(monkeypatch, human_clips):
    _, styles = human_clips
    from jaxrl_envs.retarget import planar_env

    original = planar_env.keypoints
    monkeypatch.setattr(planar_env, "keypoints", lambda body, q: original(body, q) + 0.005)
    worst = kinematic_checks(jax.tree.map(lambda leaf: leaf[:2], styles), 0.5)
    assert worst["reference on itself"] > 1e-4 and worst["feet relative to root"] < 1e-5


@pytest.mark.slow
def test_kinematic_row_follows_itself(human_clips):
    clips, _ = human_clips
    row = kinematic_row(BODIES["human"], clips)
    assert row["keypoint_error"] == [0.0] and row["leg_error"] == [0.0]
    assert row["contact_match"][0] > 0.9 and 0.0 < row["foot_skate"][0] < 0.2
