"""Versions, choice of the engine, and models that not every engine can run."""

import jax
import mujoco
import numpy as np
import pytest
from jaxrl_envs.physics import (
    ENGINE_VARIABLE,
    THREADS_VARIABLE,
    add_position_servo,
    choose_engine,
    make_physics,
    refuse_unsupported,
    unsupported_features,
)
from jaxrl_envs.physics.versions import check_versions

from jaxrl_rewards.core import InputError

BODY = '<body name="b"><freejoint/><geom size=".1"/><site name="s"/></body>'
HINGE = '<body><joint name="j"/><geom size=".1" pos=".2 0 0"/></body>'


def compiled(inside: str, options: str = "", world: str = BODY + HINGE):
    return mujoco.MjModel.from_xml_string(
        f"<mujoco>{options}<worldbody>{world}</worldbody>{inside}</mujoco>"
    )


@pytest.mark.parametrize(
    ("mujoco_version", "mjx_version", "says"),
    [
        ("4.0.0", "3.17.0", "mujoco 4.0.0 is installed"),
        ("3.16.2", "3.16.2", "mujoco 3.16.2 is installed"),
        ("3.18.0", "3.17.0", "mujoco 3.18.0 and mujoco-mjx 3.17.0"),
    ],
)
def test_a_mixed_or_foreign_pair_is_refused(mujoco_version, mjx_version, says):
    with pytest.raises(InputError, match=says) as error:
        check_versions(mujoco_version, mjx_version)
    assert "jaxrl-rewards[physics]" in str(error.value)


@pytest.mark.parametrize("pair", [("3.17.0", "3.17.1"), ("3.99.0", None), (None, None)])
def test_a_matching_or_missing_pair_passes(pair):
    check_versions(*pair)


def test_the_engine_follows_device_variable_and_argument(monkeypatch):
    monkeypatch.delenv(ENGINE_VARIABLE, raising=False)
    assert choose_engine() == "c"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose_engine() == "jax"
    monkeypatch.setenv(ENGINE_VARIABLE, "Warp")
    assert choose_engine() == "warp"
    assert choose_engine("c") == "c"
    monkeypatch.setenv(ENGINE_VARIABLE, "bullet")
    with pytest.raises(InputError, match=f"variable {ENGINE_VARIABLE} is 'bullet'; give one of"):
        choose_engine()
    with pytest.raises(InputError, match="engine is 'mjx'"):
        choose_engine("mjx")


def test_warp_says_what_is_missing(model):
    with pytest.raises(InputError, match="engine 'warp' needs"):
        make_physics(model, engine="warp")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"substeps": 0}, "substeps is 0"),
        ({"iterations": 0}, "iterations is 0"),
        ({"outputs": ("body_pos", "body_mass")}, "output 'body_mass' is unknown"),
        ({"threads": 0}, "threads must be"),
        ({"limit": float("nan")}, "limit is nan"),
    ],
)
def test_bad_arguments_are_named(model, arguments, says):
    with pytest.raises(InputError, match=says):
        make_physics(model, engine="c", **arguments)


def test_threads_come_from_the_environment(model, monkeypatch):
    monkeypatch.setenv(THREADS_VARIABLE, "two")
    with pytest.raises(InputError, match=THREADS_VARIABLE):
        make_physics(model, engine="c")


def test_a_path_is_not_a_model():
    with pytest.raises(InputError, match="got a str; give a compiled mujoco.MjModel"):
        make_physics("humanoid.xml")


def test_a_later_change_of_the_model_does_not_reach_the_physics(make_walker):
    model = make_walker()
    physics = make_physics(model, engine="c")
    before = physics.step(physics.reset(), np.zeros(2))
    model.opt.gravity[:] = 0
    model.body_mass[:] *= 5
    np.testing.assert_array_equal(physics.step(physics.reset(), np.zeros(2)).packed, before.packed)


def test_our_walker_has_nothing_unsupported(model):
    assert unsupported_features(model) == ()
    refuse_unsupported(model)


TENDON = '<tendon><fixed><joint joint="j" coef="1"/></fixed></tendon>'
FEATURES = {
    "a tendon": {"inside": TENDON},
    "the integrator rk4 (use implicitfast)": {"options": '<option integrator="RK4"/>'},
    "the integrator implicit (use implicitfast)": {"options": '<option integrator="implicit"/>'},
    "a mocap body": {"world": BODY + '<body mocap="true"><geom size=".1"/></body>'},
    "an actuator with transmission body": {
        "inside": '<actuator><adhesion body="b" gain="1" ctrlrange="0 1"/></actuator>'
    },
    "a sensor of kind geomdist": {
        "inside": '<sensor><distance body1="b" body2="b2"/></sensor>',
        "world": BODY + '<body name="b2"><geom size=".1"/></body>',
    },
}


@pytest.mark.parametrize("phrase", FEATURES)
def test_each_unsupported_feature_is_named(phrase):
    arguments = {"inside": "", **FEATURES[phrase]}
    assert unsupported_features(compiled(**arguments)) == (phrase,)


def test_several_features_make_one_sentence():
    model = compiled(TENDON, '<option integrator="RK4"/>')
    with pytest.raises(InputError) as error:
        refuse_unsupported(model, "character 'ape.xml'")
    assert str(error.value) == (
        "character 'ape.xml' has a tendon and the integrator rk4 (use implicitfast), which not "
        "every physics engine supports; remove or replace them in the MJCF"
    )


@pytest.mark.parametrize("gains", [{"kp": 0.0}, {"kd": -1.0}, {"limit": float("nan")}])
def test_a_servo_without_strength_is_refused(gains):
    with pytest.raises(InputError, match="of the servo at joint 'j'"):
        add_position_servo(mujoco.MjSpec(), "j", **{"kp": 1.0, "kd": 0.0, "limit": 1.0, **gains})
