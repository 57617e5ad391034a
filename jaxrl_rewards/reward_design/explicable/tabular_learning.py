"""Tabular learners as pure functions: Q-learning and REINFORCE, lifted by `vmap` over everything.

Rewards are arguments, so seeds and rewards are two axes of one compiled program.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.core.tabular import TabularModel


@record
class Sampler:
    """A tabular model prepared for drawing: only the states that can follow are kept."""

    successors: Int[Array, "S A K"]
    cumulative: Float[Array, "S A K"]
    """Cumulative probability of the successors; the last is 1."""
    start: Int[Array, "C"]
    start_cumulative: Float[Array, "C"]
    terminal: Bool[Array, "S"]


def make_sampler(model: TabularModel) -> Sampler:
    """Tables for drawing from a model; float32."""
    width = int(np.max(np.sum(model.transition > 0, axis=-1)))
    order = np.argsort(-model.transition, axis=-1, kind="stable")[..., :width]
    chances = np.cumsum(np.take_along_axis(model.transition, order, axis=-1), axis=-1)
    start = np.flatnonzero(model.start > 0)
    return Sampler(
        successors=jnp.asarray(order, jnp.int32),
        cumulative=jnp.asarray(chances / chances[..., -1:], jnp.float32),
        start=jnp.asarray(start, jnp.int32),
        start_cumulative=jnp.asarray(np.cumsum(model.start[start]), jnp.float32),
        terminal=jnp.asarray(model.terminal),
    )


def draw(cumulative: Float[Array, "K"], unit: Float[Array, ""]) -> Int[Array, ""]:
    """Index of the interval of `cumulative` that a uniform number in [0, 1) falls into."""
    return jnp.sum(unit >= cumulative[:-1]).astype(jnp.int32)


def draw_start(sampler: Sampler, unit: Float[Array, ""]) -> Int[Array, ""]:
    """A first state."""
    return sampler.start[draw(sampler.start_cumulative, unit)]


def draw_next(
    sampler: Sampler, state: Int[Array, ""], action: Int[Array, ""], unit: Float[Array, ""]
) -> Int[Array, ""]:
    """The state after `action` in `state`."""
    return sampler.successors[state, action, draw(sampler.cumulative[state, action], unit)]


@record
class Episode:
    """One episode of at most `T` steps; entries after its end are masked out."""

    states: Int[Array, "T"]
    actions: Int[Array, "T"]
    following: Int[Array, "T"]
    """The state after each step."""
    mask: Bool[Array, "T"]


def softmax_policy(theta: Float[Array, "S A"]) -> Float[Array, "S A"]:
    """`π(a|s)` in proportion to `exp θ(s, a)`."""
    return jax.nn.softmax(theta, axis=-1)


def play(key: jax.Array, sampler: Sampler, policy: Float[Array, "S A"], steps: int) -> Episode:
    """One episode of a policy, cut after `steps` steps."""
    units = jax.random.uniform(key, (steps + 1, 2), dtype=jnp.float32)
    cumulative = jnp.cumsum(policy, axis=-1)
    cumulative = cumulative / cumulative[:, -1:]

    def step(carry, unit):
        state, over = carry
        action = draw(cumulative[state], unit[0])
        following = draw_next(sampler, state, action, unit[1])
        out = Episode(states=state, actions=action, following=following, mask=~over)
        return (following, over | sampler.terminal[following]), out

    first = draw_start(sampler, units[0, 0])
    _, episode = jax.lax.scan(step, (first, sampler.terminal[first]), units[1:])
    return episode


def discounted_returns(
    reward: Float[Array, "T"], mask: Bool[Array, "T"], discount: Float[Array, ""] | float
) -> Float[Array, "T"]:
    """`G_t = Σ_k γ^k r_{t+k}` over the steps of the mask, which ends the episode; 0 after it."""

    def step(following, now):
        total = now + discount * following
        return total, total

    seen = jnp.where(mask, reward, 0.0)
    _, returns = jax.lax.scan(step, jnp.zeros((), seen.dtype), seen, reverse=True)
    return jnp.where(mask, returns, 0.0)


def sums_by_pair(
    shape: tuple[int, int],
    states: Int[Array, "N"],
    actions: Int[Array, "N"],
    values: Float[Array, "N C"],
) -> Float[Array, "S A C"]:
    """Sum of the values that fall on each state and action."""
    flat = jnp.zeros((shape[0] * shape[1], values.shape[-1]), values.dtype)
    return flat.at[states * shape[1] + actions].add(values).reshape(*shape, -1)


def reinforce_tabular_update(
    theta: Float[Array, "S A"],
    rate: Float[Array, ""] | float,
    states: Int[Array, "N"],
    actions: Int[Array, "N"],
    returns: Float[Array, "N"],
    mask: Bool[Array, "N"],
) -> Float[Array, "S A"]:
    """`θ ← θ + η Σ G (1_a − π(·|s)) / #steps` over the steps of a batch of episodes.

    Steps outside the mask do not count; without any step θ stays. Returns carry no `γ^t` weight.
    Devidze et al., NeurIPS 2022, appendix.
    """
    weighted = jnp.where(mask, returns, 0.0)[:, None]
    sums = sums_by_pair(theta.shape, states, actions, weighted)[..., 0]
    return reinforce_from_sums(theta, rate, sums, jnp.sum(mask))


def reinforce_from_sums(
    theta: Float[Array, "S A"],
    rate: Float[Array, ""] | float,
    sums: Float[Array, "S A"],
    steps: Int[Array, ""],
) -> Float[Array, "S A"]:
    """The same from the sum of returns per state and action, which is all that it reads."""
    gradient = sums - softmax_policy(theta) * jnp.sum(sums, axis=-1, keepdims=True)
    return theta + rate * gradient / jnp.maximum(steps, 1).astype(theta.dtype)


@record
class ReinforceState:
    """A REINFORCE learner between two updates."""

    theta: Float[Array, "S A"]
    sums: Float[Array, "B S A"]
    """Sum of returns per state and action of each of the last `B` episodes, newest last."""
    steps: Int[Array, "B"]
    """Their lengths; 0 for episodes not yet played."""


def reinforce_start(shape: tuple[int, int], batch: int) -> ReinforceState:
    """A uniform policy without experience."""
    return ReinforceState(
        theta=jnp.zeros(shape, jnp.float32),
        sums=jnp.zeros((batch, *shape), jnp.float32),
        steps=jnp.zeros((batch,), jnp.int32),
    )


def push(buffer: Array, newest: Array) -> Array:
    """The buffer without its oldest row, the newest row last."""
    return jnp.concatenate([buffer[1:], newest[None]])


def reinforce_chunk(
    key: jax.Array,
    state: ReinforceState,
    sampler: Sampler,
    reward: Float[Array, "S A"],
    discount: Float[Array, ""] | float,
    rate: Float[Array, ""] | float,
    *,
    updates: int,
    episodes: int = 2,
    steps: int = 30,
) -> ReinforceState:
    """`updates` times: play `episodes` episodes, then one update on the last `B` episodes.

    The learner sees `reward`, whatever the task's own reward is.
    """

    def update(state, key):
        policy = softmax_policy(state.theta)
        keys = jax.random.split(key, episodes)
        played = jax.vmap(lambda k: play(k, sampler, policy, steps))(keys)
        sums, lengths = state.sums, state.steps
        for index in range(episodes):
            episode = jax.tree.map(lambda leaf, i=index: leaf[i], played)
            earned = reward[episode.states, episode.actions]
            returns = discounted_returns(earned, episode.mask, discount)
            table = sums_by_pair(reward.shape, episode.states, episode.actions, returns[:, None])
            sums = push(sums, table[..., 0])
            lengths = push(lengths, jnp.sum(episode.mask).astype(jnp.int32))
        theta = reinforce_from_sums(state.theta, rate, jnp.sum(sums, axis=0), jnp.sum(lengths))
        return ReinforceState(theta=theta, sums=sums, steps=lengths), None

    return jax.lax.scan(update, state, jax.random.split(key, updates))[0]


def greedy_actions(q_values: Float[Array, "S A"]) -> Bool[Array, "S A"]:
    """Which actions have the highest value; several where they tie."""
    return q_values >= jnp.max(q_values, axis=-1, keepdims=True)


def greedy_policy(greedy: np.ndarray, ties: str = "first") -> np.ndarray:
    """Policies of greedy actions `[..., S, A]`, float64: the first of several, or all evenly."""
    greedy = np.asarray(greedy, bool)
    if ties == "first":
        return np.eye(greedy.shape[-1])[np.argmax(greedy, axis=-1)]
    return greedy / np.sum(greedy, axis=-1, keepdims=True)


def q_learning(
    key: jax.Array,
    sampler: Sampler,
    reward: Float[Array, "S A"],
    discount: Float[Array, ""] | float,
    *,
    rate: Float[Array, ""] | float = 0.5,
    exploration: Float[Array, ""] | float = 0.1,
    episodes: int,
    steps: int = 50,
    every: int = 10,
    ties: str = "first",
) -> Bool[Array, "P S A"]:
    """Greedy actions after every `every` episodes of ε-greedy Q-learning from Q = 0.

    `P = episodes // every`. Of several best actions the learner takes the first or, with `ties`
    "random", any: that alone makes it explore far more, since all start at 0. An episode that is
    cut after `steps` steps still bootstraps; one that reaches a terminal state does not.
    InputError unless `every` divides `episodes`, or for other `ties`. Watkins 1989.
    """
    if ties not in ("first", "random"):
        raise InputError(f"ties {ties!r} is unknown; choose first or random")
    if episodes < 1 or every < 1 or episodes % every:
        raise InputError(f"episodes={episodes} must be a positive multiple of every={every}")
    reward = jnp.asarray(reward)
    shape = reward.shape

    def episode(q_values, key):
        key_start, key_units, key_ties = jax.random.split(key, 3)
        units = jax.random.uniform(key_units, (steps, 3), dtype=jnp.float32)
        noise = jax.random.uniform(key_ties, (steps, shape[1]), dtype=jnp.float32)
        noise = noise if ties == "random" else jnp.zeros_like(noise)
        first = draw_start(sampler, jax.random.uniform(key_start, (), dtype=jnp.float32))

        def step(carry, drawn):
            q_values, state, over = carry
            unit, tie = drawn
            row = q_values[state]
            best = jnp.argmax(jnp.where(row >= jnp.max(row), 1.0 + tie, 0.0))
            any_action = jnp.minimum((unit[1] * shape[1]).astype(jnp.int32), shape[1] - 1)
            action = jnp.where(unit[0] < exploration, any_action, best.astype(jnp.int32))
            following = draw_next(sampler, state, action, unit[2])
            ended = sampler.terminal[following]
            beyond = jnp.where(ended, 0.0, jnp.max(q_values[following]))
            error = reward[state, action] + discount * beyond - row[action]
            change = jnp.where(over, 0.0, rate * error)
            q_values = q_values.at[state, action].add(change)
            return (q_values, following, over | ended), None

        start = (q_values, first, sampler.terminal[first])
        return jax.lax.scan(step, start, (units, noise))[0][0], None

    def point(q_values, keys):
        q_values, _ = jax.lax.scan(episode, q_values, keys)
        return q_values, greedy_actions(q_values)

    keys = jax.random.split(key, (episodes // every, every))
    return jax.lax.scan(point, jnp.zeros(shape, jnp.float32), keys)[1]
