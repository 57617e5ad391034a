"""The swing-up as a table plays it: cells, torques, and what counts as success."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.studies.eureka.train import tasks

from jaxrl_envs.control.swing_up import SwingUp  # isort: skip


def test_cells_follow_angle_and_speed_and_actions_are_torques():
    env = SwingUp(max_steps=5)
    params = env.default_params()
    states, first = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), 64), params)
    cells = np.asarray(first.obs)
    assert cells.dtype == np.int32 and cells.min() >= 0 and cells.max() < env.num_states
    angle = np.floor((np.asarray(states.theta) / (2 * np.pi) + 0.5) * env.angles)
    np.testing.assert_array_equal(cells // env.speeds, np.clip(angle, 0, env.angles - 1))
    one = jax.tree.map(lambda leaf: leaf[0], states)
    after = [env.step(jax.random.key(1), one, jnp.int32(a), params)[0].theta_dot for a in range(3)]
    np.testing.assert_allclose(after[2] - after[1], after[1] - after[0], rtol=1e-4)
    assert after[2] > after[0]


def test_success_is_standing_upright_at_the_end():
    env = SwingUp(tasks.SWING_STEPS)
    state, _ = env.reset(jax.random.key(0), env.default_params())
    end = state.replace(theta=jnp.float32(0.1), theta_dot=jnp.float32(0.5))
    end = end.replace(time=jnp.int32(tasks.SWING_STEPS))
    assert tasks.upright_at_the_end(state, 0, end)
    assert not tasks.upright_at_the_end(state, 0, end.replace(theta=jnp.float32(1.0)))
    assert not tasks.upright_at_the_end(state, 0, end.replace(time=jnp.int32(3)))
