"""Training and evaluation of many arms and seeds in one program.

Arms differ in numbers only (weights of the reward, what the critic or the actor sees), so all
runs of a character are one batch: one compile, and one physics call per step for all of them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.retarget.planar_clips import PlanarClips
from jaxrl_envs.retarget.planar_env import PlanarParams, PlanarRetarget
from jaxrl_envs.retarget.planar_following import follow_clips
from jaxtyping import Array, Float

from jaxrl_rewards.core import record
from jaxrl_rewards.learners.api import Learner, LearnerState
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.networks.actor_critic import mlp_actor_critic
from jaxrl_rewards.rewards.base import Reward
from jaxrl_rewards.rewards.imitation import ImitationWeights
from jaxrl_rewards.rewards.imitation_terms import retarget_terms
from jaxrl_rewards.rewards.schedule import Linear
from jaxrl_rewards.studies.shared.sizes import shared_fields


@record
class Arm:
    """What an arm changes; leaves `[runs]` when stacked."""

    reward: Reward
    sensor_gain: Float[Array, ""]
    privileged_gain: Float[Array, ""]


def make_arm(
    imitation: float,
    contact: float,
    action: float,
    *,
    sensors: bool = True,
    privileged: bool = True,
    reward_scale: float = 1.0,
) -> Arm:
    """An arm with these weights of the three rewards, times `reward_scale`."""
    weights = ImitationWeights(
        imitation=imitation * reward_scale,
        contact=contact * reward_scale,
        action=action * reward_scale,
    )
    return Arm(
        reward=retarget_terms(weights),
        sensor_gain=jnp.float32(sensors),
        privileged_gain=jnp.float32(privileged),
    )


def make_learner(env: PlanarRetarget, config: Any) -> Learner:
    """PPO with an actor that sees the sparse observation and a critic that sees everything."""
    network = mlp_actor_critic(
        env.spec.observation_space,
        2 * env.spec.action_space.shape[0],
        hidden=tuple(config.hidden),
        activate="tanh",
        actor_key="actor",
        log_std=config.log_std,
    )
    ppo = PPOConfig(
        auto_reset="pool",
        normalise_observations=True,
        clip_values=False,
        **shared_fields(PPOConfig, config),
    )
    return make_ppo(env, ppo, network=network, hparams=PPOHParams(env_params=None))


def arm_hparams(config: Any, params: PlanarParams, arm: Arm) -> PPOHParams:
    """The hyper-parameters of one run."""
    return PPOHParams(
        env_params=params.replace(
            reward=arm.reward,
            sensor_gain=arm.sensor_gain,
            privileged_gain=arm.privileged_gain,
            max_steps=jnp.asarray(config.training_steps, jnp.int32),
        ),
        learning_rate=Linear(
            start=jnp.float32(config.learning_rates[0]),
            stop=jnp.float32(config.learning_rates[1]),
            end=jnp.float32(config.updates),
        ),
        **shared_fields(PPOHParams, config),
    )


def evaluate(
    env: PlanarRetarget,
    learner: Learner,
    states: LearnerState,
    params: PlanarParams,
    sensor_gain: Float[Array, "runs"],
    clips: PlanarClips,
    steps: int,
) -> dict[str, np.ndarray]:
    """`follow_clips` of every run with the mean action; leaves lead with the runs."""

    def one_run(state, gain):
        act = lambda obs: learner.act(state, obs, None, None)[0]  # noqa: E731
        return follow_clips(env, act, params.replace(sensor_gain=gain), clips, steps)

    return jax.device_get(jax.jit(jax.vmap(one_run))(states, sensor_gain))
