"""A continuous square with a goal, a bonus that misleads and a distance that helps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.control.common import finish_step, float_scalar, start_time, step_limit
from jaxrl_rewards.core import Box, Discrete, EnvSpec, Record, TimeStep, first_timestep, record
from jaxrl_rewards.rewards.base import Reward, reward_term

SUB_STEPS = 4
_DIRECTIONS = np.asarray([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]], np.float32)


@record
class ContinuousGridParams(Record):
    """Numbers of the task; lengths are shares of the square's side."""

    start: Float[Array, "2"]
    stride: Float[Array, ""]
    """Length of one of the four sub-steps of a move."""
    random_action: Float[Array, ""]
    """Probability that the move is drawn uniformly instead."""
    goal_box: Float[Array, "4"]
    """`[x1, y1, x2, y2]`; entering it ends the episode."""
    bonus_box: Float[Array, "4"]
    target: Float[Array, "2"]
    """Point that the distance term refers to."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class ContinuousGridState(Record):
    """Where the agent is and what its last move met."""

    position: Float[Array, "2"]
    at_goal: Bool[Array, ""]
    bonus_visits: Float[Array, ""]
    """Sub-steps of the last move that ended inside the bonus box, 0 to 4."""
    squared_distance: Float[Array, ""]
    """Sum over the sub-steps of the last move of the squared distance to the target."""
    time: Int[Array, ""]


def time(prev: ContinuousGridState, action: Array, nxt: ContinuousGridState) -> Float[Array, ""]:
    """-1 for every move."""
    return -jnp.ones((), jnp.float32)


def goal(prev: ContinuousGridState, action: Array, nxt: ContinuousGridState) -> Float[Array, ""]:
    """1 on the move that enters the goal box, else 0."""
    return nxt.at_goal.astype(jnp.float32)


def bonus(prev: ContinuousGridState, action: Array, nxt: ContinuousGridState) -> Float[Array, ""]:
    """Sub-steps of the move that ended inside the bonus box."""
    return nxt.bonus_visits


def distance(
    prev: ContinuousGridState, action: Array, nxt: ContinuousGridState
) -> Float[Array, ""]:
    """Minus the squared distance to the target, summed over the sub-steps of the move."""
    return -nxt.squared_distance


class ContinuousGridWorld:
    """Walk from one corner of the unit square to a box in the opposite one.

    - Observation: float32 `[x, y]` in [0, 1].
    - Action: 0 up, 1 right, 2 down, 3 left; other integers are clipped. With probability 0.1 a
      uniformly drawn move is made instead; reward terms see the move as made.
    - Dynamics: a move has four sub-steps of 0.045. A sub-step that would leave the square is not
      made and ends the move; one that enters the goal box ends move and episode.
    - Reward: `0.1 time + 100 goal`. Two auxiliary terms have weight 0: `bonus` counts sub-steps
      inside the box [0.4, 0.6]² on the way, which pays for never arriving; `distance` is minus the
      squared distance to (0.87, 0.87), which helps.
    - Termination: inside the goal box [0.75, 0.99]². Truncation: 50 moves.
    - Source: the grid world of Gupta et al. 2023 (arXiv 2310.19007).
    """

    differentiable = True
    deterministic_reset = True

    def __init__(self, max_steps: int = 50):
        self._max_steps = max_steps
        self.spec = EnvSpec(
            name="gridworld-continuous",
            observation_space=Box(0.0, 1.0, (2,)),
            action_space=Discrete(4),
            max_steps=max_steps,
            term_names=("time", "goal", "bonus", "distance"),
        )

    def default_params(self) -> ContinuousGridParams:
        """The published numbers; the auxiliary terms are logged only."""
        reward = (
            0.1 * reward_term(time)
            + 100.0 * reward_term(goal)
            + 0.0 * reward_term(bonus)
            + 0.0 * reward_term(distance)
        )
        return ContinuousGridParams(
            start=jnp.full((2,), 0.125, jnp.float32),
            stride=float_scalar(0.045),
            random_action=float_scalar(0.1),
            goal_box=jnp.asarray([0.75, 0.75, 0.99, 0.99], jnp.float32),
            bonus_box=jnp.asarray([0.4, 0.4, 0.6, 0.6], jnp.float32),
            target=jnp.full((2,), 0.87, jnp.float32),
            max_steps=step_limit(self._max_steps),
            reward=reward,
        )

    def reset(
        self, key: jax.Array, params: ContinuousGridParams
    ) -> tuple[ContinuousGridState, TimeStep]:
        """At the start; deterministic."""
        del key
        state = ContinuousGridState(
            position=params.start,
            at_goal=jnp.zeros((), bool),
            bonus_visits=jnp.zeros((), jnp.float32),
            squared_distance=jnp.zeros((), jnp.float32),
            time=start_time(),
        )
        return state, first_timestep(state.position, params.reward.names, {})

    def step(
        self,
        key: jax.Array,
        state: ContinuousGridState,
        action: Int[Array, ""],
        params: ContinuousGridParams,
    ) -> tuple[ContinuousGridState, TimeStep]:
        """One move of up to four sub-steps."""
        # One draw decides both whether the move is random and which one it is.
        draw = jax.random.uniform(key, (), dtype=jnp.float32)
        share = draw / jnp.maximum(params.random_action, 1e-6)
        drawn = jnp.minimum((4.0 * share).astype(jnp.int32), 3)
        move = jnp.where(draw < params.random_action, drawn, jnp.clip(action, 0, 3))
        stride = params.stride * jnp.asarray(_DIRECTIONS)[move]
        position, moving = state.position, jnp.ones((), bool)
        at_goal = jnp.zeros((), bool)
        visits = squares = jnp.zeros((), jnp.float32)
        for _ in range(SUB_STEPS):
            proposed = position + stride
            moving = moving & jnp.all((proposed >= 0.0) & (proposed <= 1.0)) & ~at_goal
            position = jnp.where(moving, proposed, position)
            at_goal = at_goal | (moving & _inside(position, params.goal_box))
            visits = visits + (moving & _inside(position, params.bonus_box)).astype(jnp.float32)
            square = jnp.sum(jnp.square(position - params.target))
            squares = squares + jnp.where(moving, square, 0.0)
        nxt = ContinuousGridState(
            position=position,
            at_goal=at_goal,
            bonus_visits=visits,
            squared_distance=squares,
            time=state.time + 1,
        )
        return nxt, finish_step(state, move, nxt, position, at_goal, params)


def _inside(point: Float[Array, "2"], box: Float[Array, "4"]) -> Bool[Array, ""]:
    return jnp.all((point >= box[:2]) & (point <= box[2:]))
