"""Characters: what the body plans promise, and what a user's MJCF and mapping may hold."""

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")

from jaxrl_envs.retarget.characters import (  # noqa: E402
    DAMPING,
    HUMAN_JOINTS,
    KEYPOINTS,
    PLANS,
    load_character,
    make_character,
)

from jaxrl_rewards.core import InputError  # noqa: E402

MAPPING = json.loads(Path(__file__).with_name("brax_humanoid.json").read_text())
MEASURES = {  # leg, root and head height (m), mass (kg)
    "human": (0.9, 0.95, 1.7, 45.0),
    "dinosaur": (1.2, 1.4, 2.0, 61.8),
    "mouse": (0.3, 0.35, 0.6, 1.996),
}


def brax_humanoid() -> Path:
    spec = importlib.util.find_spec("brax")
    if spec is None:
        pytest.skip("brax is not installed")
    return Path(spec.submodule_search_locations[0]) / "envs" / "assets" / "humanoid.xml"


@pytest.mark.parametrize("name", PLANS)
def test_bodies_have_the_measures_of_their_plan(name):
    body = make_character(name)
    found = (body.leg_length, body.root_height, body.head_height, body.mass)
    np.testing.assert_allclose(found, MEASURES[name], atol=2e-3)
    assert body.scale == pytest.approx(body.leg_length / 0.9)
    assert body.model.nv == 6 + body.num_joints == 6 + body.model.nu
    mapped = body.joint_map[body.joint_map >= 0]
    assert sorted(mapped) == list(range(len(HUMAN_JOINTS)))
    assert np.all(body.lower < body.upper)
    assert np.all((body.rest >= body.lower) & (body.rest <= body.upper))


def test_the_human_maps_to_itself_with_the_published_gains():
    human = make_character("human")
    assert [HUMAN_JOINTS[index] for index in human.joint_map] == list(human.joint_names)
    model = human.model
    assert [model.joint(i).name for i in range(1, model.njnt)] == list(human.joint_names)
    assert [model.actuator(i).name for i in range(model.nu)] == list(human.joint_names)
    gains = dict(zip(human.joint_names, zip(human.kp, human.torque, strict=True), strict=True))
    expected = {
        "chest_y": (1000, 200), "neck_y": (100, 50), "left_hip_x": (500, 200),
        "right_knee": (500, 150), "left_ankle_y": (400, 90), "right_shoulder_z": (400, 100),
        "left_elbow": (300, 60),
    }  # fmt: skip
    for joint, values in expected.items():
        assert gains[joint] == values
    np.testing.assert_allclose(human.model.actuator_biasprm[:, 2], -human.kp / 25)


@pytest.mark.parametrize("name", ["dinosaur", "mouse"])
def test_strength_grows_with_mass_times_leg(name):
    human, body = make_character("human"), make_character(name)
    ratio = body.mass * body.leg_length / (human.mass * human.leg_length)
    at = [body.joint_names.index(joint) for joint in human.joint_names]
    np.testing.assert_allclose(body.kp[at], human.kp * ratio, rtol=1e-5)
    np.testing.assert_allclose(body.torque[at], human.torque * ratio, rtol=1e-5)


def test_small_bodies_have_faster_servos_and_finer_steps():
    """Dynamic similarity: times shrink with the square root of the size."""
    human, dinosaur, mouse = (make_character(name) for name in ("human", "dinosaur", "mouse"))
    assert human.substeps == dinosaur.substeps == 3 and mouse.substeps == 6
    for body in (human, dinosaur, mouse):
        time = DAMPING * min(1.0, body.leg_length / human.leg_length) ** 0.5
        np.testing.assert_allclose(body.damping, time, rtol=1e-6)
        np.testing.assert_allclose(-body.model.actuator_biasprm[:, 2] / body.kp, time, rtol=1e-5)
        np.testing.assert_allclose(body.substeps * body.model.opt.timestep, 1 / 30, rtol=1e-9)
    assert make_character("human", 0.025).damping == pytest.approx(0.025)


@pytest.mark.parametrize("name", PLANS)
def test_bodies_stand_for_a_second_on_their_servos(name):
    body = make_character(name)
    data = mujoco.MjData(body.model)
    data.qpos[:] = 0
    data.qpos[[2, 3]] = body.root_height, 1.0
    for _ in range(30 * body.substeps):
        mujoco.mj_step(body.model, data)
    assert data.qpos[2] > 0.97 * body.root_height
    weight = 9.81 * body.mass
    assert data.sensordata.sum() == pytest.approx(weight, rel=0.15)


@pytest.mark.parametrize("name", PLANS)
def test_left_and_right_are_mirror_images(name):
    """Mirroring the angles (y kept, x and z negated) mirrors all keypoints."""
    body = make_character(name)
    data = mujoco.MjData(body.model)
    rng = np.random.default_rng(0)
    lower, upper = np.maximum(body.lower, -0.5), np.minimum(body.upper, 0.5)
    angles = rng.uniform(lower, upper)

    def swap(text):
        return {"left": "right", "right": "left"}.get(text, text)

    def partner(joint):
        side, _, rest = joint.partition("_")
        return f"{swap(side)}_{rest}" if swap(side) != side else joint

    def keypoints(q):
        data.qpos[:] = np.concatenate([[0, 0, 1, 1, 0, 0, 0], q])
        mujoco.mj_kinematics(body.model, data)
        return data.site_xpos[body.keypoint_sites].copy()

    mirrored = np.zeros_like(angles)
    for index, joint in enumerate(body.joint_names):
        sign = -1.0 if joint.endswith(("_x", "_z")) else 1.0
        mirrored[body.joint_names.index(partner(joint))] = sign * angles[index]
    swapped = [KEYPOINTS.index(partner(point)) for point in KEYPOINTS]
    expected = keypoints(angles)[swapped] * [1, -1, 1]
    np.testing.assert_allclose(keypoints(mirrored), expected, atol=1e-9)


def test_only_feet_touch_the_ground():
    body = make_character("human")
    data = mujoco.MjData(body.model)
    data.qpos[:] = 0
    data.qpos[[2, 3, 4]] = 0.05, np.sqrt(0.5), np.sqrt(0.5)  # lying on its side, in the ground
    mujoco.mj_forward(body.model, data)
    feet = {geom for geoms in body.foot_geoms for geom in geoms}
    touching = {int(g) for pair in data.contact.geom for g in pair}
    assert touching and touching <= feet | {body.model.geom("retarget_ground").id}


def test_a_model_that_is_not_ours_works_with_a_mapping_file(tmp_path):
    body = load_character(brax_humanoid(), Path(__file__).with_name("brax_humanoid.json"))
    assert body.num_joints == 17 and body.name == "brax-humanoid"
    assert (body.joint_map >= 0).sum() == 15
    assert 0.7 < body.leg_length < 1.1 and 1.2 < body.head_height < 2.0
    data = mujoco.MjData(body.model)
    data.qpos[[2, 3]] = body.root_height, 1.0
    data.qpos[7:] = np.clip(0.0, body.lower, body.upper)
    for _ in range(9 * body.substeps):
        mujoco.mj_step(body.model, data)
    assert np.isfinite(data.qpos).all() and data.sensordata.sum() > 0


def broken(change):
    mapping = copy.deepcopy(MAPPING)
    change(mapping)
    return mapping


BAD_MAPPINGS = {
    "lacks": lambda m: m.pop("feet"),
    "has no joint": lambda m: m["joints"]["right_knee"].update(human="right_kneee"),
    "did you mean right_knee": lambda m: m["joints"]["right_knee"].update(human="right_kneee"),
    "'no_such_hinge', which does not exist": lambda m: m["joints"].update(no_such_hinge={}),
    "names the body": lambda m: m["keypoints"].update(head="skull"),
    "names the geom": lambda m: m["feet"].update(left_foot=["sole"]),
    "not a finite number": lambda m: m["joints"]["right_knee"].update(gain=float("nan")),
    "above 0": lambda m: m["joints"]["right_knee"].update(kp=-1.0),
    "unknown field": lambda m: m["joints"]["right_knee"].update(scale=1.0),
    "'keypoints' lacks 'head'": lambda m: m["keypoints"].pop("head"),
    "three numbers": lambda m: m["keypoints"].update(head={"body": "torso", "offset": [0]}),
    "calls 'pelvis' the root": lambda m: m.update(root="pelvis"),
    "leg_length must be above 0": lambda m: m.update(leg_length=0),
}


@pytest.mark.parametrize("message", BAD_MAPPINGS)
def test_a_bad_mapping_is_named_in_one_sentence(message, tmp_path):
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(broken(BAD_MAPPINGS[message])))
    with pytest.raises(InputError, match=message) as caught:
        load_character(brax_humanoid(), path)
    assert "\n" not in str(caught.value)


BODY = """<mujoco><worldbody><body name="torso"><freejoint/>{inside}<geom name="f" size=".1"/>
<body name="leg"><joint name="knee" type="{kind}"/><geom name="foot" size=".1" pos="0 0 -.5"/>
</body></body></worldbody>{outside}</mujoco>"""
SMALL = {
    "name": "small",
    "root": "torso",
    "joints": {"knee": {"human": "left_knee"}},
    "keypoints": {name: "leg" for name in KEYPOINTS},
    "feet": {"foot": "foot"},
    "leg_length": 0.5,
}
TENDON = '<tendon><fixed><joint joint="knee" coef="1"/></fixed></tendon>'
EQUALITY = '<equality><joint joint1="knee"/></equality>'
BAD_MODELS = {
    "ball or slide": {"kind": "ball"},
    "tendons": {"outside": TENDON},
    "equality": {"outside": EQUALITY},
    "exactly one free joint": {"inside": '<joint name="x" type="slide"/>'},
    "cannot be read": {"outside": "<nonsense/>"},
}


@pytest.mark.parametrize("message", BAD_MODELS)
def test_an_unsupported_model_is_named_in_one_sentence(message, tmp_path):
    values = {"kind": "hinge", "inside": "", "outside": "", **BAD_MODELS[message]}
    text = BODY.format(**values)
    if "free joint" in message:
        text = text.replace("<freejoint/>", "")
    (tmp_path / "body.xml").write_text(text)
    (tmp_path / "body.json").write_text(json.dumps(SMALL))
    with pytest.raises(InputError, match=message) as caught:
        make_character(str(tmp_path / "body.xml"))
    assert "\n" not in str(caught.value)


def test_missing_files_and_unknown_names_are_named(tmp_path):
    with pytest.raises(InputError, match="choose human, dinosaur, mouse"):
        make_character("unicorn")
    with pytest.raises(InputError, match="cannot be read"):
        make_character(str(tmp_path / "none.xml"))
    (tmp_path / "bad.xml").write_text("<mujoco/>")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        make_character(str(tmp_path / "bad.xml"))
