"""Chains of operations modulo a prime, with every partial result written."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxrl_envs.language.task import Judged, Reader, TokenTask, check_level
from jaxrl_envs.language.tokens import TEXT, VALUES, pack, value_of
from jaxrl_rewards.core import InputError, record

FIRST_OPERATION = "g"
"""Letter of the first operation: those before it spell values from ten on."""


@record
class Chain:
    """Where to start, and what to do."""

    start: Int[Array, ""]
    operations: Int[Array, "K"]
    values: Int[Array, "K"]
    """The true partial results."""
    level: Int[Array, ""]
    """Operations in use."""


@record
class Written:
    """The chain as written so far."""

    value: Int[Array, ""]
    sound: Bool[Array, ""]


@dataclasses.dataclass(frozen=True)
class ModularChain(TokenTask):
    """`7gkh=` is answered by `3;a;5$`: y_k = m[o_k] y_{k−1} + c[o_k] modulo a prime.

    Operations are letters from "g" on; what they do (`table`) is drawn once, with `tables`, and has
    to be learnt. Values from ten on are the letters "a", "b", ... The level is the number of
    operations. A step is right if it follows from the value written before it, and the answer ends
    with the last operation, no sooner or later. The verifier reads the last value alone: wrong
    steps can cancel.
    """

    max_level: int = 6
    modulus: int = 11
    num_operations: int = 8
    tables: int = 0
    """Number of the operations' table, a seed."""
    name: ClassVar[str] = "modular-chain"

    def __post_init__(self):
        check_level(self, 32)
        if self.modulus not in (2, 3, 5, 7, 11, 13):
            raise InputError(f"modulus must be a prime from 2 to 13, got {self.modulus}")
        if not 1 <= self.num_operations <= 20:
            raise InputError(f"num_operations must be 1 to 20, got {self.num_operations}")

    step_size: ClassVar[int] = 1

    @property
    def prompt_size(self) -> int:
        """Tokens of the longest prompt."""
        return self.max_level + 2

    @property
    def answer_size(self) -> int:
        """Tokens that an answer may have."""
        return 2 * self.max_level

    @property
    def table(self) -> np.ndarray:
        """`table[o, y]`: what operation `o` makes of `y`, int32 `[num_operations, modulus]`."""
        random = np.random.default_rng(self.tables)
        factor = random.integers(1, self.modulus, (self.num_operations, 1))
        shift = random.integers(0, self.modulus, (self.num_operations, 1))
        return ((factor * np.arange(self.modulus) + shift) % self.modulus).astype(np.int32)

    def draw(self, key: jax.Array, level: Int[Array, ""]) -> Chain:
        """A random problem."""
        key_start, key_operations = jax.random.split(key)
        start = jax.random.randint(key_start, (), 0, self.modulus, jnp.int32)
        operations = jax.random.randint(
            key_operations, (self.max_level,), 0, self.num_operations, jnp.int32
        )
        table = jnp.asarray(self.table)

        def step(value: Array, operation: Array) -> tuple[Array, Array]:
            value = table[operation, value]
            return value, value

        values = jax.lax.scan(step, start, operations)[1]
        return Chain(start=start, operations=operations, values=values, level=level)

    def prompt(self, problem: Chain) -> tuple[Int[Array, "P"], Int[Array, ""]]:
        """The prompt's tokens and their number."""
        used = jnp.arange(self.max_level) < problem.level
        first = TEXT.id(FIRST_OPERATION)
        start = jnp.asarray(VALUES)[problem.start]
        tokens = jnp.concatenate([start[None], first + problem.operations, TEXT.encode("=")])
        one = jnp.ones((1,), bool)
        return pack(tokens, jnp.concatenate([one, used, one]), self.prompt_size, TEXT.pad)

    def solution(self, problem: Chain) -> Int[Array, "T"]:
        """A right answer with right steps."""
        place = jnp.arange(self.max_level)
        marks = jnp.where(place == problem.level - 1, TEXT.end, TEXT.separator)
        tokens = jnp.stack([jnp.asarray(VALUES)[problem.values], marks], axis=1).reshape(-1)
        return pack(tokens, jnp.repeat(place < problem.level, 2), self.answer_size, TEXT.pad)[0]

    def start(self, problem: Chain) -> Written:
        """Before the first step."""
        return Written(value=problem.start, sound=jnp.ones((), bool))

    def judge(self, problem: Chain, reader: Reader, last: Bool[Array, ""]) -> Judged:
        """Judge a finished step."""
        memory = reader.memory
        value, known = value_of(reader.buffer[0], self.modulus)
        known = known & (reader.width == 1)
        place = jnp.minimum(reader.step, self.max_level - 1)
        follows = jnp.asarray(self.table)[problem.operations[place], memory.value]
        in_time = last == (reader.step == problem.level - 1)
        right = known & (reader.step < problem.level) & in_time & (value == follows)
        sound = memory.sound & right
        correct = known & (value == problem.values[problem.level - 1])
        memory = Written(value=jnp.where(known, value, memory.value), sound=sound)
        return Judged(memory, right, sound, correct)
