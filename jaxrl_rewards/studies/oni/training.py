"""Training an arm: PPO with a message reward on the runner, an annotator beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.learners.api import Learner
from jaxrl_rewards.learners.messages import MessageHParams, make_message_ppo
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams
from jaxrl_rewards.networks.tabular import tabular_actor_critic
from jaxrl_rewards.rewards.base import reward_term
from jaxrl_rewards.studies.oni.arms import Arm, OniConfig
from jaxrl_rewards.studies.shared.arms import window_sum
from jaxrl_rewards.train.annotation import scripted_labels
from jaxrl_rewards.train.host_part import HostPart
from jaxrl_rewards.train.runner import run

WINDOW = 5
"""Updates whose episodes are counted together: an update of 64 steps alone may see no episode of
100 steps end, except those that succeed early."""
UNASKED = ("count bonus", "none")
"""Models without an annotator."""


@dataclasses.dataclass(frozen=True)
class World:
    """A key-door world and the learner in it, which serves all arms that differ in numbers."""

    env: Any
    learner: Learner
    neural: bool
    config: OniConfig

    def hparams(self, arm: Arm) -> MessageHParams:
        """The sweepable numbers of an arm."""
        from jaxrl_envs.control.keydoor import stairs

        config, number = self.config, jnp.float32
        rate = config.neural_learning_rate if self.neural else config.tabular_learning_rate
        entropy = config.neural_entropy if self.neural else config.entropy
        ppo = PPOHParams(
            env_params=self.env.default_params().replace(reward=reward_term(stairs)),
            learning_rate=number(rate),
            entropy_coefficient=number(entropy),
        )
        return MessageHParams(
            ppo=ppo,
            extrinsic=number(arm.extrinsic),
            intrinsic=number(0.0 if arm.model == "none" else arm.intrinsic),
            beta=number(arm.beta),
            first_label=number(arm.model == "count bonus"),
        )

    def host_part(self, arm: Arm) -> HostPart | None:
        """The scripted annotators of all seeds and what their labels turn into; None without."""
        if arm.model in UNASKED:
            return None
        return scripted_labels(
            arm.model,
            self.env.table,
            seeds=self.config.seeds,
            root=self.config.root_key,
            per_update=self.config.texts_per_update,
            latency=arm.latency,
            noise=arm.noise,
            garbage=arm.garbage,
            dies_after=arm.dies_after,
        )


def make_world(config: OniConfig, rooms: int, numbered: bool, policy: str) -> World:
    """The world, and PPO in it with a table or a network."""
    from jaxrl_envs import registry

    neural = policy == "neural"
    observation = "features" if neural else "state"
    env = registry.make("keydoor_text", rooms=rooms, numbered=numbered, observation=observation)
    # The 100 steps of an episode are part of the task. Bootstrapping at the limit would promise
    # a state's average future once more, messages already heard included (the observation does
    # not tell), and teach the agent to wait for the limit instead of taking the stairs.
    ppo = PPOConfig(
        num_envs=config.num_envs,
        unroll_length=config.unroll_length,
        time_limits="termination",
    )
    network = None if neural else tabular_actor_critic(env.num_states, 5)
    learner = make_message_ppo(env, ppo, network=network)

    def update(state: Any, hparams: MessageHParams) -> tuple[Any, dict[str, Any]]:
        state, metrics = learner.update(state, hparams)
        found = {name: state.summary[getattr(env.table, name)] for name in ("stairs", "gold")}
        return state, metrics | found

    return World(env, learner._replace(update=update), neural, config)


def train_arm(world: World, arm: Arm, out: Path | None = None, **more: Any) -> dict[str, Any]:
    """Train all seeds of an arm; curves `[seeds, updates]`, float64.

    `success` is the share of the episodes ended in the last `WINDOW` updates that reached the
    stairs, `gold` the share of steps that found gold, `labelled` the share of the messages that
    had a label or score. With `out` the run is stored there; `more` (`resume`, say) goes to
    `train.run`.
    """
    config = world.config
    done = run(
        world.learner,
        world.hparams(arm),
        key=jax.random.key(config.root_key),
        chunk_updates=1,
        num_seeds=config.seeds,
        between=world.host_part(arm),
        config={"arm": dataclasses.asdict(arm)},
        out_dir=out,
        log=("jsonl",),
        progress=False,
        **{"total_updates": config.updates(arm), **more},
    )
    names = ("stairs", "episodes", "gold", "labelled", "messages")
    stairs, episodes, gold, labelled, messages = (done.history[name].T for name in names)
    ended = np.diff(episodes, axis=1, prepend=0.0)
    return {
        "success": window_sum(stairs, WINDOW) / np.maximum(window_sum(ended, WINDOW), 1.0),
        "gold": gold / (config.num_envs * config.unroll_length),
        "labelled": labelled / np.maximum(messages, 1.0),
    }
