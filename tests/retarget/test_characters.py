"""Characters: what the body plans promise, and what a user's MJCF and mapping may hold."""

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")

from jaxrl_envs.physics import make_physics  # noqa: E402
from jaxrl_envs.retarget.chain import chain_of  # noqa: E402
from jaxrl_envs.retarget.characters import (  # noqa: E402
    DAMPING,
    HUMAN_JOINTS,
    KEYPOINTS,
    PLANS,
    load_character,
    make_character,
)
from jaxrl_envs.retarget.characters.shapes import lowest_point  # noqa: E402
from jaxrl_envs.retarget.draw import _side  # noqa: E402

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
    "'right_knee': sign is null": lambda m: m["joints"]["right_knee"].update(sign=None),
    "gain is null": lambda m: m["joints"]["right_knee"].update(gain=None),
    "offset is null": lambda m: m["joints"]["right_knee"].update(offset=None),
    "rest is null": lambda m: m["joints"]["right_knee"].update(rest=None),
    "sign must be 1 or -1": lambda m: m["joints"]["right_knee"].update(sign=0.5),
    "gain must not be 0": lambda m: m["joints"]["right_knee"].update(gain=0),
    "of size up to 1e": lambda m: m["joints"]["right_knee"].update(offset=1e300),
    "is the free joint": lambda m: m["joints"].update(root={}),
    "body 'world', which is no part": lambda m: m["keypoints"].update(head="world"),
    "geom 'floor', which is no part": lambda m: m["feet"].update(left_foot=["floor"]),
    "twice .for left_foot and right_foot": lambda m: m["feet"].update(right_foot="left_foot"),
    "twice .for left_foot.": lambda m: m["feet"].update(left_foot=["left_foot", "left_foot"]),
    "belongs to the foot 'left_foot'": lambda m: m["feet"].update(
        left_foot="left_shin1", right_foot=["left_foot", "left_thigh1"]
    ),
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
</body></body>{beside}</worldbody>{outside}</mujoco>"""
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
    "has a ref of 30": {"kind": 'hinge" ref="30'},
    "flexes": {"beside": '<flexcomp name="cloth" type="grid" count="2 2 1" radius=".01"/>'},
    "cannot be read": {"outside": "<nonsense/>"},
}


@pytest.mark.parametrize("message", BAD_MODELS)
def test_an_unsupported_model_is_named_in_one_sentence(message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        load_small(tmp_path, free="free joint" not in message, **BAD_MODELS[message])
    assert "\n" not in str(caught.value)


def load_small(folder, mapping=SMALL, free=True, **parts):
    parts = {"kind": "hinge", "inside": "", "beside": "", "outside": "", **parts}
    text = BODY.format(**parts)
    (folder / "body.xml").write_text(text if free else text.replace("<freejoint/>", ""))
    (folder / "body.json").write_text(json.dumps(mapping))
    return load_character(folder / "body.xml", folder / "body.json")


def test_null_servos_are_the_default_ones(tmp_path):
    knee = {"human": "left_knee", "kp": None, "torque": None}
    given = load_small(tmp_path, {**SMALL, "joints": {"knee": knee}})
    plain = load_small(tmp_path)
    assert given.kp == plain.kp > 0 and given.torque == plain.torque > 0


PHYSICS = """<option density="1000" viscosity="1" wind="5 0 0" gravity="1 0 0" impratio="3"
noslip_iterations="2" solver="CG" magnetic="1 1 1" tolerance=".1"><flag gravity="disable"
contact="disable" actuation="disable" limit="disable" energy="enable" override="enable"/></option>
<custom><numeric name="max_contact_points" data="1"/></custom>"""
CLASS = """<default><motor gear="7" ctrlrange="-.4 .4"/><pair margin=".3" solref=".5 1"/>
<joint damping="1" armature="1" stiffness="2" frictionloss="3" actuatorfrcrange="-1 1"/>
<geom margin=".1" pos="0 0 1"/><site pos="1 1 1"/></default>"""


def test_a_users_physics_and_defaults_do_not_survive(tmp_path):
    human = make_character("human").model
    beside = '<body name="box" gravcomp="1"><geom size="1"/></body>'
    body = load_small(
        tmp_path, inside='<body name="hump" gravcomp="1"><geom size=".1" pos="0 0 0"/></body>',
        outside=PHYSICS + CLASS, beside=beside,
    ).model  # fmt: skip
    for name in dir(human.opt):
        if not name.startswith("_"):
            expected, found = getattr(human.opt, name), getattr(body.opt, name)
            np.testing.assert_array_equal(found, expected, err_msg=name)
    assert not body.body_gravcomp.any() and body.nnumeric == 0
    assert not body.actuator_ctrllimited.any() and np.all(body.actuator_gear[:, 0] == 1)
    assert not body.jnt_actfrclimited.any() and not body.jnt_stiffness.any()
    assert not body.dof_damping.any() and not body.dof_frictionloss.any()
    np.testing.assert_array_equal(body.dof_armature[:6], 0.0)
    np.testing.assert_array_equal(body.pair_margin, 0.0)
    np.testing.assert_array_equal(body.pair_solref, human.pair_solref[:1])
    assert not body.geom("retarget_ground").pos.any()


TOES = """<body name="heel" pos="0 .2 -.6"><joint name="ankle" axis="0 1 0"/>
<geom name="heel" size=".05" pos="-.1 0 0"/><body name="toe" pos=".1 0 0">
<joint name="ball" axis="0 1 0"/><geom name="toe" size=".05"/></body></body>"""


@pytest.mark.parametrize("geoms", [["heel", "toe"], ["toe", "heel"]])
def test_a_foot_touches_with_any_of_its_bodies(geoms, tmp_path):
    body = load_small(
        tmp_path, {**SMALL, "feet": {"toed": geoms, "foot": "foot"}}, inside=TOES
    )  # fmt: skip
    chain = chain_of(body.model, body.foot_names)
    assert chain.sole_feet == (0, 0, 1)
    physics = make_physics(body.model, engine="c", substeps=1, outputs=("sensordata",))
    for pitch, height, touching in (
        (0.3, 0.65, 1),
        (-0.3, 0.65, 1),
        (0.0, 0.645, 2),
        (0.0, 0.7, 0),
    ):
        qpos = np.zeros(body.model.nq, np.float32)
        qpos[[2, 3, 7]] = height, 1.0, pitch  # the ankle comes first
        state = physics.reset(qpos, np.zeros(body.model.nv, np.float32))
        state = physics.step(state, np.array([pitch, 0.0, 0.0], np.float32))
        assert state.sensordata[0] == touching, (pitch, height)
        assert state.sensordata[1] == 0


def test_names_of_ours_may_be_taken(tmp_path):
    inside = """<site name="touch_foot" pos="3 3 3"/><site name="keypoint_head" pos="3 3 3"/>
    <site name="mine"/><geom name="retarget_ground" size=".1"/>"""
    outside = """<actuator><motor name="knee" joint="knee"/></actuator>
    <sensor><touch name="touch_foot" site="touch_foot"/></sensor>"""
    body = load_small(tmp_path, inside=inside, outside=outside)
    model = body.model
    leg = model.body("leg").id
    assert set(model.site_bodyid[[*body.keypoint_sites, *body.foot_sites]]) == {leg}
    assert model.site("mine").bodyid == model.geom("retarget_ground").bodyid == 1
    ground = int(model.pair_geom1[0])
    assert model.geom_bodyid[ground] == 0 and model.nu == model.nsensor == 1


def test_only_the_characters_tree_counts(tmp_path):
    """A box, a door and a mocap body beside it are neither its mass nor its joints."""
    beside = """<body name="box"><geom type="box" size="1 1 1"/></body>
    <body name="door"><joint name="door"/><geom size="1"/></body>
    <body name="hand" mocap="true"><geom size="1"/></body>
    <light mode="targetbody" target="box"/>"""
    alone, among = load_small(tmp_path), load_small(tmp_path, beside=beside)
    assert among.mass == alone.mass and among.joint_names == ("knee",)
    assert among.model.nbody == alone.model.nbody
    with pytest.raises(InputError, match="body 'box', which is no part of the character"):
        load_small(tmp_path, {**SMALL, "keypoints": dict.fromkeys(KEYPOINTS, "box")}, beside=beside)


@pytest.mark.parametrize(
    ("side", "names"),
    [
        ("left", "left_thigh LeftFoot leftleg knee_l l_knee hand.L LHand KNEE_L rig:LeftHand"),
        ("right", "right_thigh RightFoot rightleg knee_r r_knee hand-R HandR R_Hand"),
        ("", "thigh skull tail_0 L5 pelvis Upright Lower_arm ruler world lwaist"),
    ],
)
def test_drawings_know_the_sides_of_names(side, names):
    assert {name: _side(name) for name in names.split()} == dict.fromkeys(names.split(), side)


def test_missing_files_and_unknown_names_are_named(tmp_path):
    with pytest.raises(InputError, match="choose human, dinosaur, mouse"):
        make_character("unicorn")
    with pytest.raises(InputError, match="MJCF .*none.xml cannot be read"):
        make_character(str(tmp_path / "none.xml"))
    (tmp_path / "bad.xml").write_text("<mujoco/>")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        make_character(str(tmp_path / "bad.xml"))


def _one_geom(kind, size, mesh=None):
    """A geom turned by 0.7 rad about a skew axis, 2 m above the ground, and its state."""
    spec = mujoco.MjSpec()
    named = {}
    if mesh is not None:
        spec.add_mesh(name="shape", uservert=mesh.ravel().tolist())
        named = {"meshname": "shape"}
    turn = np.array([np.cos(0.35), *(np.sin(0.35) * np.array([2.0, -1.0, 2.0]) / 3.0)])
    spec.worldbody.add_geom(name="it", type=kind, size=size, quat=turn, pos=[0.1, 0, 2], **named)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return model, data


@pytest.mark.parametrize("kind", ["BOX", "SPHERE", "CAPSULE", "CYLINDER", "ELLIPSOID", "MESH"])
def test_the_lowest_point_of_a_turned_geom(kind):
    """Against the lowest of many points on the surface."""
    wedge = np.array([[0, 0, 0], [0.3, 0, 0], [0.3, 0.1, 0], [0, 0.1, 0], [0, 0, 0.08]], float)
    shape = getattr(mujoco.mjtGeom, f"mjGEOM_{kind}")
    model, data = _one_geom(shape, [0.1, 0.06, 0.03], wedge if kind == "MESH" else None)
    geom = model.geom("it").id
    around = np.random.default_rng(0).normal(size=(200_000, 3))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    size = model.geom_size[geom]
    surface = {
        "BOX": lambda: size * np.sign(around),
        "SPHERE": lambda: size[0] * around,
        "CAPSULE": lambda: size[0] * around + np.sign(around[:, 2:]) * [0, 0, size[1]],
        "CYLINDER": lambda: np.column_stack(
            [size[0] * around[:, :2] / np.linalg.norm(around[:, :2], axis=1, keepdims=True),
             np.sign(around[:, 2]) * size[1]]
        ),
        "ELLIPSOID": lambda: size * around,
        "MESH": lambda: model.mesh_vert,
    }[kind]()  # fmt: skip
    rotation = data.geom_xmat[geom].reshape(3, 3)
    expected = data.geom_xpos[geom, 2] + (surface @ rotation[2]).min()
    found = lowest_point(model, data, geom)
    tolerance = 0.002 if kind in ("CYLINDER", "ELLIPSOID") else 2e-4
    assert found == pytest.approx(expected, abs=tolerance)
    # A bounding sphere would be far off for a flat shape.
    if kind in ("ELLIPSOID", "MESH"):
        bound = data.geom_xpos[geom, 2] - model.geom_rbound[geom]
        assert found - bound > 0.02
