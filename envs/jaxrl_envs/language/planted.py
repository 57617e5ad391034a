"""A sequence of tokens that must be hit upon, and exact values of policies that search for it.

The didactic task of Setlur et al. 2024 (arXiv 2410.08146).
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.language.task import Judged, Reader, TokenTask
from jaxrl_envs.language.tokens import Vocabulary, letters, pack
from jaxrl_rewards.core import InputError, record


def automaton(target: tuple[int, ...], vocabulary: int) -> np.ndarray:
    """`next[k, a]`, int32 `[len(target) + 1, vocabulary]`: k is the length of the longest prefix of
    the target that ends the sequence so far (Knuth, Morris and Pratt 1977); the last is kept."""
    size = len(target)
    table = np.zeros((size + 1, vocabulary), np.int32)
    for state in range(size):
        for token in range(vocabulary):
            read = (*target[:state], token)
            table[state, token] = next(
                k for k in range(state + 1, -1, -1) if read[len(read) - k :] == target[:k]
            )
    table[size] = size
    return table


def prover_policy(
    target: tuple[int, ...], vocabulary: int, strength: Float[Array, ""]
) -> Float[Array, "k a"]:
    """π(a | k) of the procedural prover: weight `strength` on the next token of the target, 1 on
    every other; uniform once the target was found. Float32 `[len(target) + 1, vocabulary]`."""
    size = len(target)
    weights = jnp.ones((size + 1, vocabulary), jnp.float32)
    weights = weights.at[np.arange(size), np.asarray(target)].set(strength)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def exact_values(
    policy: Float[Array, "*h k a"], table: Int[Array, "k a"], end: int, horizon: int
) -> tuple[Float[Array, "H+1 k"], Float[Array, "H k a"]]:
    """`(V[h, k], Q[h, k, a])`: chance of success after `h` tokens with progress `k`, exactly.

    `policy` is π(a | k) `[k, a]`, or π(a | h, k) `[H, k, a]`. Success is kept; the token `end` ends
    the sequence. Differentiable in the policy.
    """
    states = policy.shape[-2]
    done = jnp.arange(states) == states - 1
    policy = jnp.broadcast_to(policy, (horizon, *policy.shape[-2:]))
    ends = jnp.arange(policy.shape[-1]) == end

    def step(value: Array, chance: Array) -> tuple[Array, tuple]:
        action_value = jnp.where(ends[None, :], 0.0, value[table])
        action_value = jnp.where(done[:, None], 1.0, action_value)
        value = jnp.sum(chance * action_value, axis=1)
        return value, (value, action_value)

    last = done.astype(policy.dtype)
    _, (values, action_values) = jax.lax.scan(step, last, policy, reverse=True)
    return jnp.concatenate([values, last[None]]), action_values


def visits(
    policy: Float[Array, "H k a"], table: Int[Array, "k a"], end: int
) -> Float[Array, "H k"]:
    """Chance of writing token `h` with progress `k`, exactly."""
    states, tokens = table.shape
    done = np.arange(states) == states - 1
    goes_on = (np.arange(tokens) != end)[None, :] | done[:, None]
    move = np.eye(states)[np.asarray(table)] * goes_on[..., None]

    def step(chance: Array, here: Array) -> tuple[Array, Array]:
        return jnp.einsum("k,ka,kaj->j", chance, here, move.astype(here.dtype)), chance

    start = jnp.zeros((states,), policy.dtype).at[0].set(1.0)
    return jax.lax.scan(step, start, policy)[1]


@record
class Hidden:
    """How much of the target counts."""

    level: Int[Array, ""]


@record
class Progress:
    """The automaton's state."""

    state: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class PlantedSequence(TokenTask):
    """Write the planted word somewhere within `horizon` letters: `acg` is in `bbacgd$`.

    Nothing is prompted. The level is how many of the word's first letters must follow each other.
    Every token is a step: right if it brings the word forward (or the word was found), sound if it
    can still be completed in time. Ending before success fails.
    """

    word: str = "ifdahkc"
    vocabulary: Vocabulary = letters(14)
    horizon: int = 10
    name: ClassVar[str] = "planted-sequence"
    token_steps: ClassVar[bool] = True
    full_length: ClassVar[bool] = True
    step_size: ClassVar[int] = 1
    prompt_size: ClassVar[int] = 1

    def __post_init__(self):
        if not 1 <= len(self.word) <= self.horizon:
            raise InputError(
                f"the word {self.word!r} must have 1 to horizon={self.horizon} letters"
            )
        if {"$", "^", "_"} & set(self.word):
            raise InputError(f"the word {self.word!r} must consist of letters")
        self.vocabulary.encode(self.word)

    @property
    def max_level(self) -> int:
        """The highest level."""
        return len(self.word)

    @property
    def answer_size(self) -> int:
        """Tokens that an answer may have."""
        return self.horizon

    @property
    def target(self) -> tuple[int, ...]:
        """The word's tokens."""
        return tuple(self.vocabulary.encode(self.word).tolist())

    def draw(self, key: jax.Array, level: Int[Array, ""]) -> Hidden:
        """A random problem."""
        return Hidden(level=level)

    def prompt(self, problem: Hidden) -> tuple[Int[Array, "P"], Int[Array, ""]]:
        """The prompt's tokens and their number."""
        return jnp.full((1,), self.vocabulary.begin, jnp.int32), jnp.ones((), jnp.int32)

    def solution(self, problem: Hidden) -> Int[Array, "T"]:
        """A right answer with right steps."""
        words = self.vocabulary
        tokens = jnp.asarray([*self.target, words.end], jnp.int32)
        place = jnp.arange(tokens.shape[0])
        keep = (place < problem.level) | (place == len(self.target))
        return pack(tokens, keep, self.answer_size, words.pad)[0]

    def start(self, problem: Hidden) -> Progress:
        """Before the first step."""
        return Progress(state=jnp.zeros((), jnp.int32))

    def judge(self, problem: Hidden, reader: Reader, last: Bool[Array, ""]) -> Judged:
        """Judge a finished step."""
        words, state = self.vocabulary, reader.memory.state
        token = reader.buffer[0]
        table = jnp.asarray(automaton(self.target, words.size))
        known = (token >= 0) & (token < words.size)
        moved = jnp.where(known, table[state, jnp.clip(token, 0, words.size - 1)], 0)
        found = state >= problem.level
        state = jnp.where(found, state, moved)
        correct = state >= problem.level
        right = found | (moved == reader.memory.state + 1)
        left = self.horizon - reader.length - 1
        sound = correct | (~last & (left >= problem.level - state))
        return Judged(Progress(state=state), right, right & sound, correct)
