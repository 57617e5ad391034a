"""The tasks of the search: learner, quantities, success measure and human rewards of each."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxrl_envs.control import ball_around_wall as ball
from jaxrl_envs.control.swing_up import SwingUp
from jaxrl_envs.quantities import PENDULUM, pendulum
from jaxrl_envs.registry import make

from jaxrl_rewards.core.quantities import Quantity
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.networks.tabular import tabular_actor_critic
from jaxrl_rewards.reward_design.eureka.trainer import CandidateTrainer
from jaxrl_rewards.reward_design.programs.quantities import stack_values, state_quantities


@dataclasses.dataclass(frozen=True)
class Task:
    """A world with everything that a search needs."""

    trainer: CandidateTrainer
    quantities: dict[str, Quantity]
    text: str
    human: dict[str, str]
    """Rewards by people, by name, in the language."""


NAIVE = "nearer = -d_stairs"
EXPERT = "key = new_key\ndoor = new_door\nway = 0.1 * progress\nbump = -0.05 * bump"


def at_stairs(prev: Any, action: Any, nxt: Any) -> Any:
    """Whether the step reached the stairs."""
    return nxt.at_stairs


def make_trainer(
    config: Any, env: Any, *, updates: int, learning_rate: float, **options: Any
) -> CandidateTrainer:
    """PPO with a table as policy; returns are normalised, so that rewards of any scale learn."""
    learner = make_ppo(
        env,
        PPOConfig(
            num_envs=config.envs,
            unroll_length=config.steps,
            num_epochs=config.epochs,
            num_minibatches=1,
            normalise_rewards=True,
            auto_reset="pool",
        ),
        network=tabular_actor_critic(env.num_states, env.spec.action_space.n),
        hparams=PPOHParams(
            env_params=env.default_params(),
            learning_rate=learning_rate,
            entropy_coefficient=config.entropy,
            discount=config.discount,
        ),
    )
    return CandidateTrainer(
        env, learner, updates=updates, episodes=config.episodes, width=config.width, **options
    )


def keydoor_task(config: Any) -> Task:
    """Rooms with keys and doors, a table as policy."""
    env = make("keydoor", rooms=config.rooms, observation="state")
    trainer = make_trainer(
        config,
        env,
        updates=config.updates,
        learning_rate=config.learning_rate,
        measure=state_quantities(env.quantities),
        success=at_stairs,
    )
    return Task(
        trainer=trainer,
        quantities=dict(env.quantities),
        text="Walk through a row of rooms to the stairs in the last one. Every room's door is "
        "locked; its key lies in the same room.",
        human={"naive human": NAIVE, "expert human": EXPERT},
    )


SWING_STEPS = 100
SWING_NAIVE = "nearer = -angle"
SWING_EXPERT = "up = 1.0 * -sq(angle)\ncalm = 0.1 * -sq(speed)\nlazy = 0.001 * -sq(torque)"


def swing_quantities(prev: Any, action: Any, nxt: Any) -> Any:
    """The quantities of a step of the pendulum, mass and length 1, gravity 10."""
    return stack_values(pendulum(prev, action, nxt), PENDULUM)


def upright_at_the_end(prev: Any, action: Any, nxt: Any) -> Any:
    """Whether the last step of an episode leaves the pendulum upright and slow."""
    upright = (jnp.abs(nxt.theta) < 0.4) & (jnp.abs(nxt.theta_dot) < 2.0)
    return upright & (nxt.time >= SWING_STEPS)


def swing_up_task(config: Any) -> Task:
    """The pendulum's swing-up, a table as policy; the expert's reward is the classic task's."""
    env = SwingUp(SWING_STEPS)
    trainer = make_trainer(
        config,
        env,
        updates=config.swing_updates,
        learning_rate=config.swing_learning_rate,
        measure=swing_quantities,
        success=upright_at_the_end,
    )
    return Task(
        trainer=trainer,
        quantities=PENDULUM,
        text="Swing a pendulum up with a motor too weak to lift it, and hold it upright.",
        human={"naive human": SWING_NAIVE, "expert human": SWING_EXPERT},
    )


BALL_NAIVE = "nearer = -d_goal"
BALL_EXPERT = "gap = 2.0 * gap_progress\nwall = 1.0 * passed\ngoal = 1.0 * progress"


def ball_task(config: Any) -> Task:
    """A ball to be pushed around a wall, under MuJoCo, a table as policy."""
    env = ball.BallAroundWall()
    trainer = make_trainer(
        dataclasses.replace(config, envs=config.ball_envs),
        env,
        updates=config.ball_updates,
        learning_rate=config.ball_learning_rate,
        measure=state_quantities(env.quantities),
        success=ball.arrived,
    )
    return Task(
        trainer=trainer,
        quantities=dict(env.quantities),
        text="Push a ball around the end of a wall to a goal behind it.",
        human={"naive human": BALL_NAIVE, "expert human": BALL_EXPERT},
    )


TASKS = {"keydoor": keydoor_task, "swing-up": swing_up_task, "ball": ball_task}
"""Tasks by name; each takes the study's configuration."""
