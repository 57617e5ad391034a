"""The retarget world: reference against itself, what each side sees, faults of the stream, ends."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("mujoco")

from jaxrl_envs.retarget.env import Retarget, distinct_names  # noqa: E402
from jaxrl_envs.retarget.features import character_features, reference_features  # noqa: E402
from jaxrl_envs.retarget.measure import (  # noqa: E402
    HOLD,
    MEMORY,
    Points,
    corrupt,
    first_memory,
    perfect_sensors,
    remember,
    sensor_features,
)
from jaxrl_envs.retarget.motion import generate_motion  # noqa: E402

from jaxrl_rewards.core import InputError  # noqa: E402
from jaxrl_rewards.core.rotations import quat_from_yaw, quat_multiply, quat_rotate  # noqa: E402

WORLDS = 4


@functools.cache
def world():
    env = Retarget("human", [generate_motion("walk", seconds=4.0)], threads=1, max_steps=60)
    reset = jax.jit(jax.vmap(env.reset, (0, None)))
    step = jax.jit(jax.vmap(env.step, (0, 0, 0, None)))
    return env, env.default_params(), reset, step


def keys(seed):
    return jax.random.split(jax.random.key(seed), WORLDS)


def actions(value=0.0):
    env, *_ = world()
    return jnp.full((WORLDS, env.character.num_joints), value, jnp.float32)


@pytest.mark.slow
def test_the_reference_against_itself_is_perfect():
    env, params, reset, _ = world()
    state, first = reset(keys(0), params)
    assert np.max(first.info["keypoint_error"]) < 1e-5
    assert np.max(first.info["joint_error"]) < 1e-6
    state = state.replace(tracking=jax.vmap(env.tracking, (0, None))(state, params))
    out = jax.vmap(lambda s: params.reward.evaluate(s, s.action, s))(state)
    for name in ("pose", "joint_vel", "keypoint", "keypoint_vel", "root", "contact"):
        np.testing.assert_allclose(out.terms[name], 1.0, atol=1e-3, err_msg=name)
    np.testing.assert_allclose(out.total, 1.0, atol=1e-3)
    assert len(set(np.asarray(state.frame).tolist())) > 1


@pytest.mark.slow
def test_the_reference_action_aims_at_the_next_frame():
    env, params, reset, _ = world()
    state, _ = reset(keys(0), params)
    library = params.library
    for index in range(WORLDS):
        one = jax.tree.map(lambda leaf, i=index: leaf[i], state)
        frame = int(one.frame) + 1
        aim = env.reference_action(one, params) * params.action_scale + env.character.rest
        expected = library.qpos[0, frame, 7:] + 0.035 * library.qvel[0, frame, 6:]
        np.testing.assert_allclose(aim, expected, atol=1e-5)


@pytest.mark.slow
def test_following_it_earns_more_than_standing_still():
    env, params, reset, step = world()
    aim = jax.jit(jax.vmap(env.reference_action, (0, None)))

    def total(follow):
        state, _ = reset(keys(1), params)
        reward = 0.0
        for now in range(6):
            action = aim(state, params) if follow else actions()
            state, seen = step(keys(now), state, action, params)
            reward += float(jnp.mean(seen.reward))
        return reward / 6

    assert total(True) > total(False) + 0.05


def test_the_actor_never_sees_the_reference():
    """Another reference with the same stream: same actor observation, another critic's."""
    _, params, reset, step = world()
    other = params.replace(
        library=params.library.replace(
            qvel=params.library.qvel.at[:, 1:].add(1.0),
            keypoints=params.library.keypoints + 0.1,
            contact=1.0 - params.library.contact,
        )
    )
    state, _ = reset(keys(2), params)
    _, seen = step(keys(3), state, actions(0.1), params)
    _, changed = step(keys(3), state, actions(0.1), other)
    np.testing.assert_array_equal(seen.obs["actor"], changed.obs["actor"])
    assert np.max(np.abs(seen.obs["reference"] - changed.obs["reference"])) > 0.05


@pytest.mark.slow
def test_where_and_which_way_the_world_lies_does_not_matter():
    """Turning and moving character, stream and reference together changes no feature."""
    rng = np.random.default_rng(0)
    body = rng.normal(size=3), np.array([0.9, 0.1, -0.2, 0.3])
    qpos = np.concatenate([body[0], body[1] / np.linalg.norm(body[1]), rng.normal(size=5)])
    qvel = rng.normal(size=11)
    qpos_ref, qvel_ref = qpos + 0.05, rng.normal(size=11)
    qpos_ref[3:7] = qpos[3:7]
    keypoints, reference = rng.normal(size=(2, 5, 3))
    rotation = rng.normal(size=(MEMORY, 3, 4))
    rotation /= np.linalg.norm(rotation, axis=-1, keepdims=True)
    position, velocity = rng.normal(size=(2, MEMORY, 3, 3))

    def features(turn, way):
        place = lambda points: quat_rotate(turn, points) + way  # noqa: E731
        moved = np.concatenate([place(qpos[:3]), quat_multiply(turn, qpos[3:7]), qpos[7:]])
        ref = np.concatenate(
            [place(qpos_ref[:3]), quat_multiply(turn, qpos_ref[3:7]), qpos_ref[7:]]
        )
        speed = np.concatenate([quat_rotate(turn, qvel[:3]), qvel[3:]])
        speed_ref = np.concatenate([quat_rotate(turn, qvel_ref[:3]), qvel_ref[3:]])
        points = Points(
            position=place(position),
            rotation=quat_multiply(turn, rotation),
            velocity=quat_rotate(turn, velocity),
        )
        points = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), points)
        memory = first_memory(points, jnp.ones((MEMORY, 3)))
        rest, feet, action = np.zeros(5), np.array([1.0, 0.0]), rng.normal(size=5) * 0.0
        return [
            character_features(moved, speed, rest, place(keypoints), feet, action, 1.3),
            sensor_features(jnp.asarray(moved[:3]), jnp.asarray(moved[3:7]), memory, 1.3),
            reference_features(
                moved, place(keypoints), ref, speed_ref, rest, place(reference), feet, 1.3
            ),
        ]

    still = features(quat_from_yaw(np.float64(0.0)), np.zeros(3))
    turned = features(quat_from_yaw(np.float64(2.1)), np.array([3.0, -2.0, 0.0]))
    for one, other in zip(still, turned, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def points_at(value, lead=()):
    return Points(
        position=jnp.full((*lead, 3, 3), value),
        rotation=jnp.broadcast_to(jnp.asarray([1.0, 0, 0, 0]), (*lead, 3, 4)),
        velocity=jnp.ones((*lead, 3, 3)),
    )


@pytest.mark.slow
def test_a_lost_point_is_held_then_masked_then_back():
    memory = first_memory(points_at(1.0, (MEMORY,)), jnp.ones((MEMORY, 3)))
    lost = jnp.asarray([1.0, 0.0, 1.0])
    for frame in range(1, HOLD + 3):
        memory = remember(memory, points_at(1.0 + frame), lost)
        assert float(memory.points.position[0, 1, 0]) == 1.0
        assert float(memory.points.velocity[0, 1, 0]) == 0.0
        assert float(memory.seen[0, 1]) == float(frame <= HOLD)
        assert float(memory.points.position[0, 0, 0]) == 1.0 + frame
    features = sensor_features(
        jnp.zeros(3), jnp.asarray([1.0, 0, 0, 0]), memory, 1.0
    )  # [3 times, 3 points, 12], then what is known now
    now = features[:-3].reshape(3, 3, 12)[0]
    assert np.all(now[1] == 0) and np.all(features[-3:] == jnp.asarray([1.0, 0.0, 1.0]))
    memory = remember(memory, points_at(9.0), jnp.ones(3))
    assert float(memory.seen[0, 1]) == 1.0 and float(memory.points.position[0, 1, 0]) == 9.0


@pytest.mark.slow
def test_faults_of_the_stream_have_the_asked_size():
    base = perfect_sensors()
    many = points_at(0.5, (4000,))
    clean, received = corrupt(jax.random.key(0), many, base)
    np.testing.assert_array_equal(clean.position, many.position)
    np.testing.assert_allclose(clean.rotation, many.rotation, atol=1e-7)
    assert np.all(received == 1)
    params = base.replace(
        position_noise=jnp.float32(0.02),
        rotation_noise=jnp.float32(0.1),
        drop=jnp.float32(0.3),
        controllers=jnp.float32(0.0),
    )
    noisy, received = corrupt(jax.random.key(0), many, params)
    assert np.std(noisy.position - many.position) == pytest.approx(0.02, rel=0.03)
    angle = 2 * np.arccos(np.clip(np.abs(noisy.rotation[..., 0]), 0, 1))
    assert np.sqrt(np.mean(angle**2) / 3) == pytest.approx(0.1, rel=0.03)
    assert np.mean(received[:, 0]) == pytest.approx(0.7, abs=0.03)
    assert np.all(received[:, 1:] == 0)


def test_streams_of_any_quality_are_lifted_by_vmap():
    """Without faults no number is drawn; a batch of both kinds must not notice."""
    perfect = perfect_sensors()
    noisy = perfect.replace(position_noise=jnp.float32(0.1), drop=jnp.float32(0.5))
    point = Points(
        position=jnp.ones((3, 3)),
        rotation=jnp.tile(jnp.array([1.0, 0.0, 0.0, 0.0]), (3, 1)),
        velocity=jnp.zeros((3, 3)),
    )
    key = jax.random.key(5)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), perfect, noisy)
    lifted = jax.vmap(corrupt, (None, None, 0))(key, point, both)
    for index, params in enumerate((perfect, noisy)):
        for one, many in zip(jax.tree.leaves(corrupt(key, point, params)), jax.tree.leaves(lifted)):
            np.testing.assert_allclose(many[index], one, atol=1e-6)
    assert np.array_equal(lifted[0].position[0], point.position)
    assert np.abs(lifted[0].position[1] - point.position).max() > 0.01


def test_a_late_stream_shows_the_past():
    _, params, reset, step = world()
    late = params.replace(sensors=params.sensors.replace(latency=jnp.asarray(2, jnp.int32)))
    state, _ = reset(keys(5), late)
    state, _ = step(keys(6), state, actions(), late)
    frames = np.asarray(state.frame)
    for index, frame in enumerate(frames):
        expected = params.library.sensed.position[0, max(frame - 2, 0)]
        np.testing.assert_array_equal(state.measured.points.position[index, 0], expected)


@pytest.mark.slow
def test_episodes_end_when_lost_fallen_or_broken_and_at_the_limit():
    env, params, reset, step = world()
    state, _ = reset(keys(7), params)
    strict = params.replace(termination_distance=jnp.float32(1e-4))
    _, seen = step(keys(8), state, actions(), strict)
    assert np.all(seen.terminated)
    high = params.replace(termination_height=jnp.float32(1.2))
    _, seen = step(keys(8), state, actions(), high)
    assert np.all(seen.terminated)
    broken = state.replace(
        physics=jax.vmap(env.physics.set_state)(
            state.physics, state.physics.qpos.at[0].set(jnp.nan), state.physics.qvel
        )
    )
    _, seen = step(keys(8), broken, actions(), params)
    assert bool(seen.terminated[0]) and float(seen.reward[0]) == 0.0
    assert not np.any(seen.terminated[1:]) and np.all(seen.reward[1:] > 0)
    assert np.all(np.isfinite(seen.obs["actor"]))
    last = params.library.length[0] - 2
    _, seen = step(keys(8), state.replace(frame=jnp.full((WORLDS,), last)), actions(), params)
    assert np.all(seen.truncated)


def test_actions_that_are_not_finite_count_as_zero():
    _, params, reset, step = world()
    state, _ = reset(keys(9), params)
    one, _ = step(keys(10), state, actions(np.nan), params)
    other, _ = step(keys(10), state, actions(0.0), params)
    np.testing.assert_array_equal(one.physics.qpos, other.physics.qpos)


def test_starts_follow_their_weights():
    env, params, reset, _ = world()
    weights = jnp.zeros_like(params.start_weights).at[0, 3].set(1.0)
    state, _ = reset(keys(11), params.replace(start_weights=weights))
    bins = weights.shape[1]
    share = np.asarray(state.frame) / int(params.library.starts[0])
    assert np.all((share >= 3 / bins - 0.02) & (share < 4 / bins))
    assert np.all(state.start == 3)


@pytest.mark.slow
def test_pushes_and_lean_move_the_body_as_far_as_they_should():
    motion = [generate_motion("walk", seconds=4.0)]
    env = Retarget("human", motion, threads=1, max_steps=60, disturbed=True)
    params = env.default_params()
    calm, _ = jax.jit(env.reset)(jax.random.key(0), params)
    step = jax.jit(env.step)
    pushed = params.replace(push_speed=jnp.float32(1.0), push_every=jnp.asarray(1, jnp.int32))
    leaning = params.replace(lean=jnp.float32(0.1))
    zero = jnp.zeros(env.character.num_joints)

    def speed(state):
        return np.asarray(state.physics.qvel[:2])

    plain, _ = step(jax.random.key(1), calm, zero, params)
    hit, _ = step(jax.random.key(1), calm, zero, pushed)
    lean, _ = step(jax.random.key(1), calm, zero, leaning)
    gained = np.linalg.norm(speed(hit) - speed(plain))
    assert gained > 0.3  # the pelvis moves first; the whole body would move by 1 m/s
    assert 0.0 < np.linalg.norm(speed(lean) - speed(plain)) < gained


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match="at least one"):
        Retarget("human", [], threads=1)
    with pytest.raises(InputError, match="max_steps"):
        Retarget("human", threads=1, max_steps=0)
    with pytest.raises(InputError, match="frames at 30 Hz"):
        Retarget("human", [generate_motion("walk", seconds=0.1)], threads=1)
    with pytest.raises(InputError, match=r"motions holds 'walk\.bvh'; give Motions"):
        Retarget("human", ["walk.bvh"], threads=1)


def test_clips_of_one_name_are_told_apart():
    assert distinct_names(["a", "b", "a", "a (2)", "a"]) == (
        "a",
        "b",
        "a (2)",
        "a (2) (2)",
        "a (3)",
    )
    one = generate_motion("walk", seconds=1.0)
    assert Retarget("human", one, threads=1).clip_names == ("walk-0",)


def test_a_reward_is_evaluated_on_states_that_the_caller_holds():
    world = Retarget(max_steps=20)
    params = world.default_params()
    state, _ = world.reset(jax.random.key(0), params)
    action = 0.1 * jnp.ones(world.spec.action_space.shape)
    nxt, seen = jax.jit(world.step)(jax.random.key(1), state, action, params)
    with pytest.raises(ValueError, match="tracking=world.tracking"):
        params.reward.evaluate(state, action, nxt)
    filled = nxt.replace(tracking=world.tracking(nxt, params))
    out = params.reward.evaluate(state, action, filled)
    np.testing.assert_allclose(out.total, seen.reward, rtol=1e-5)
