"""Training policies with many candidate rewards at once, under one compile."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_rewards.core import Env, record
from jaxrl_rewards.core.compiling import jit_program
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.learners.api import Learner
from jaxrl_rewards.reward_design.programs.reward import SUCCESS, ProgramReward
from jaxrl_rewards.reward_design.programs.slots import Slots
from jaxrl_rewards.reward_design.programs.tape import Tape


@record
class Runs:
    """What trainings showed; NumPy leaves with a leading axis of runs."""

    fitness: Float[np.ndarray, "P"]
    """Success of the trained policy in fresh episodes, in [0, 1]; NaN if training broke."""
    success: Float[np.ndarray, "P U"]
    """Per update, successful share of the episodes that ended (0 where none did)."""
    reward: Float[np.ndarray, "P U"]
    """Per update, mean total reward of a step."""
    terms: Float[np.ndarray, "P U T"]
    """Per update, mean of each term."""


class CandidateTrainer:
    """Trains one policy per (program, key) in batches of `width`, all with one compiled function.

    `learner` is PPO on `env`; its hyper-parameters' `env_params.reward` is replaced by each
    program. `measure` and `success` are those of `ProgramReward`. `updates` is the budget of a
    training; afterwards the policy plays one episode in each of `episodes` fresh worlds, actions
    sampled, and the share of successes is its fitness.

    Curriculum: with `easier = (params, updates)`, the first `updates` of the budget are spent in
    the world with those params (its reward is the candidate's too), the rest, with the policy so
    far, in the learner's own.
    """

    def __init__(
        self,
        env: Env,
        learner: Learner,
        *,
        measure: Callable[..., Any],
        success: Callable[..., Any],
        updates: int,
        episodes: int = 64,
        width: int = 64,
        easier: tuple[Any, int] | None = None,
    ):
        for name, value in (("updates", updates), ("episodes", episodes), ("width", width)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        if easier is not None and not 0 <= easier[1] <= updates:
            raise InputError(f"the easier world takes {easier[1]} updates of {updates}")
        self.env, self.learner, self.width, self.easier = env, learner, width, easier
        self.updates, self.episodes = updates, episodes
        self.measure, self.success = measure, success
        self.compilations = 0
        self.trained = 0
        self._batch = jit_program(jax.vmap(self._train))

    def train(
        self, programs: Tape | Slots, keys: Array, *, success_weight: float | np.ndarray = 0.0
    ) -> Runs:
        """Train every program (leading axis P) with its key `[P]`; any P >= 1, one compile.

        `success_weight` (a number or `[P]`) pays the success itself: baselines only. The last
        batch is filled up with repetitions, whose results are dropped.
        """
        count = keys.shape[0]
        weights = np.broadcast_to(np.asarray(success_weight, np.float32), (count,))
        parts = []
        for start in range(0, count, self.width):
            index = np.minimum(np.arange(start, start + self.width), count - 1)
            batch = jax.tree.map(lambda leaf, index=index: np.asarray(leaf)[index], programs)
            parts.append(jax.device_get(self._batch(batch, keys[index], weights[index])))
        self.trained += count
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)

    def _train(self, program: Tape | Slots, key: Array, success_weight: Array) -> Runs:
        self.compilations += 1  # counts traces: runs once per compile
        reward = ProgramReward(
            program=program,
            success_weight=success_weight,
            measure=self.measure,
            success=self.success,
        )
        own = self.learner.hparams.env_params.replace(reward=reward)

        def hparams_at(number: Array | int) -> Any:
            params = own
            if self.easier is not None:
                first = number < self.easier[1]
                easier = self.easier[0].replace(reward=reward)
                params = jax.tree.map(lambda a, b: jnp.where(first, a, b), easier, own)
            return self.learner.hparams.replace(env_params=params)

        key_init, key_play = jax.random.split(key)
        state = self.learner.init(key_init, hparams_at(0))

        def update(carry, number):
            state, before = carry
            state, metrics = self.learner.update(state, hparams_at(number))
            ended = metrics["episodes"] - before
            successes = metrics[f"term/{SUCCESS}"] * self.learner.samples_per_update
            terms = [metrics[f"term/{name}"] for name in reward.names[:-1]]
            out = (successes / jnp.maximum(ended, 1.0), metrics["reward"], jnp.stack(terms))
            return (state, metrics["episodes"]), out

        (state, _), (share, total, terms) = jax.lax.scan(
            update, (state, jnp.zeros(())), jnp.arange(self.updates)
        )
        broken = (state.skipped > 0) | ~jnp.all(jnp.isfinite(share))
        fitness = jnp.where(broken, jnp.nan, self._play(state, own, key_play))
        return Runs(fitness=fitness, success=share, reward=total, terms=terms)

    def _play(self, state: Any, env_params: Any, key: Array) -> Float[Array, ""]:
        """Share of fresh episodes with a success, actions sampled."""
        env, act = self.env, self.learner.act
        key_reset, key_act, key_step = jax.random.split(key, 3)
        step = jax.vmap(env.step, in_axes=(0, 0, 0, None))
        keys = jax.random.split(key_reset, self.episodes)
        worlds, timestep = jax.vmap(env.reset, in_axes=(0, None))(keys, env_params)

        def body(carry, keys):
            worlds, obs, running, achieved = carry
            action, _ = act(state, obs, None, keys[0], deterministic=False)
            worlds, nxt = step(keys[1], worlds, action, env_params)
            achieved = achieved | (running & (nxt.terms[SUCCESS] > 0))
            return (worlds, nxt.obs, running & ~nxt.done, achieved), None

        limit = env.spec.max_steps
        keys = (
            jax.random.split(key_act, limit),
            jax.random.split(key_step, (limit, self.episodes)),
        )
        none = jnp.zeros((self.episodes,), bool)
        carry = (worlds, timestep.obs, ~none, none)
        (*_, achieved), _ = jax.lax.scan(body, carry, keys)
        return jnp.mean(achieved.astype(jnp.float32))


def repeat_programs(programs: Tape | Slots, times: int) -> Tape | Slots:
    """`[P, ...]` to `[P·times, ...]`: every program `times` in a row, for as many seeds."""
    return jax.tree.map(functools.partial(np.repeat, repeats=times, axis=0), programs)
