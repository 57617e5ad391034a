"""Training the arms: one compiled program per world and policy; labels are an argument of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.learners.api import LearnerState
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.networks.tabular import tabular_actor_critic
from jaxrl_rewards.reward_models.messages import MessageReward
from jaxrl_rewards.rewards.base import reward_term
from jaxrl_rewards.studies.oni_arms import Arm, OniConfig
from jaxrl_rewards.studies.oni_labels import LabelSource

SOLVED = 0.8
"""Success above which a seed counts as having solved the task in the curves."""
WINDOW = 5
"""Updates whose episodes are counted together: an update of 64 steps alone may see no episode of
100 steps end, except those that succeed early."""


@dataclasses.dataclass(frozen=True)
class Curves:
    """What an arm did, float64 `[seeds, updates]`."""

    success: np.ndarray
    """Share of the episodes ended in the last `WINDOW` updates that reached the stairs."""
    gold: np.ndarray
    """Share of steps that found gold."""
    labelled: np.ndarray
    """Share of the steps with a message whose message has a label or score."""

    @property
    def final(self) -> np.ndarray:
        """Success at the end of training, `[seeds]`."""
        return self.success[:, -1]

    @property
    def first_solved(self) -> np.ndarray:
        """First update, counted from 1, with success above `SOLVED`; NaN for never; `[seeds]`."""
        above = self.success > SOLVED
        return np.where(above.any(axis=1), above.argmax(axis=1) + 1.0, np.nan)


class Trainer:
    """PPO in one key-door world, vmapped over seeds; serves all arms without a new compile.

    `traces` counts how often the update was traced: labels, coefficients, β and learning rate are
    arguments, so it stays 1.
    """

    def __init__(self, config: OniConfig, rooms: int, numbered: bool, policy: str):
        from jaxrl_envs import registry
        from jaxrl_envs.control.keydoor import stairs

        observation = "state" if policy == "tabular" else "features"
        env = registry.make("keydoor_text", rooms=rooms, numbered=numbered, observation=observation)
        self.table, self.config, self.traces = env.table, config, 0
        size = env.table.size
        network = tabular_actor_critic(env.num_states, 5) if policy == "tabular" else None
        params = env.default_params()

        def heard(info: dict[str, Any]) -> Array:
            return jnp.zeros((size,), jnp.int32).at[info["message"].reshape(-1)].add(1)

        def hparams(labels: Array, known: Array, numbers: dict[str, Array]) -> PPOHParams:
            message = MessageReward(labels=labels, known=known, beta=numbers["beta"])
            reward = numbers["extrinsic"] * reward_term(stairs) + numbers["intrinsic"] * message
            return PPOHParams(
                env_params=params.replace(reward=reward),
                learning_rate=numbers["learning_rate"],
                entropy_coefficient=numbers["entropy"],
            )

        # The 100 steps of an episode are part of the task. Bootstrapping at the limit would promise
        # a state's average future once more, messages already heard included (the observation does
        # not tell), and teach the agent to wait for the limit instead of taking the stairs.
        ppo = PPOConfig(
            num_envs=config.num_envs,
            unroll_length=config.unroll_length,
            time_limits="termination",
        )
        self.learner = make_ppo(env, ppo, network=network, summarise=heard)
        none = (jnp.zeros((size,), jnp.float32), jnp.zeros((size,), bool))
        start = {k: jnp.zeros(()) for k in ("extrinsic", "intrinsic", "beta", "learning_rate")}

        def init(key: Array) -> LearnerState:
            return self.learner.init(key, hparams(*none, {**start, "entropy": jnp.zeros(())}))

        def update(
            state: LearnerState,
            labels: Float[Array, "S V"],
            known: Bool[Array, "S V"],
            numbers: dict[str, Array],
        ) -> tuple[LearnerState, Array]:
            self.traces += 1

            def one(seed_state, seed_labels, seed_known):
                new, metrics = self.learner.update(
                    seed_state, hparams(seed_labels, seed_known, numbers)
                )
                return new, metrics["episodes"]

            return jax.vmap(one)(state, labels, known)

        self.init = jax.jit(jax.vmap(init))
        self.update = jax.jit(update, donate_argnums=0)

    def numbers(self, arm: Arm) -> dict[str, Array]:
        """The sweepable numbers of an arm, float32 scalars."""
        config = self.config
        neural = arm.policy == "neural"
        values = {
            "extrinsic": arm.extrinsic,
            "intrinsic": 0.0 if arm.model == "none" else arm.intrinsic,
            "beta": arm.beta,
            "learning_rate": config.neural_learning_rate
            if neural
            else config.tabular_learning_rate,
            "entropy": config.neural_entropy if neural else config.entropy,
        }
        return {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}

    def run(self, arm: Arm) -> Curves:
        """Train all seeds of an arm."""
        config, table = self.config, self.table
        keys = jax.random.split(jax.random.key(config.root_key), config.seeds)
        source = LabelSource(arm, table, config.seeds, config.texts_per_update, config.root_key)
        labels, known = source.labels, source.known
        state, numbers = self.init(keys), self.numbers(arm)
        steps = config.num_envs * config.unroll_length
        rows: list[tuple[np.ndarray, ...]] = []
        before = np.zeros(config.seeds)
        for update in range(config.updates(arm)):
            # copies: an array that shares memory with NumPy would change under the program
            state, episodes = self.update(state, jnp.array(labels), jnp.array(known), numbers)
            heard, ended = np.array(state.summary), np.asarray(episodes, np.float64)
            said = heard[:, 1:].sum(axis=1)
            rows.append(
                (
                    heard[:, table.stairs],
                    ended - before,
                    heard[:, table.gold] / steps,
                    (heard * known)[:, 1:].sum(axis=1) / np.maximum(said, 1),
                )
            )
            before = ended
            labels, known = source.after_update(update, heard)
        columns = (np.asarray(c, np.float64).T for c in zip(*rows, strict=True))
        reached, episodes, gold, labelled = columns
        success = _window_sum(reached) / np.maximum(_window_sum(episodes), 1.0)
        return Curves(success=success, gold=gold, labelled=labelled)


def _window_sum(values: np.ndarray) -> np.ndarray:
    """Sums over the last `WINDOW` columns, `[seeds, updates]`."""
    total = np.cumsum(values, axis=1)
    total[:, WINDOW:] -= total[:, :-WINDOW].copy()
    return total
