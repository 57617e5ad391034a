"""Addition of numbers with many digits, carries written out column by column."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxrl_envs.language.task import Judged, Reader, TokenTask, check_level
from jaxrl_envs.language.tokens import TEXT, ZERO, number, pack, spell
from jaxrl_rewards.core import record

COLUMN = 9
"""Tokens of a written column with its separator, `7+5+0=12;`."""


@record
class Sum:
    """Two numbers; digits with the least significant first."""

    first: Int[Array, "D"]
    second: Int[Array, "D"]
    level: Int[Array, ""]
    """Digits in use."""
    digits: Int[Array, "D+1"]
    """Digits of the true sum."""


@record
class Columns:
    """The columns as written so far."""

    carry: Int[Array, ""]
    digits: Int[Array, "D+1"]
    sound: Bool[Array, ""]


@dataclasses.dataclass(frozen=True)
class Arithmetic(TokenTask):
    """`347+085=` is answered by `7+5+0=12;4+8+1=13;3+0+1=04;0432$`.

    Each step adds one column and the carry written before it, from the right, in two digits; the
    last step is the sum, one digit wider than the numbers. The level is the number of digits. A
    column is right if it follows from the carry as written; the last step is right if it repeats
    the digits as written. The verifier reads the last step alone.
    """

    max_level: int = 3
    name: ClassVar[str] = "arithmetic"

    def __post_init__(self):
        check_level(self, 9)

    @property
    def step_size(self) -> int:
        """Tokens of the longest right step."""
        return max(COLUMN - 1, self.max_level + 1)

    @property
    def prompt_size(self) -> int:
        """Tokens of the longest prompt."""
        return 2 * self.max_level + 2

    @property
    def answer_size(self) -> int:
        """Tokens that an answer may have."""
        return COLUMN * self.max_level + self.max_level + 2

    def draw(self, key: jax.Array, level: Int[Array, ""]) -> Sum:
        """A random problem."""
        used = jnp.arange(self.max_level) < level
        digits = jnp.where(used, jax.random.randint(key, (2, self.max_level), 0, 10, jnp.int32), 0)

        def column(carry: Array, pair: Array) -> tuple[Array, Array]:
            total = pair[0] + pair[1] + carry
            return total // 10, total % 10

        carry, total = jax.lax.scan(column, jnp.zeros((), jnp.int32), digits.T)
        return Sum(
            first=digits[0],
            second=digits[1],
            level=level,
            digits=jnp.append(total, carry),
        )

    def prompt(self, problem: Sum) -> tuple[Int[Array, "P"], Int[Array, ""]]:
        """The prompt's tokens and their number."""
        used = jnp.arange(self.max_level)[::-1] < problem.level
        one = jnp.ones((1,), bool)
        tokens = jnp.concatenate(
            [
                ZERO + problem.first[::-1],
                TEXT.encode("+"),
                ZERO + problem.second[::-1],
                TEXT.encode("="),
            ]
        )
        keep = jnp.concatenate([used, one, used, one])
        return pack(tokens, keep, self.prompt_size, TEXT.pad)

    def solution(self, problem: Sum) -> Int[Array, "T"]:
        """A right answer with right steps."""
        pairs = jnp.stack([problem.first, problem.second], axis=1)
        carries = _carries(pairs)
        written = jax.vmap(_column)(pairs, carries)
        separators = jnp.full((self.max_level, 1), TEXT.separator)
        used = jnp.arange(self.max_level) < problem.level
        columns = jnp.concatenate([written, separators], axis=1)
        total = jnp.arange(self.max_level + 1)[::-1] <= problem.level
        tokens = jnp.concatenate(
            [columns.reshape(-1), ZERO + problem.digits[::-1], TEXT.encode("$")]
        )
        keep = jnp.concatenate([jnp.repeat(used, COLUMN), total, jnp.ones((1,), bool)])
        return pack(tokens, keep, self.answer_size, TEXT.pad)[0]

    def start(self, problem: Sum) -> Columns:
        """Before the first step."""
        return Columns(
            carry=jnp.zeros((), jnp.int32),
            digits=jnp.zeros((self.max_level + 1,), jnp.int32),
            sound=jnp.ones((), bool),
        )

    def judge(self, problem: Sum, reader: Reader, last: Bool[Array, ""]) -> Judged:
        """Judge a finished step."""
        memory, level = reader.memory, problem.level
        place = jnp.minimum(reader.step, self.max_level - 1)
        pair = jnp.stack([problem.first[place], problem.second[place]])
        expected = _column(pair, memory.carry)
        in_column = (reader.width == COLUMN - 1) & (reader.step < level) & ~last
        column_right = in_column & jnp.all(reader.buffer[: COLUMN - 1] == expected)
        tens, _ = number(reader.buffer[6:7])
        ones, _ = number(reader.buffer[7:8])
        digits = memory.digits.at[jnp.where(in_column, place, self.max_level + 1)].set(
            ones, mode="drop"
        )
        carry = jnp.where(in_column, tens, memory.carry)
        repeated = memory.digits.at[level].set(memory.carry)
        correct = self._spells(reader, problem.digits, level)
        finished = reader.step == level
        final_right = jnp.where(finished, self._spells(reader, repeated, level), correct)
        right = jnp.where(last, final_right, column_right)
        sound = memory.sound & right & (~last | correct)
        return Judged(Columns(carry=carry, digits=digits, sound=sound), right, sound, correct)

    def _spells(self, reader: Reader, digits: Array, level: Array) -> Bool[Array, ""]:
        """Whether the step spells `digits[level] ... digits[0]` and nothing else."""
        size = self.max_level + 1
        place = level - jnp.arange(size)
        expected = ZERO + digits[jnp.maximum(place, 0)]
        same = (reader.buffer[:size] == expected) | (place < 0)
        return (reader.width == level + 1) & jnp.all(same)


def _column(pair: Int[Array, "2"], carry: Int[Array, ""]) -> Int[Array, "8"]:
    """Tokens of a column: `7+5+0=12`."""
    plus, equals = TEXT.id("+"), TEXT.id("=")
    total = spell(pair[0] + pair[1] + carry, 2)
    return jnp.stack(
        [ZERO + pair[0], plus, ZERO + pair[1], plus, ZERO + carry, equals, total[0], total[1]]
    ).astype(jnp.int32)


def _carries(pairs: Int[Array, "D 2"]) -> Int[Array, "D"]:
    """The carry into every column."""

    def column(carry: Array, pair: Array) -> tuple[Array, Array]:
        return (pair[0] + pair[1] + carry) // 10, carry

    return jax.lax.scan(column, jnp.zeros((), jnp.int32), pairs)[1]
