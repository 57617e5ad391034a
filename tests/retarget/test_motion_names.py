"""Joint names of many programs are understood; what they call a leg is told from the whole."""

import numpy as np
import pytest
from jaxrl_envs.retarget.motion import REQUIRED_ROLES, human_pose, read_bvh
from jaxrl_envs.retarget.motion.roles import guess_roles
from motion_files import PEOPLE, person_bvh
from scipy.spatial.transform import Rotation

# One line a chain, from a joint that another line has; * stands for each side.
LAFAN = """Hips Spine Spine1 Spine2 Neck Head
Hips *UpLeg *Leg *Foot *Toe
Spine2 *Shoulder *Arm *ForeArm *Hand"""
BANDAI = """joint_Root Hips Spine Chest Neck Head
Hips UpperLeg_* LowerLeg_* Foot_* Toes_*
Chest Shoulder_* UpperArm_* LowerArm_* Hand_*"""
DAZ = """hip abdomenLower abdomenUpper chestLower chestUpper neckLower neckUpper head
hip pelvis *ThighBend *ThighTwist *Shin *Foot *Metatarsals *Toe
chestUpper *Collar *ShldrBend *ShldrTwist *ForearmBend *ForearmTwist *Hand *Thumb1"""
DAZ_OLD = """hip abdomen chest neck head
hip *Buttock *Thigh *Shin *Foot
chest *Collar *Shldr *ForeArm *Hand"""
MAKEHUMAN = """root spine05 spine04 spine03 spine02 spine01 neck01 neck02 neck03 head jaw
root pelvis.* upperleg01.* upperleg02.* lowerleg01.* lowerleg02.* foot.* toe1-1.*
spine01 clavicle.* shoulder01.* upperarm01.* upperarm02.* lowerarm01.* lowerarm02.* wrist.*"""
SOMA = """Root Hips Spine1 Spine2 Chest Neck1 Neck2 Head HeadEnd
Hips *Leg *Shin *Foot *ToeBase
Chest *Shoulder *Arm *ForeArm *Hand"""
XSENS = """Pelvis L5 L3 T12 T8 Neck Head
Pelvis *UpperLeg *LowerLeg *Foot *Toe
T8 *Shoulder *UpperArm *ForeArm *Hand"""
XSENS_BVH = """Hips Chest Chest2 Chest3 Chest4 Neck Head
Hips *Hip *Knee *Ankle *Toe
Chest4 *Collar *Shoulder *Elbow *Wrist"""
NOKOV = """Robot_Hips Robot_Spine Robot_Spine1 Robot_Neck Robot_Head
Robot_Hips Robot_*UpLeg Robot_*Leg Robot_*Foot Robot_*ToeBase
Robot_Spine1 Robot_*Shoulder Robot_*Arm Robot_*ForeArm Robot_*Hand"""
MOTIVE = """Hip Ab Chest Neck Head
Hip *Thigh *Shin *Foot *Toe
Chest *Shoulder *UArm *FArm *Hand"""
BIPED = """Bip01 Bip01_Pelvis Bip01_Spine Bip01_Spine1 Bip01_Neck Bip01_Head
Bip01_Pelvis Bip01_*_Thigh Bip01_*_Calf Bip01_*_Foot Bip01_*_Toe0
Bip01_Neck Bip01_*_Clavicle Bip01_*_UpperArm Bip01_*_Forearm Bip01_*_Hand"""
ENGINE = """root pelvis spine_01 spine_02 spine_03 neck_01 head
pelvis thigh_* calf_* foot_* ball_*
spine_03 clavicle_* upperarm_* lowerarm_* hand_*"""
RIGIFY = """spine spine.001 spine.002 chest neck head
spine thigh.* shin.* foot.* toe.*
chest shoulder.* upper_arm.* forearm.* hand.*"""
ASF = """root lowerback upperback thorax lowerneck upperneck head
root *hipjoint *femur *tibia *foot *toes
thorax *clavicle *humerus *radius *wrist *hand"""
WORDS, LETTERS, SMALL = ("Left", "Right"), ("L", "R"), ("l", "r")
# pelvis, chest, neck, then of one side hip, knee, ankle, toe, shoulder, elbow, wrist
KINDS = {
    "lafan": (LAFAN, WORDS, "Hips Spine2 Neck *UpLeg *Leg *Foot *Toe *Arm *ForeArm *Hand"),
    "bandai": (
        BANDAI, LETTERS,
        "Hips Chest Neck UpperLeg_* LowerLeg_* Foot_* Toes_* UpperArm_* LowerArm_* Hand_*",
    ),
    "daz": (
        DAZ, SMALL,
        "hip chestUpper neckLower *ThighBend *Shin *Foot *Toe *ShldrBend *ForearmBend *Hand",
    ),
    "daz old": (DAZ_OLD, SMALL, "hip chest neck *Thigh *Shin *Foot - *Shldr *ForeArm *Hand"),
    "makehuman": (
        MAKEHUMAN, LETTERS,
        "root spine01 neck01 upperleg01.* lowerleg01.* foot.* toe1-1.* upperarm01.* "
        "lowerarm01.* wrist.*",
    ),
    "soma": (SOMA, WORDS, "Hips Chest Neck1 *Leg *Shin *Foot *ToeBase *Arm *ForeArm *Hand"),
    "xsens": (
        XSENS, WORDS, "Pelvis T8 Neck *UpperLeg *LowerLeg *Foot *Toe *UpperArm *ForeArm *Hand"
    ),
    "xsens bvh": (
        XSENS_BVH, WORDS, "Hips Chest4 Neck *Hip *Knee *Ankle *Toe *Shoulder *Elbow *Wrist"
    ),
    "nokov": (
        NOKOV, WORDS,
        "Robot_Hips Robot_Spine1 Robot_Neck Robot_*UpLeg Robot_*Leg Robot_*Foot Robot_*ToeBase "
        "Robot_*Arm Robot_*ForeArm Robot_*Hand",
    ),
    "motive": (MOTIVE, LETTERS, "Hip Chest Neck *Thigh *Shin *Foot *Toe *UArm *FArm *Hand"),
    "biped": (
        BIPED, LETTERS,
        "Bip01_Pelvis Bip01_Neck Bip01_Neck Bip01_*_Thigh Bip01_*_Calf Bip01_*_Foot "
        "Bip01_*_Toe0 Bip01_*_UpperArm Bip01_*_Forearm Bip01_*_Hand",
    ),
    "engine": (
        ENGINE, SMALL,
        "pelvis spine_03 neck_01 thigh_* calf_* foot_* ball_* upperarm_* lowerarm_* hand_*",
    ),
    "rigify": (
        RIGIFY, LETTERS,
        "spine chest neck thigh.* shin.* foot.* toe.* upper_arm.* forearm.* hand.*",
    ),
    "asf": (
        ASF, SMALL,
        "root thorax lowerneck *femur *tibia *foot *toes *humerus *radius *wrist",
    ),
}  # fmt: skip
PARTS = ("hip", "knee", "ankle", "toe", "shoulder", "elbow", "wrist")


def tree(text, sides):
    """Names and parents of all joints."""
    names, parents = [], []
    for line in text.splitlines():
        for side in sides if "*" in line else ("",):
            parent = -1
            for joint in line.replace("*", side).split():
                if joint not in names:
                    names.append(joint)
                    parents.append(parent)
                parent = names.index(joint)
    return tuple(names), tuple(parents)


@pytest.mark.parametrize("prefix", ["", "mixamorig:", "Person.", "ns:Body:"])
@pytest.mark.parametrize("kind", KINDS)
def test_names_of_many_programs_are_understood(kind, prefix):
    text, sides, expected = KINDS[kind]
    names, parents = tree(text, sides)
    roles = guess_roles(tuple(prefix + name for name in names), parents)
    roles = {role: joint.removeprefix(prefix) for role, joint in roles.items()}
    pelvis, chest, neck, *limbs = expected.split()
    assert (roles["pelvis"], roles["chest"], roles["neck"]) == (pelvis, chest, neck)
    for side, mark in zip(("left", "right"), sides, strict=True):
        for part, joint in zip(PARTS, limbs, strict=True):
            found = roles.get(f"{side}_{part}", "-")
            assert found == joint.replace("*", mark), f"{side}_{part}"


def test_what_is_no_human_has_too_few_roles():
    names = ("root", "tail", "leg1", "leg2", "leg3", "leg4", "wing_l", "wing_r", "head")
    roles = guess_roles(names, (-1, *[0] * 8))
    assert sum(role in roles for role in REQUIRED_ROLES) < 3


def test_a_file_with_prefixes_and_dots_is_read(tmp_path):
    places, path = PEOPLE["straight"], tmp_path / "a.bvh"
    path.write_text(person_bvh(places))
    expected = human_pose(read_bvh(path)).human_q

    def renamed(name):
        side = name[0] if name.startswith(("Left", "Right")) else ""
        part = (
            {
                "UpLeg": "thigh",
                "Leg": "shin",
                "Foot": "foot",
                "ToeBase": "toe",
                "Shoulder": "clavicle",
                "Arm": "upper_arm",
                "ForeArm": "forearm",
                "Hand": "hand",
            }[name.removeprefix("Left").removeprefix("Right")]
            if side
            else name
        )
        return f"rig:{part}.{side}" if side else f"rig:{part}"  # fmt: skip

    path.write_text(person_bvh(places, rename=renamed))
    np.testing.assert_allclose(human_pose(read_bvh(path)).human_q, expected, atol=1e-5)


def test_a_pelvis_that_does_not_carry_the_trunk_is_not_made_the_root(tmp_path):
    """Some programs hang legs from a pelvis beside the spine; a user may name either joint."""
    places, path = dict(PEOPLE["straight"]), tmp_path / "a.bvh"
    places = {"Hips": places.pop("Hips"), "Seat": ("Hips", np.array([0.0, 93.0, 0.0])), **places}
    for side in ("Left", "Right"):
        places[f"{side}UpLeg"] = ("Seat", places[f"{side}UpLeg"][1])
    path.write_text(person_bvh(places))
    motion = read_bvh(path)
    assert dict(motion.roles)["pelvis"] == "Hips"
    other = read_bvh(path, roles={"pelvis": "Seat"})
    assert other.names == motion.names and other.joint("chest") is not None
    np.testing.assert_allclose(other.positions, motion.positions, atol=1e-6)


def test_one_foot_may_lack_its_toes(tmp_path):
    places, path = dict(PEOPLE["straight"]), tmp_path / "a.bvh"
    path.write_text(person_bvh(places))
    expected = human_pose(read_bvh(path))
    del places["LeftToeBase"]
    for axes in ({}, dict.fromkeys(places, Rotation.from_euler("y", 40, degrees=True))):
        path.write_text(person_bvh(places, axes))
        found = human_pose(read_bvh(path))
        np.testing.assert_allclose(found.human_q, expected.human_q, atol=1e-4)
