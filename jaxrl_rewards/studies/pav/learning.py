"""REINFORCE on a table for a planted word, with the progress of a prover as a step reward."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_rewards.core import record
from jaxrl_rewards.credit.provers import progress_policy_loss
from jaxrl_rewards.learners.api import Learner, LearnerState
from jaxrl_rewards.learners.optimise import adam, guarded_step


@record
class ProgressNumbers:
    """What makes an arm."""

    prover_values: Float[Array, "H+1 k"]
    """V^μ, exact."""
    prover_action_values: Float[Array, "H k a"]
    """Q^μ, exact."""
    start: Float[Array, "k a"]
    """The base policy that learning starts from."""
    alpha: Any = 1.0
    learning_rate: Any = 0.05


class Task(NamedTuple):
    """A planted word: automaton, end token, horizon."""

    table: np.ndarray
    end: int
    horizon: int


def task_of(word_length: int, horizon: int) -> Task:
    """The world's word, cut to a length, over 14 letters and the end."""
    from jaxrl_envs.language import PlantedSequence
    from jaxrl_envs.language.planted import automaton

    world = PlantedSequence(horizon=horizon)
    end = world.vocabulary.end
    return Task(automaton(world.target[:word_length], end + 1), end, horizon)


def prover_of(task: Task, strength: float) -> tuple[Array, Array, Array]:
    """`(π, V, Q)` of the procedural prover, exact."""
    from jaxrl_envs.language.planted import exact_values, prover_policy

    size = len(task.table) - 1
    word = tuple(int(np.argmax(task.table[k] == k + 1)) for k in range(size))
    policy = prover_policy(word, task.table.shape[1], strength)
    return policy, *exact_values(policy, task.table, task.end, task.horizon)


def make_search(task: Task, batch: int, completions: int) -> Learner:
    """Policy gradient on logits `[horizon, progress, token]`.

    The prover's Q and V are Monte-Carlo estimates from `completions` rollouts each; the baselines
    are the batch's mean outcome and the exact E_{a~π} α A^μ.
    """
    optimiser = adam(1e-8)
    states = task.table.shape[0]

    def init(key: jax.Array, hparams: ProgressNumbers) -> LearnerState:
        logits = jnp.broadcast_to(jnp.log(hparams.start), (task.horizon, *hparams.start.shape))
        return LearnerState(
            params=logits,
            opt_state=optimiser.init(logits),
            skipped=jnp.zeros((), jnp.int32),
            key=key,
            step=jnp.zeros((), jnp.int32),
        )

    def play(key: jax.Array, logits: Array) -> tuple[Array, Array, Array, Array]:
        def step(carry: tuple, inputs: tuple) -> tuple[tuple, tuple]:
            state, running = carry
            here, key = inputs
            token = jax.random.categorical(key, here[state], axis=-1)
            out = (state, token, running)
            ends = (token == task.end) & (state < states - 1)
            state = jnp.where(running & ~ends, jnp.asarray(task.table)[state, token], state)
            return (state, running & ~ends), out

        start = (jnp.zeros((batch,), jnp.int32), jnp.ones((batch,), bool))
        keys = jax.random.split(key, task.horizon)
        (state, _), out = jax.lax.scan(step, start, (logits, keys))
        return *(jnp.moveaxis(leaf, 0, 1) for leaf in out), state == states - 1

    def estimate(key: jax.Array, chance: Array) -> Array:
        hits = jax.random.uniform(key, (completions, *chance.shape)) < chance
        return jnp.mean(hits.astype(jnp.float32), axis=0)

    def update(state: LearnerState, hparams: ProgressNumbers) -> tuple[LearnerState, dict]:
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
        place, token, running, success = play(keys[0], state.params)
        time = jnp.arange(task.horizon)
        exact_q = hparams.prover_action_values[time, place, token]
        exact_v = hparams.prover_values[time, place]
        gain = estimate(keys[1], exact_q) - estimate(keys[2], exact_v)
        outcome = success.astype(jnp.float32)
        policy = jax.nn.softmax(state.params)
        expected = jnp.sum(policy * hparams.prover_action_values, axis=-1)
        usual = expected[time, place] - exact_v
        baseline = jnp.mean(outcome) + hparams.alpha * usual

        def loss(logits: Array) -> Array:
            log_prob = jax.nn.log_softmax(logits)[time, place, token]
            mask = running.astype(jnp.float32)
            return progress_policy_loss(log_prob, outcome, gain, mask, hparams.alpha, baseline)

        grads = jax.grad(loss)(state.params)
        done = guarded_step(
            optimiser, state.params, state.opt_state, grads, hparams.learning_rate, jnp.inf
        )
        return state.replace(params=done.params, opt_state=done.opt_state, step=state.step + 1), {}

    return Learner(init, update, batch, None)


def success_of(task: Task, logits: Float[Array, "H k a"]) -> Float[Array, ""]:
    """The policy's chance of success, exactly."""
    from jaxrl_envs.language.planted import exact_values

    return exact_values(jax.nn.softmax(logits), task.table, task.end, task.horizon)[0][0, 0]
