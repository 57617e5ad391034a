"""The planar world: its reference, observations, endings, and what a blind actor may see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.retarget.planar_body import BODIES, REST_JOINTS
from jaxrl_envs.retarget.planar_env import PlanarRetarget
from jaxrl_envs.retarget.planar_motion import HISTORY

from jaxrl_rewards.core import InputError

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def world():
    env = PlanarRetarget("human", clips=3, max_steps=60)
    return env, env.default_params(), jax.jit(env.reset), jax.jit(env.step)


@pytest.mark.slow
def test_the_reference_on_itself_earns_everything_and_goes_on(world):
    env, params, reset, _ = world
    for seed in range(3):
        state, timestep = reset(jax.random.key(seed), params)
        now = params.reward.evaluate(state, state.action, state)
        terms = {name: float(value) for name, value in now.terms.items()}
        for name in ("pose", "joint_vel", "keypoint", "keypoint_vel", "root", "action_rate"):
            assert terms[name] == pytest.approx(1.0, abs=1e-5), name
        assert np.all(np.asarray(timestep.info["keypoint_error"]) < 1e-5)
        assert not timestep.terminated and not timestep.truncated


@pytest.mark.slow
def test_a_servo_at_its_reference_follows_for_a_while(world):
    """Targets a frame ahead: small joint errors for the first half second."""
    env, params, reset, step = world
    state, _ = reset(jax.random.key(1), params)
    for _ in range(15):
        ahead = params.clips.at(state.clip, state.start + state.time + 2)
        action = (ahead.q[3:] - np.asarray(REST_JOINTS, np.float32)) / params.action_scale
        state, timestep = step(jax.random.key(0), state, action, params)
        assert not timestep.terminated
    assert np.asarray(timestep.info["joint_error"]).mean() < 0.15
    assert float(timestep.reward) > 0.6


def test_gains_hide_parts_of_the_observation_only(world):
    env, params, reset, _ = world
    key = jax.random.key(4)
    _, seeing = reset(key, params)
    _, blind = reset(key, params.replace(sensor_gain=jnp.float32(0.0)))
    _, symmetric = reset(key, params.replace(privileged_gain=jnp.float32(0.0)))
    own = 41
    np.testing.assert_array_equal(seeing.obs["actor"][:own], blind.obs["actor"][:own])
    assert np.all(np.asarray(blind.obs["actor"][own:]) == 0.0)
    assert np.any(np.asarray(seeing.obs["actor"][own:]) != 0.0)
    np.testing.assert_array_equal(seeing.obs["privileged"], blind.obs["privileged"])
    np.testing.assert_array_equal(seeing.obs["actor"], symmetric.obs["actor"])
    assert np.all(np.asarray(symmetric.obs["privileged"]) == 0.0)


@pytest.mark.slow
def test_the_actor_sees_no_reference_beyond_the_sensors(world):
    """Legs of the reference changed: the actor's observation is the same, the critic's is not."""
    env, params, reset, _ = world
    state, timestep = reset(jax.random.key(2), params)
    frame = params.clips.at(state.clip, state.start)
    moved = frame.replace(q=frame.q.at[7:].add(0.3), qd=frame.qd + 1.0, points=frame.points + 0.1)
    seen = env._look(state.physics)
    altered = env._observe(state, moved, seen, params)
    np.testing.assert_allclose(altered["actor"], timestep.obs["actor"], atol=1e-6)
    assert np.abs(np.asarray(altered["privileged"] - timestep.obs["privileged"])).max() > 0.05


def test_drift_of_the_root_shows_in_the_sensors(world):
    """A character half a metre behind sees its user half a metre farther ahead."""
    env, params, reset, _ = world
    state, timestep = reset(jax.random.key(2), params)
    behind = state.replace(physics=state.physics.replace(qpos=state.physics.qpos.at[0].add(-0.5)))
    frame = params.clips.at(state.clip, state.start)
    obs = env._observe(behind, frame, env._look(behind.physics), params)
    shift = np.asarray(obs["actor"] - timestep.obs["actor"])
    np.testing.assert_allclose(shift[41 : 41 + 6], [0.5, 0.0] * 3, atol=1e-5)
    np.testing.assert_allclose(shift[:41], 0.0, atol=1e-5)


def test_falls_and_lost_keypoints_end_the_episode(world):
    env, params, reset, step = world
    state, _ = reset(jax.random.key(0), params)
    _, fine = step(jax.random.key(0), state, state.action, params)
    assert not fine.terminated
    strict = params.replace(distance_threshold=jnp.float32(1e-6))
    _, lost = step(jax.random.key(0), state, state.action, strict)
    high = params.replace(height_fraction=jnp.float32(1.5))
    _, fallen = step(jax.random.key(0), state, state.action, high)
    assert lost.terminated and fallen.terminated


def test_diverged_physics_ends_the_episode_without_reward(world):
    env, params, reset, step = world
    state, _ = reset(jax.random.key(0), params)
    broken = state.replace(physics=state.physics.replace(bad_physics=jnp.asarray(True)))
    _, timestep = step(jax.random.key(0), broken, state.action, params)
    assert timestep.terminated and float(timestep.reward) == 0.0
    assert not any(bool(flag) for flag in timestep.applicable.values())
    assert np.all(np.isfinite(timestep.obs["actor"]))


@pytest.mark.slow
def test_starts_leave_room_for_the_episode(world):
    env, params, _, _ = world
    reset = jax.jit(jax.vmap(env.reset, (0, None)))
    short = params.replace(max_steps=jnp.int32(50))
    state, _ = reset(jax.random.split(jax.random.key(0), 300), short)
    assert np.asarray(state.start).min() == HISTORY
    assert np.asarray(state.start).max() + 50 == params.clips.frames - 1
    assert set(np.asarray(state.clip)) == {0, 1, 2}


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="unknown; choose one of human, dinosaur, mouse"):
        PlanarRetarget("cat")
    with pytest.raises(InputError, match="clips=0"):
        PlanarRetarget("human", clips=0)


def test_scale_of_a_small_body():
    env = PlanarRetarget("mouse", clips=1, max_steps=10)
    assert env.scale == pytest.approx(1 / 3)
    assert BODIES["mouse"].strength == pytest.approx((1 / 27) * (1 / 3))
