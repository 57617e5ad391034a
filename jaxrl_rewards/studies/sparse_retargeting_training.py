"""Training and evaluation of many arms and seeds in one program.

Arms differ in numbers only (weights of the reward, what the critic or the actor sees), so all
runs of a character are one batch: one compile, and one physics call per step for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.retarget.planar_body import LEGS
from jaxrl_envs.retarget.planar_clips import PlanarClips
from jaxrl_envs.retarget.planar_env import PlanarParams, PlanarRetarget
from jaxrl_envs.retarget.planar_motion import HISTORY, RATE
from jaxtyping import Array, Float

from jaxrl_rewards.core import record
from jaxrl_rewards.learners.api import Learner, LearnerState
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.networks.actor_critic import mlp_actor_critic
from jaxrl_rewards.rewards.base import Reward
from jaxrl_rewards.rewards.imitation import ImitationWeights
from jaxrl_rewards.rewards.imitation_terms import retarget_terms
from jaxrl_rewards.rewards.schedule import Linear

LEG_JOINTS = slice(LEGS.start - 3, LEGS.stop - 3)


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
        num_envs=config.num_envs,
        unroll_length=config.unroll_length,
        num_epochs=config.num_epochs,
        num_minibatches=config.num_minibatches,
        auto_reset="pool",
        normalise_observations=True,
        clip_values=False,
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
        discount=config.discount,
        trace_decay=config.trace_decay,
        clip=config.clip,
        entropy_coefficient=config.entropy_coefficient,
        value_coefficient=config.value_coefficient,
        max_grad_norm=config.max_grad_norm,
    )


def train(
    env: PlanarRetarget,
    config: Any,
    arms: list[Arm],
    keys: jax.Array,
    params: PlanarParams,
    report: Callable[[str, float], None],
) -> tuple[Learner, LearnerState, dict[str, np.ndarray]]:
    """Train one run per entry of `arms` and `keys`.

    Returns the learner, the final states `[runs]`, and metrics per chunk `[runs, chunks]`.
    """
    learner = make_learner(env, config)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arms)

    def start(key, arm, params):
        return learner.init(key, arm_hparams(config, params, arm))

    def chunk(state, arm, params):
        def body(state, _):
            return learner.update(state, arm_hparams(config, params, arm))

        state, metrics = jax.lax.scan(body, state, None, length=config.chunk)
        return state, jax.tree.map(lambda values: values.mean(axis=0), metrics)

    state = jax.jit(jax.vmap(start, (0, 0, None)))(keys, stacked, params)
    run = jax.jit(jax.vmap(chunk, (0, 0, None)), donate_argnums=0)
    history = []
    for done in range(0, config.updates, config.chunk):
        report(f"update {done} of {config.updates}", done / config.updates)
        state, metrics = run(state, stacked, params)
        history.append(jax.device_get(metrics))
    return learner, state, jax.tree.map(lambda *values: np.stack(values, axis=-1), *history)


def evaluate(
    env: PlanarRetarget,
    learner: Learner,
    states: LearnerState,
    params: PlanarParams,
    sensor_gain: Float[Array, "runs"],
    clips: PlanarClips,
    steps: int,
) -> dict[str, np.ndarray]:
    """Follow every clip from its beginning for `steps` steps with the mean action.

    Returns `q` float32 `[runs, clips, steps, 11]`, the character's coordinates (beyond the end of
    an episode it goes on as it can), `survived` bool `[runs, clips]`, and per run: `survive` (share
    of clips followed to the end), `seconds` (mean time to the end), and, over the steps before it,
    `keypoint_error` (mean distance over the scale, metres), `leg_error` (mean absolute angle,
    radians), `contact_match` (share of feet and steps), `action_change` (mean absolute second
    difference of the servos' targets, rad/s²) and `foot_skate` (mean speed of touching feet, m/s).
    """
    count = clips.table.shape[0]
    params = params.replace(clips=clips, max_steps=jnp.asarray(steps, jnp.int32))

    def one_run(state, gain):
        numbers = params.replace(sensor_gain=gain)
        begin = jax.vmap(lambda clip: env.start_at(clip, jnp.int32(HISTORY), numbers))
        world, timestep = begin(jnp.arange(count))
        zero = jnp.zeros((count,), jnp.float32)
        names = ("steps", "keypoint", "leg", "match", "change", "change_steps", "skate", "touch")
        sums = {name: zero for name in names}

        def step(carry, time):
            world, obs, alive, before, sums = carry
            act = lambda one: learner.act(state, one, None, None)[0]  # noqa: E731
            action = jax.vmap(act)(obs)
            last = world.action
            keys = jnp.zeros((count,), jnp.uint32)
            world, seen = jax.vmap(env.step, (0, 0, 0, None))(keys, world, action, numbers)
            alive = alive & ~seen.terminated
            info = seen.info
            second = jnp.abs(world.action - 2.0 * last + before).mean(axis=-1)
            touching = info["contact"]
            gained = {
                "steps": 1.0,
                "keypoint": info["keypoint_error"].mean(axis=-1),
                "leg": info["joint_error"][:, LEG_JOINTS].mean(axis=-1),
                "match": (touching == info["contact_ref"]).mean(axis=-1),
                "change": jnp.where(time >= 2, second, 0.0),
                "change_steps": jnp.where(time >= 2, 1.0, 0.0),
                "skate": (touching * info["foot_speed"]).sum(axis=-1),
                "touch": touching.sum(axis=-1),
            }
            sums = {
                name: sums[name] + jnp.where(alive, gain_now, 0.0)
                for name, gain_now in gained.items()
            }
            return (world, seen.obs, alive, last, sums), world.physics.qpos

        alive = jnp.ones((count,), bool)
        carry = (world, timestep.obs, alive, world.action, sums)
        (_, _, alive, _, sums), q = jax.lax.scan(step, carry, jnp.arange(steps))
        total = {name: value.sum() for name, value in sums.items()}
        taken = jnp.maximum(total["steps"], 1.0)
        change = total["change"] / jnp.maximum(total["change_steps"], 1.0)
        return {
            "q": jnp.moveaxis(q, 0, 1),
            "survived": alive,
            "survive": alive.mean(),
            "seconds": (sums["steps"] / RATE).mean(),
            "keypoint_error": total["keypoint"] / taken,
            "leg_error": total["leg"] / taken,
            "contact_match": total["match"] / taken,
            "action_change": change * params.action_scale * RATE**2,
            "foot_skate": total["skate"] / jnp.maximum(total["touch"], 1.0),
        }

    return jax.device_get(jax.jit(jax.vmap(one_run))(states, sensor_gain))
