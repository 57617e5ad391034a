"""The closed form of the sites' motion, against MuJoCo's own pass."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from jaxrl_envs.physics import make_physics
from jaxrl_envs.physics.site_motion import OF_SITES, has_closed_form, site_motion

KINDS = {
    "free": (mujoco.mjtJoint.mjJNT_FREE,),
    "ball": (mujoco.mjtJoint.mjJNT_BALL,),
    "slide": (mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_SLIDE),
    "hinges": (mujoco.mjtJoint.mjJNT_HINGE,) * 3,
    "mixed": (mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_BALL),
    "none": (),
}


def tree(rng, kinds, *, sites=1):
    """A branching tree: every body turned and displaced, every joint off its centre. First joints
    have an axis along a coordinate, second ones against it, third ones a skew one."""
    spec = mujoco.MjSpec()
    bodies = [spec.worldbody]
    spec.worldbody.add_site(pos=[0.1, 0.2, 0.3])
    for depth, kind in enumerate(kinds):
        parent = bodies[0] if kind == "free" else bodies[rng.integers(len(bodies))]
        body = parent.add_body(pos=rng.normal(size=3), quat=rng.normal(size=4))
        for i, joint in enumerate(KINDS[kind]):
            straight = np.zeros(3)
            straight[(depth + i) % 3] = (1.0, -1.0, 0.0)[i]
            axis = straight if i < 2 else rng.normal(size=3)
            one = body.add_joint(type=joint, axis=axis, pos=rng.normal(size=3))
            if joint in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE):
                one.ref = rng.normal()
                one.range, one.limited = [-4.0, 4.0], mujoco.mjtLimited.mjLIMITED_TRUE
        body.add_geom(size=[0.1, 0.1, 0.1], pos=rng.normal(size=3), contype=0)
        for _ in range(sites):
            body.add_site(pos=rng.normal(size=3), quat=rng.normal(size=4))
        bodies.append(body)
    return spec.compile()


def expected(model, qpos, qvel):
    """Positions and velocities of the sites, from MuJoCo."""
    data = mujoco.MjData(model)
    data.qpos, data.qvel = qpos, qvel
    mujoco.mj_forward(model, data)
    moving = np.zeros((model.nsite, 6))
    for i in range(model.nsite):
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_SITE, i, moving[i], 0)
    return {
        "site_pos": data.site_xpos.copy(),
        "site_linvel": moving[:, 3:],
        "site_angvel": moving[:, :3],
    }


@pytest.mark.parametrize("seed", range(4))
def test_random_trees_of_all_joints(seed):
    rng = np.random.default_rng(seed)
    kinds = ["free", *rng.permutation([k for k in KINDS if k != "free"]), "hinges"]
    model = tree(rng, kinds)
    place = jax.jit(jax.vmap(site_motion(model, OF_SITES)))
    qpos, qvel = rng.normal(size=(5, model.nq)), rng.normal(size=(5, model.nv))
    found = place(jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32))
    for i in range(5):
        for name, value in expected(model, qpos[i], qvel[i]).items():
            np.testing.assert_allclose(found[name][i], value, atol=2e-5, err_msg=name)


def test_a_quaternion_of_length_zero_is_no_rotation_and_its_gradient_finite():
    rng = np.random.default_rng(0)
    model = tree(rng, ["free", "ball"])
    place = site_motion(model, ("site_pos", "site_linvel"))
    qpos, qvel = np.zeros(model.nq), rng.normal(size=model.nv)
    found = place(jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32))
    for name, value in expected(model, qpos, qvel).items():
        if name in found:
            np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
    gradient = jax.grad(lambda q: place(q, jnp.asarray(qvel, jnp.float32))["site_pos"].sum())
    assert np.isfinite(gradient(jnp.zeros(model.nq))).all()


def test_the_velocity_is_the_derivative_of_the_position():
    rng = np.random.default_rng(1)
    model = tree(rng, ["hinges", "slide", "none", "hinges"])
    place = site_motion(model, OF_SITES)
    qpos, qvel = (jnp.asarray(rng.normal(size=model.nq), jnp.float32) for _ in range(2))
    _, moving = jax.jvp(lambda q: place(q, qvel)["site_pos"], (qpos,), (qvel,))
    np.testing.assert_allclose(moving, place(qpos, qvel)["site_linvel"], atol=1e-5)


def test_what_has_no_closed_form_is_left_to_mujoco():
    def changed(name, value):
        model = tree(np.random.default_rng(2), ["free", "hinges"])
        getattr(model, name)[-1] = value
        return model

    assert has_closed_form(changed("jnt_limited", True))
    assert not has_closed_form(changed("jnt_limited", False))
    assert not has_closed_form(changed("jnt_range", [-4.0, 1e3]))
    assert not has_closed_form(changed("jnt_axis", [0.0, 2.0, 0.0]))
    assert not has_closed_form(changed("body_quat", [2.0, 0.0, 0.3, 0.0]))
    spec = mujoco.MjSpec()
    spec.worldbody.add_body(mocap=True).add_site()
    assert not has_closed_form(spec.compile())
    spec = mujoco.MjSpec()
    body = spec.worldbody
    for _ in range(13):
        body = body.add_body(pos=[0, 0, 0.1])
        body.add_joint(axis=[0, 1, 0], range=[-1, 1], limited=mujoco.mjtLimited.mjLIMITED_TRUE)
        body.add_geom(size=[0.1, 0.1, 0.1])
    body.add_site()
    assert not has_closed_form(spec.compile())  # its program would be long
    with pytest.raises(ValueError, match="no closed form for 'com'"):
        site_motion(changed("jnt_limited", True), ("site_pos", "com"))


@pytest.mark.parametrize("character", ["human", "dinosaur", "mouse"])
def test_the_characters_have_a_closed_form_and_skip_mujocos_second_pass(character, monkeypatch):
    from jaxrl_envs.physics import c_engine
    from jaxrl_envs.retarget.characters import make_character

    model = make_character(character).model
    assert has_closed_form(model)

    def second_pass(self, columns):
        assert self._moving is None, "MuJoCo passes over the new state"

    monkeypatch.setattr(c_engine._Simulations, "refresh", second_pass)
    physics = make_physics(model, engine="c", outputs=("site_pos", "sensordata"))
    state = physics.step(physics.reset(), jnp.zeros(model.nu))
    np.testing.assert_allclose(
        state.site_pos,
        expected(model, np.asarray(state.qpos), np.zeros(model.nv))["site_pos"],
        atol=1e-5,
    )


@pytest.mark.parametrize("more", [(), ("body_pos",), ("com", "actuator_force")])
def test_the_engine_gives_the_same_sites_either_way(make_walker, make_starts, more):
    model = make_walker()
    qpos, qvel, ctrl = make_starts(model, 3)
    physics = make_physics(
        model, engine="c", substeps=2, outputs=("site_pos", "site_linvel", *more)
    )
    state = jax.jit(jax.vmap(physics.step))(jax.vmap(physics.reset)(qpos, qvel), ctrl[0])
    for i in range(3):
        now = expected(model, np.asarray(state.qpos[i]), np.asarray(state.qvel[i]))
        np.testing.assert_allclose(state.site_pos[i], now["site_pos"], atol=1e-5)
        np.testing.assert_allclose(state.site_linvel[i], now["site_linvel"], atol=1e-4)
