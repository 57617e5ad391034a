"""Exploration-guided reward shaping: a bonus for rare states and a learnt intrinsic reward.

Devidze, Kamalaruban, Singla, NeurIPS 2022. Nothing but visited states, actions and task rewards
is read, so any simulator with numbered (or binned) states will do.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.reward_design.explicable.tabular_learning import (
    Sampler,
    discounted_returns,
    play,
    push,
    reinforce_from_sums,
    softmax_policy,
    sums_by_pair,
)


def exploration_bonus(
    counts: Float[Array, "S"],
    scale: Float[Array, ""] | float,
    largest: Float[Array, ""] | float,
    terminal: Bool[Array, "S"],
) -> Float[Array, "S"]:
    """`B(s) = λ / sqrt((λ / B_max)² + N(s))`, 0 in terminal states; B_max where N = 0.

    `scale` λ and `largest` B_max are positive; with λ = 0 or B_max = 0 there is no bonus.
    """
    none = (jnp.asarray(scale) <= 0) | (jnp.asarray(largest) <= 0)
    safe = jnp.where(none, 1.0, largest)
    root = jnp.sqrt((jnp.where(none, 1.0, scale) / safe) ** 2 + counts)
    return jnp.where(terminal | none, 0.0, scale / root)


def selfrs_update(
    states: Int[Array, "N"],
    actions: Int[Array, "N"],
    returns: Float[Array, "N"],
    mask: Bool[Array, "N"],
    policies: Float[Array, "N A"],
    phi: Float[Array, "S A"],
    values: Float[Array, "S"],
    rate: Float[Array, ""] | float,
    value_rate: Float[Array, ""] | float,
    clip: float | None = None,
) -> tuple[Float[Array, "S A"], Float[Array, "S"]]:
    """`(φ, V)` after one step of self-supervised reward shaping on a batch of steps.

    With `w = π(a|s)(Ḡ − V(s))` per step: `φ(s, a) += η w` and `φ(s, ·) −= η w π(·|s)`, summed, with
    the old V; then `V(s) += η_V Σ (Ḡ − V(s)) / #steps`. `returns` are the task's discounted
    returns, `policies` the action probabilities in the state when the step was taken. `clip`
    limits |φ|.
    """
    residual = jnp.where(mask, returns - values[states], 0.0)
    chance = jnp.take_along_axis(policies, actions[:, None], axis=1)[:, 0]
    weight = chance * residual
    gain = jnp.zeros_like(phi).at[states, actions].add(weight)
    gain = gain.at[states].add(-weight[:, None] * policies)
    change = jnp.zeros_like(values).at[states].add(residual)
    return _apply(phi, values, gain, change, jnp.sum(mask), rate, value_rate, clip)


@record
class ShapingSettings:
    """Numbers of an exploration-guided run; all sweepable."""

    discount: Float[Array, ""]
    bonus_scale: Float[Array, ""]
    """λ; 0 switches the bonus off."""
    bonus_largest: Float[Array, ""]
    """B_max."""
    shaping_rate: Float[Array, ""]
    """η of φ; 0 switches the learnt reward off."""
    value_rate: Float[Array, ""]
    learner_rate: Float[Array, ""]


def shaping_settings(
    *,
    bonus: bool = True,
    shaping: bool = True,
    discount: float = 0.99,
    bonus_scale: float = 1.0,
    bonus_largest: float = 1.0,
    shaping_rate: float = 0.01,
    value_rate: float = 0.01,
    learner_rate: float = 0.1,
) -> ShapingSettings:
    """The published numbers, with either part switched off if wanted."""
    number = jnp.float32
    return ShapingSettings(
        discount=number(discount),
        bonus_scale=number(bonus_scale if bonus else 0.0),
        bonus_largest=number(bonus_largest),
        shaping_rate=number(shaping_rate if shaping else 0.0),
        value_rate=number(value_rate),
        learner_rate=number(learner_rate),
    )


@record
class Shaping:
    """Everything that changes in an exploration-guided run."""

    theta: Float[Array, "S A"]
    phi: Float[Array, "S A"]
    values: Float[Array, "S"]
    counts: Float[Array, "S"]
    """Departures from each state so far."""
    visits: Float[Array, "D S A"]
    """Steps per state and action of each of the last `D` episodes, newest last."""
    task_sums: Float[Array, "D S A"]
    """Sums of task returns in the same order."""
    policies: Float[Array, "D S A"]
    """The policy that played each episode."""
    learner_sums: Float[Array, "B S A"]
    """Sums of shaped returns of the last `B` episodes."""


def shaping_start(shape: tuple[int, int], teacher_batch: int, learner_batch: int) -> Shaping:
    """A uniform policy, no intrinsic reward, nothing visited."""
    zeros = lambda *size: jnp.zeros(size, jnp.float32)  # noqa: E731
    return Shaping(
        theta=zeros(*shape),
        phi=zeros(*shape),
        values=zeros(shape[0]),
        counts=zeros(shape[0]),
        visits=zeros(teacher_batch, *shape),
        task_sums=zeros(teacher_batch, *shape),
        policies=zeros(teacher_batch, *shape),
        learner_sums=zeros(learner_batch, *shape),
    )


def shaped_learning(
    key: jax.Array,
    sampler: Sampler,
    reward: Float[Array, "S A"],
    settings: ShapingSettings,
    *,
    episodes: int,
    steps: int = 40,
    learner_period: int = 2,
    learner_batch: int = 5,
    teacher_period: int = 5,
    teacher_batch: int = 10,
    every: int = 100,
) -> tuple[Float[Array, "P"], Shaping]:
    """REINFORCE on `R̄ + φ + B`; `(task return, last state)`.

    Every `learner_period` episodes the policy takes a step on the last `learner_batch`; every
    `teacher_period` episodes φ takes one on the last `teacher_batch`. The bonus reads the state
    arrived at, with the departures counted before the step. The returned curve is the mean
    discounted task return of each `every` episodes, `P = episodes // every`. InputError unless
    the periods divide the lengths.
    """
    _check_periods(episodes, every, learner_period, learner_batch, teacher_period, teacher_batch)

    def account(state: Shaping, episode, policy, number) -> tuple[Shaping, Array]:
        """Score one episode with the counts and φ of now, and let the teacher take its turn."""
        state, earned = _score(state, episode, policy, reward, settings, sampler.terminal)
        turn = number % teacher_period == teacher_period - 1
        return jax.lax.cond(turn, lambda s: _teach(s, settings), lambda s: s, state), earned

    def period(state: Shaping, inputs):
        key, numbers = inputs
        policy = softmax_policy(state.theta)
        keys = jax.random.split(key, learner_period)
        played = jax.vmap(lambda k: play(k, sampler, policy, steps))(keys)
        earned = []
        for index in range(learner_period):
            episode = jax.tree.map(lambda leaf, i=index: leaf[i], played)
            state, value = account(state, episode, policy, numbers[index])
            earned.append(value)
        theta = reinforce_from_sums(
            state.theta,
            settings.learner_rate,
            jnp.sum(state.learner_sums, axis=0),
            jnp.sum(state.visits[-learner_batch:]),
        )
        return state.replace(theta=theta), jnp.mean(jnp.stack(earned))

    def point(state, inputs):
        state, earned = jax.lax.scan(period, state, inputs)
        return state, jnp.mean(earned)

    shape_of_run = (episodes // every, every // learner_period)
    keys = jax.random.split(key, shape_of_run)
    numbers = jnp.arange(episodes, dtype=jnp.int32).reshape(*shape_of_run, learner_period)
    start = shaping_start(reward.shape, teacher_batch, learner_batch)
    state, curve = jax.lax.scan(point, start, (keys, numbers))
    return curve, state


def _check_periods(
    episodes: int,
    every: int,
    learner_period: int,
    learner_batch: int,
    teacher_period: int,
    teacher_batch: int,
) -> None:
    for name, whole, part in (("episodes", episodes, every), ("every", every, learner_period)):
        if part < 1 or whole < 1 or whole % part:
            raise InputError(f"{name}={whole} must be a positive multiple of {part}")
    if not 1 <= learner_batch <= teacher_batch or teacher_period < 1:
        raise InputError(
            f"learner_batch={learner_batch} must lie in 1 ... teacher_batch={teacher_batch}, and "
            f"teacher_period={teacher_period} be at least 1"
        )


def _score(
    state: Shaping, episode, policy, reward, settings: ShapingSettings, terminal
) -> tuple[Shaping, Array]:
    """The tables with one more episode, and its discounted task return."""
    bonus = _step_bonus(state.counts, episode, settings, terminal)
    task = reward[episode.states, episode.actions]
    shaped = task + state.phi[episode.states, episode.actions] + bonus
    rewards = jnp.stack([task, shaped])
    returns = jax.vmap(lambda r: discounted_returns(r, episode.mask, settings.discount))(rewards)
    columns = jnp.stack([episode.mask.astype(jnp.float32), *returns], axis=-1)
    tables = sums_by_pair(reward.shape, episode.states, episode.actions, columns)
    return state.replace(
        counts=state.counts + jnp.sum(tables[..., 0], axis=1),
        visits=push(state.visits, tables[..., 0]),
        task_sums=push(state.task_sums, tables[..., 1]),
        policies=push(state.policies, policy),
        learner_sums=push(state.learner_sums, tables[..., 2]),
    ), returns[0, 0]


def _step_bonus(counts, episode, settings: ShapingSettings, terminal) -> Float[Array, "T"]:
    """The bonus of every step, with the departures of the episode's earlier steps counted."""
    length = len(episode.states)
    same = (episode.following[:, None] == episode.states[None, :]) & episode.mask[None, :]
    earlier = jnp.tril(jnp.ones((length, length), bool), -1)
    seen = counts[episode.following] + jnp.sum(same & earlier, axis=1)
    ended = terminal[episode.following]
    return exploration_bonus(seen, settings.bonus_scale, settings.bonus_largest, ended)


def _teach(state: Shaping, settings: ShapingSettings) -> Shaping:
    """`selfrs_update` from sums per state and action, which are all that it reads."""
    residual = state.task_sums - state.values[:, None] * state.visits
    weight = state.policies * residual
    gain = weight - state.policies * jnp.sum(weight, axis=-1, keepdims=True)
    phi, values = _apply(
        state.phi,
        state.values,
        jnp.sum(gain, axis=0),
        jnp.sum(residual, axis=(0, 2)),
        jnp.sum(state.visits),
        settings.shaping_rate,
        settings.value_rate,
        None,
    )
    return state.replace(phi=phi, values=values)


def _apply(phi, values, gain, change, steps, rate, value_rate, clip):
    """One step of φ (a sum) and of V (a mean over steps)."""
    phi = phi + rate * gain
    if clip is not None:
        phi = jnp.clip(phi, -clip, clip)
    count = jnp.maximum(steps, 1).astype(values.dtype)
    return phi, values + value_rate * change / count
