"""The ball world: the wall holds, the way around it leads to the goal, quantities add up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core.quantities import Quantity
from jaxrl_rewards.reward_design.programs.parser import parse_program
from jaxrl_rewards.reward_design.programs.slots import slots_of
from jaxrl_rewards.studies.eureka.train import tasks

from jaxrl_envs.control import ball_around_wall as ball  # isort: skip

_STILL, RIGHT, LEFT, UP, DOWN = range(5)
WORLDS = 16


def into_the_wall(number, place):
    """Ten steps of run-up, then straight at the wall."""
    return jnp.where(number < 10, LEFT, RIGHT)


def around(number, place):
    """Up, over to the goal's side, and down."""
    x, y = place
    return jnp.where(x > 0.55, jnp.where(x > 0.8, LEFT, DOWN), jnp.where(y > 0.5, RIGHT, UP))


def play(policy):
    """First states `[worlds]`; states and time steps `[steps, worlds]` that a policy leads to."""
    pytest.importorskip("mujoco")
    env = ball.BallAroundWall()
    params = env.default_params()
    keys = jax.random.split(jax.random.key(3), WORLDS)
    start, _ = jax.vmap(env.reset, in_axes=(0, None))(keys, params)

    def body(state, number):
        action = jax.vmap(policy, in_axes=(None, 0))(number, state.physics.qpos)
        step = jax.vmap(env.step, in_axes=(None, 0, 0, None))
        nxt, timestep = step(keys[0], state, action, params)
        return nxt, (nxt, timestep)

    return start, *jax.jit(lambda start: jax.lax.scan(body, start, jnp.arange(40))[1])(start)


def test_the_wall_holds_a_ball_at_full_speed():
    _, states, timesteps = play(into_the_wall)
    x = np.asarray(states.physics.qpos)[..., 0]
    assert x.max() < -0.15 and x[-1].min() > -0.3  # at the wall, not in it
    assert not np.asarray(states.at_goal).any() and not np.asarray(timesteps.terminated).any()
    assert np.asarray(states.quantities["stuck"])[-1].all()
    assert np.asarray(timesteps.truncated)[24:].all()
    assert not np.asarray(timesteps.truncated)[:24].any()


def test_the_way_around_reaches_the_goal_and_progress_adds_up():
    start, states, timesteps = play(around)
    reached = np.asarray(timesteps.terminated)
    assert reached.any(axis=0).all()
    np.testing.assert_array_equal(reached, np.asarray(timesteps.terms["arrived"]) > 0)
    seen = {name: np.asarray(value) for name, value in states.quantities.items()}
    np.testing.assert_allclose(
        seen["progress"].sum(axis=0),
        np.asarray(start.quantities["d_goal"]) - seen["d_goal"][-1],
        atol=1e-5,
    )
    np.testing.assert_array_equal(np.cumsum(seen["passed"], axis=0), seen["past_wall"])
    behind = np.roll(seen["past_wall"], 1, axis=0)[1:] > 0
    assert not seen["gap_progress"][1:][behind].any() and seen["gap_progress"][0].any()
    observed = np.asarray(timesteps.obs)
    assert observed.min() >= 0 and observed.max() < ball.BallAroundWall.cells**2 * 9
    assert len(np.unique(observed)) > 30


@pytest.mark.parametrize("text", [tasks.BALL_NAIVE, tasks.BALL_EXPERT])
def test_the_human_rewards_are_programs_of_the_slot_form(text):
    assert all(isinstance(one, Quantity) for one in ball.QUANTITIES.values())
    assert slots_of(parse_program(text, ball.QUANTITIES))
