"""What is trained: PPO on control tasks, and group methods on a bandit."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxrl_envs import registry
from jaxrl_envs.control.bandit import ContextualBandit

from jaxrl_rewards.learners.grpo import GRPOConfig, make_grpo
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.rewards.schedule import Linear
from jaxrl_rewards.studies.shared.arms import Trained, train_arms
from jaxrl_rewards.train.evaluation import evaluate_policy

PROMPTS, ANSWERS = 32, 8
"""Of the group methods, per update and prompt."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A control task with the sizes and numbers PPO uses on it."""

    env: str
    ppo: PPOConfig
    learning_rate: float = 2.5e-4
    discount: float = 0.99
    entropy_coefficient: float = 0.01


TASKS = {
    "CartPole": Task("CartPole-v1", PPOConfig(num_envs=4, unroll_length=128)),
    "Acrobot": Task("Acrobot-v1", PPOConfig(num_envs=16, unroll_length=128), 1e-3),
    "Pendulum": Task(
        "Pendulum-v1",
        PPOConfig(num_envs=16, unroll_length=128, num_epochs=8, normalise_rewards=True),
        learning_rate=1e-3,
        discount=0.95,
        entropy_coefficient=0.0,
    ),
}


def train_control(
    task: Task, steps: int, keys: jax.Array, episodes: int, time_limits: str = "bootstrap"
) -> Trained:
    """PPO on a control task: `curves["episode_return"]`, and `final["return"]` of its policy."""
    env = registry.make(task.env)
    config = dataclasses.replace(task.ppo, time_limits=time_limits)
    updates = max(1, round(steps / (config.num_envs * config.unroll_length)))
    hparams = PPOHParams(
        env_params=env.default_params(),
        learning_rate=Linear(start=task.learning_rate, stop=0.0, begin=0.0, end=float(updates)),
        discount=task.discount,
        entropy_coefficient=task.entropy_coefficient,
    )
    learner = make_ppo(env, config, hparams=hparams)

    def evaluate(state, hparams, key):
        found = evaluate_policy(learner, state, env, hparams.env_params, key, episodes)
        return {"return": found["return"]}

    arms = {task.env: hparams}
    return train_arms(learner, arms, keys, updates, evaluate, keep=("episode_return",))[task.env]


def train_bandit(method: str, updates: int, keys: jax.Array, contexts_key: jax.Array) -> Trained:
    """The regret of a group method after each update, in `curves`, over 512 fixed contexts."""
    env = ContextualBandit()
    config = GRPOConfig(num_prompts=PROMPTS, group_size=ANSWERS, advantage=method, hidden=(32,))
    learner = make_grpo(env, config)
    # Dr.GRPO and RLOO advantages are smaller by the group's deviation (about 0.2 here); Adam
    # makes the step size independent of that scale, so one learning rate is fair to all.
    hparams = learner.hparams.replace(learning_rate=5e-3, kl_coefficient=0.0)
    contexts, _ = jax.vmap(env.reset, in_axes=(0, None))(
        jax.random.split(contexts_key, 512), hparams.env_params
    )

    def regret(state, hparams):
        actions = jax.vmap(lambda obs: learner.act(state, obs, (), None)[0])(contexts.context)
        chosen = jnp.take_along_axis(contexts.means, actions[:, None], axis=1)[:, 0]
        return {"regret": jnp.mean(jnp.max(contexts.means, axis=1) - chosen)}

    return train_arms(learner, {method: hparams}, keys, updates, watch=regret)[method]
