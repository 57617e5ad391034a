"""From motion to character: rest to rest, scale, ground contact, kinematics, velocities."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.retarget.chain import chain_kinematics, chain_points
from jaxrl_envs.retarget.characters import make_character
from jaxrl_envs.retarget.characters.record import HUMAN_JOINTS
from jaxrl_envs.retarget.motion import (
    build_library,
    build_motion,
    generate_motion,
    human_pose,
    look_up,
)
from jaxrl_envs.retarget.retargeting import (
    angular_rate,
    character_map,
    differentiate,
    reference_frames,
    retarget_clip,
    retarget_pose,
)

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.rotations import quat_from_rotvec
from jaxrl_rewards.rewards.imitation import retarget_reward

mujoco = pytest.importorskip("mujoco")
NAMES = ("human", "dinosaur", "mouse")
KINDS = ("walk", "jump", "dance")
REWARD = jax.jit(retarget_reward)
SEEDS = {"walk": 0, "jump": 6, "dance": 0}  # of a jump within two seconds


@pytest.fixture(scope="module")
def poses():
    return {
        kind: human_pose(generate_motion(kind, seed, seconds=2.0)) for kind, seed in SEEDS.items()
    }


@pytest.fixture(scope="module")
def maps():
    return {name: character_map(make_character(name)) for name in NAMES}


@pytest.fixture(scope="module")
def references(poses, maps):
    return {
        (kind, name): jax.tree.map(np.asarray, retarget_pose(pose, maps[name]))
        for kind, pose in poses.items()
        for name in NAMES
    }


def still(frames=61):
    """The generated human standing upright, arms hanging, legs straight."""
    motion = generate_motion("walk", 0, seconds=2.0)
    turns = np.broadcast_to([1.0, 0, 0, 0], (frames, len(motion.names), 4))
    return human_pose(
        build_motion(
            rotations=turns,
            root_position=np.broadcast_to([0.0, 0.0, 0.95], (frames, 3)),
            offsets=motion.offsets,
            names=motion.names,
            parents=motion.parents,
            frame_time=1 / 30,
            roles=dict(motion.roles),
        )
    )


@pytest.mark.parametrize("name", NAMES)
def test_rest_goes_to_rest(maps, name):
    character = make_character(name)
    reference = retarget_pose(still(), maps[name])
    np.testing.assert_allclose(reference.qpos[:, 7:], 0.0, atol=1e-6)
    np.testing.assert_allclose(reference.qpos[:, 2], character.root_height, atol=1e-5)
    np.testing.assert_allclose(reference.qpos[:, 3:7], [[1, 0, 0, 0]] * 61, atol=1e-6)
    np.testing.assert_allclose(reference.qvel, 0.0, atol=1e-5)
    np.testing.assert_allclose(reference.points[:, 0, 2], character.head_height, atol=1e-5)
    assert np.asarray(reference.contacts).all()
    assert float(reference.scale) == pytest.approx(character.scale, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_kinematics_agree_with_mujoco(references, name):
    model = make_character(name).model
    data = mujoco.MjData(model)
    reference = references["dance", name]
    for frame in range(0, 61, 6):
        data.qpos[:] = reference.qpos[frame]
        mujoco.mj_kinematics(model, data)
        for number, point in enumerate(
            ("head", "left_hand", "right_hand", "left_foot", "right_foot")
        ):
            expected = data.site(f"keypoint_{point}").xpos
            np.testing.assert_allclose(reference.keypoints[frame, number], expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_lowest_foot_is_on_the_ground_when_the_humans_is(references, poses, maps, kind, name):
    """MuJoCo's own geometry says how low the feet are."""
    character = make_character(name)
    data, model = mujoco.MjData(character.model), character.model
    low = poses[kind].sole_heights.min(axis=-1)
    for frame in range(0, 61, 4):
        data.qpos[:] = references[kind, name].qpos[frame]
        mujoco.mj_kinematics(model, data)
        heights = []
        for geom in (model.geom(f"{side}_foot").id for side in ("left", "right")):
            rotation = data.geom_xmat[geom].reshape(3, 3)
            heights.append(data.geom_xpos[geom, 2] - np.abs(rotation[2]) @ model.geom_size[geom])
        expected = maps[name].leg_length / 0.9 * max(low[frame] - 0.03, 0.0)
        assert min(heights) == pytest.approx(expected, abs=1e-5)
    if kind == "jump":
        assert (low > 0.05).any()


def test_equal_proportions_put_the_feet_at_scaled_places(maps):
    """A character that is the generated human at half size has feet at half the distance."""
    chain = maps["human"].chain
    half = maps["human"].replace(
        chain=chain.replace(
            offsets=0.5 * chain.offsets, keypoints=0.5 * chain.keypoints, soles=0.5 * chain.soles
        ),
        leg_length=np.float32(0.45), root_height=np.float32(0.475), head_height=np.float32(0.85),
        lower=np.full(28, -9.0, np.float32), upper=np.full(28, 9.0, np.float32),
    )  # fmt: skip
    motion = generate_motion("turn", 1, seconds=2.0)
    reference = retarget_pose(human_pose(motion), half)
    root = np.asarray(reference.qpos[:, None, :3])
    # The feet's keypoints stand before the ankles, at the same place in both.
    ours = np.asarray(reference.keypoints[:, 3:]) - root
    positions, quats = jax.jit(chain_kinematics)(
        chain, jnp.asarray(motion.root_position), reference.qpos[:, 3:7], reference.qpos[:, 7:]
    )
    human, _ = jax.jit(chain_points)(chain, positions, quats)
    theirs = np.asarray(human[:, 3:]) - motion.root_position[:, None]
    np.testing.assert_allclose(ours, 0.5 * theirs, atol=1e-5)
    ankles = [motion.names.index(f"{side}_ankle") for side in ("left", "right")]
    reach = np.linalg.norm(motion.positions[:, ankles] - motion.root_position[:, None], axis=-1)
    link = np.linalg.norm(theirs, axis=-1)
    # Keypoint and ankle are one rigid foot of the human: within its size of each other.
    assert np.abs(link - reach).max() < 0.07
    speed = np.asarray(reference.qvel[:, :2])
    np.testing.assert_allclose(speed[1:-1], 0.5 * (motion.root_position[2:, :2]
        - motion.root_position[:-2, :2]) * 15.0, atol=1e-4)  # fmt: skip


def test_the_human_character_follows_the_generated_human_exactly(references):
    motion = generate_motion("walk", 0, seconds=2.0)
    reference = references["walk", "human"]
    hands = [motion.names.index(f"{side}_wrist") for side in ("left", "right")]
    ours = reference.keypoints[:, 1:3] - reference.qpos[:, None, :3]
    theirs = motion.positions[:, hands] - motion.root_position[:, None]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    sensed = reference.points - reference.qpos[:, None, :3]
    assert np.abs(reference.keypoints[:, :3] - reference.points).max() < 0.02
    assert np.isfinite(sensed).all()


def test_a_reference_against_itself_earns_one(references):
    for (_, name), reference in references.items():
        scale = reference.scale
        q, qd = reference.qpos[7, 7:], reference.qvel[7, 6:]
        points, speeds = reference.keypoints[7] / scale, reference.keypoints_vel[7] / scale
        height = reference.qpos[7, 2] / scale
        out = REWARD(
            q, q, qd, qd, reference.mapped_mask, points, points, speeds, speeds, height, height,
            0.0, reference.contacts[7], reference.contacts[7], np.zeros(3), np.zeros(3),
        )  # fmt: skip
        assert float(out["imitation"]) == pytest.approx(1.0, abs=1e-6)
        assert float(out["reward"]) == pytest.approx(1.0, abs=1e-6)
        tail = np.flatnonzero(~reference.mapped_mask)
        assert len(tail) == {"human": 0, "dinosaur": 4, "mouse": 6}[name]
        np.testing.assert_array_equal(reference.qpos[:, 7 + tail], 0.0)


def test_velocities_carry_one_state_to_the_next(references):
    """MuJoCo integrates qvel between frames: two steps of it lead over two frames."""
    model = make_character("human").model
    reference = references["dance", "human"]
    for frame in (5, 20, 40):
        qpos = reference.qpos[frame - 1].astype(np.float64)
        qvel = reference.qvel[frame].astype(np.float64)
        mujoco.mj_integratePos(model, qpos, qvel, 2.0 / 30.0)
        ahead = reference.qpos[frame + 1].astype(np.float64)
        gap = np.zeros(model.nv)
        mujoco.mj_differentiatePos(model, gap, 1.0, qpos, ahead)
        # The spin is given in the middle frame's axes and integrated from the first's.
        assert np.abs(gap).max() < 5e-3


def test_contacts_are_strict_and_scale_with_the_character(references, poses):
    walk = references["walk", "human"]
    assert 0.5 < walk.contacts.mean() < 0.8
    agreement = (walk.contacts == poses["walk"].contacts).mean()
    assert agreement > 0.9
    jump = references["jump", "mouse"]
    airborne = poses["jump"].sole_heights.min(axis=-1) > 0.15
    assert airborne.any() and not jump.contacts[airborne].any()


def test_limits_hold(references, maps):
    for (_, name), reference in references.items():
        angles = reference.qpos[:, 7:]
        assert (angles >= maps[name].lower - 1e-6).all()
        assert (angles <= maps[name].upper + 1e-6).all()


def test_batches_agree_with_single_motions(poses, maps, references):
    stacked = jax.tree.map(lambda *x: np.stack(x), *poses.values())
    batch = jax.jit(jax.vmap(retarget_pose, (0, None)))(stacked, maps["human"])
    for number, kind in enumerate(poses):
        single = references[kind, "human"]
        np.testing.assert_allclose(batch.qpos[number], single.qpos, atol=1e-5)
        np.testing.assert_allclose(batch.qvel[number], single.qvel, atol=1e-3)
        np.testing.assert_array_equal(batch.contacts[number], single.contacts)


def test_padding_a_clip_changes_nothing(poses, maps, references):
    padded = retarget_clip(poses["dance"], maps["human"], block=64)
    for name, leaf in vars(references["dance", "human"]).items():
        ours = getattr(padded, name)
        assert ours.shape == leaf.shape, name
        np.testing.assert_allclose(ours, leaf, atol=1e-4, err_msg=name)


def test_references_make_a_library(references):
    clips = [
        reference_frames(jax.tree.map(jnp.asarray, references[kind, "mouse"])) for kind in KINDS
    ]
    library = build_library(clips, 1 / 30)
    found = jax.jit(lambda t: look_up(library, 1, t))(10 / 30)
    np.testing.assert_allclose(
        found["qpos"][7:], references["jump", "mouse"].qpos[10, 7:], atol=1e-4
    )


def test_the_angle_order_is_the_characters(maps):
    """The map names human angles, whatever the order of the character's own hinges."""
    character = make_character("human")
    assert sorted(np.asarray(character.joint_map)) == list(range(28))
    pose = still()
    angles = pose.human_q.copy()
    angles[:, HUMAN_JOINTS.index("left_knee")] = 0.7
    reference = retarget_pose(pose.replace(human_q=angles), maps["human"])
    knee = character.joint_names.index("left_knee")
    np.testing.assert_allclose(reference.qpos[:, 7 + knee], 0.7, atol=1e-6)
    assert np.count_nonzero(np.abs(np.asarray(reference.qpos[0, 7:])) > 1e-6) == 1


def test_derivatives_of_known_curves():
    t = np.linspace(0.0, 1.0, 21, dtype=np.float32)
    np.testing.assert_allclose(differentiate(jnp.asarray(t**2), 0.05)[1:-1], 2 * t[1:-1], rtol=1e-4)
    np.testing.assert_array_equal(differentiate(jnp.ones((1, 3)), 0.05), np.zeros((1, 3)))
    spin = np.array([0.3, -1.0, 2.0], np.float32)
    quats = quat_from_rotvec(jnp.asarray(t[:, None] * spin))
    quats = quats * jnp.where(jnp.arange(21) % 2, -1.0, 1.0)[:, None]
    np.testing.assert_allclose(angular_rate(quats, 0.05), np.tile(spin, (21, 1)), atol=1e-4)


def test_bad_characters_are_refused():
    character = make_character("human")
    with pytest.raises(InputError, match=r"human: leg_length is 0.0; give metres above 0"):
        character_map(dataclasses.replace(character, leg_length=0.0))
    wrong = character.joint_map.copy()
    wrong[3] = 28
    with pytest.raises(InputError, match=r"joint_map\[3\] is 28, but there are 28 human joints"):
        character_map(dataclasses.replace(character, joint_map=wrong))
    with pytest.raises(InputError, match="has no site 'touch_hoof'"):
        character_map(dataclasses.replace(character, foot_names=("hoof",)))
