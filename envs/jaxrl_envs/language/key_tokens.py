"""Sequences in which a few hidden positions decide."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxrl_envs.language.task import Judged, Reader, TokenTask
from jaxrl_envs.language.tokens import Vocabulary, letters
from jaxrl_rewards.core import InputError, record


@record
class Keys:
    """How many of the key positions count."""

    level: Int[Array, ""]


@record
class SoFar:
    """Whether all keys so far are right."""

    sound: Bool[Array, ""]


@dataclasses.dataclass(frozen=True)
class KeyTokens(TokenTask):
    """`length` letters, of which those at hidden positions must be the hidden right ones.

    Nothing is prompted; positions and letters are drawn once, with `hidden`. The level is how many
    key positions count, the first ones. Every token is a step: wrong where it is a wrong key, right
    everywhere else. Answers have full length; the token that ends answers ends too soon.
    """

    length: int = 20
    num_keys: int = 6
    vocabulary: Vocabulary = letters(8)
    hidden: int = 0
    """Number of the hidden positions and letters, a seed."""
    name: ClassVar[str] = "key-tokens"
    token_steps: ClassVar[bool] = True
    full_length: ClassVar[bool] = True
    step_size: ClassVar[int] = 1
    prompt_size: ClassVar[int] = 1

    def __post_init__(self):
        if not 1 <= self.num_keys <= self.length:
            raise InputError(f"num_keys must be 1 to length={self.length}, got {self.num_keys}")

    @property
    def max_level(self) -> int:
        """The highest level."""
        return self.num_keys

    @property
    def answer_size(self) -> int:
        """Tokens that an answer may have."""
        return self.length

    @property
    def keys(self) -> np.ndarray:
        """The right token of every position, int32 `[length]`; -1 where any will do."""
        random = np.random.default_rng(self.hidden)
        keys = np.full(self.length, -1, np.int32)
        places = random.choice(self.length, self.num_keys, replace=False)
        keys[places] = random.integers(0, self.vocabulary.end, self.num_keys)
        return keys

    def draw(self, key: jax.Array, level: Int[Array, ""]) -> Keys:
        """A random problem."""
        return Keys(level=level)

    def prompt(self, problem: Keys) -> tuple[Int[Array, "P"], Int[Array, ""]]:
        """The prompt's tokens and their number."""
        return jnp.full((1,), self.vocabulary.begin, jnp.int32), jnp.ones((), jnp.int32)

    def solution(self, problem: Keys) -> Int[Array, "T"]:
        """A right answer with right steps."""
        return jnp.asarray(np.maximum(self.keys, 0))

    def start(self, problem: Keys) -> SoFar:
        """Before the first step."""
        return SoFar(sound=jnp.ones((), bool))

    def judge(self, problem: Keys, reader: Reader, last: Bool[Array, ""]) -> Judged:
        """Judge a finished step."""
        keys, place = self.keys, jnp.minimum(reader.length, self.length - 1)
        counts = (np.cumsum(keys >= 0) <= problem.level) & (keys >= 0)
        right = ~counts[place] | (reader.buffer[0] == jnp.asarray(keys)[place])
        right = right & (last == (reader.length + 1 >= self.length))
        sound = reader.memory.sound & right
        return Judged(SoFar(sound=sound), right, sound, sound & last)
