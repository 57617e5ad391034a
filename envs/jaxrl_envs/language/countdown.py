"""A game like Countdown: reach a number from given ones, each used exactly once."""

from __future__ import annotations

import dataclasses
import itertools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxrl_envs.language.task import Judged, Reader, TokenTask, check_level
from jaxrl_envs.language.tokens import TEXT, number, pack, spell
from jaxrl_rewards.core import record

LARGEST = 99
"""Numbers have two digits."""
HIGHEST = 25
"""Of the numbers given."""
EQUATION = 9
"""Tokens of a written step with its separator, `03*05=15;`."""
PLUS, MINUS, TIMES = 0, 1, 2
SIGNS = TEXT.encode("+-*")


@record
class Numbers:
    """Numbers, a target, and one way to it."""

    numbers: Int[Array, "N"]
    count: Int[Array, ""]
    """Numbers in use."""
    target: Int[Array, ""]
    steps: Int[Array, "K 4"]
    """The way found by the generator: `a, sign, b, result` of each step."""


@record
class Pool:
    """Numbers that may still be used."""

    values: Int[Array, "N"]
    there: Bool[Array, "N"]
    sound: Bool[Array, ""]
    legal: Bool[Array, ""]
    """Every step so far was legal."""


@dataclasses.dataclass(frozen=True)
class Countdown(TokenTask):
    """`03,05,07>22=` is answered by `03*05=15;15+07=22$`.

    A step takes two of the numbers that are there and puts their sum, product or (not negative)
    difference in their place, at most 99. The level is the number of steps. A step is right if it
    is legal and the answer ends when one number is left, no sooner or later; it is sound if the
    target can still be reached, which is found by trying everything. The verifier asks for legal
    steps that leave the target alone.
    """

    max_level: int = 3
    name: ClassVar[str] = "countdown"
    step_size: ClassVar[int] = EQUATION - 1

    def __post_init__(self):
        check_level(self, 3)

    @property
    def prompt_size(self) -> int:
        """Tokens of the longest prompt."""
        return 3 * self.max_level + 6

    @property
    def answer_size(self) -> int:
        """Tokens that an answer may have."""
        return EQUATION * self.max_level

    def draw(self, key: jax.Array, level: Int[Array, ""]) -> Numbers:
        """A random problem."""
        size = self.max_level + 1
        key_numbers, key_steps = jax.random.split(key)
        numbers = jax.random.randint(key_numbers, (size,), 1, HIGHEST + 1, jnp.int32)
        there = jnp.arange(size) <= level

        def step(pool: tuple, key: jax.Array) -> tuple[tuple, Array]:
            values, there = pool
            key_pair, key_sign = jax.random.split(key)
            order = jnp.argsort(jnp.where(there, jax.random.uniform(key_pair, (size,)), 2.0))
            i, j = order[0], order[1]
            more = jnp.sum(there) > 1
            sign = jax.random.randint(key_sign, (), 0, 3, jnp.int32)
            a, b, sign, result = _combined(values[i], values[j], sign)
            after = values.at[i].set(result), there.at[j].set(False)
            after = jax.tree.map(lambda new, old: jnp.where(more, new, old), after, pool)
            return after, jnp.stack([a, sign, b, result])

        keys = jax.random.split(key_steps, self.max_level)
        (values, left), steps = jax.lax.scan(step, (numbers, there), keys)
        target = jnp.sum(jnp.where(left, values, 0), dtype=jnp.int32)
        return Numbers(
            numbers=jnp.where(there, numbers, 0),
            count=level + 1,
            target=target,
            steps=steps.astype(jnp.int32),
        )

    def prompt(self, problem: Numbers) -> tuple[Int[Array, "P"], Int[Array, ""]]:
        """The prompt's tokens and their number."""
        used = jnp.arange(self.max_level + 1) < problem.count
        size = self.max_level + 1
        marks = jnp.where(jnp.arange(size) == problem.count - 1, TEXT.id(">"), TEXT.id(","))
        spelt = jax.vmap(lambda value: spell(value, 2))(problem.numbers)
        numbers = jnp.concatenate([spelt, marks[:, None]], axis=1).reshape(-1)
        tokens = jnp.concatenate([numbers, spell(problem.target, 2), TEXT.encode("=")])
        keep = jnp.concatenate([jnp.repeat(used, 3), jnp.ones((3,), bool)])
        return pack(tokens, keep, self.prompt_size, TEXT.pad)

    def solution(self, problem: Numbers) -> Int[Array, "T"]:
        """A right answer with right steps."""
        place = jnp.arange(self.max_level)
        level = problem.count - 1
        marks = jnp.where(place == level - 1, TEXT.end, TEXT.separator)

        def written(step: Array, mark: Array) -> Array:
            a, sign, b, result = step
            sign, equals = jnp.asarray(SIGNS)[sign], TEXT.encode("=")
            parts = [spell(a, 2), sign[None], spell(b, 2), equals, spell(result, 2), mark[None]]
            return jnp.concatenate(parts)

        tokens = jax.vmap(written)(problem.steps, marks).reshape(-1)
        return pack(tokens, jnp.repeat(place < level, EQUATION), self.answer_size, TEXT.pad)[0]

    def start(self, problem: Numbers) -> Pool:
        """Before the first step."""
        yes = jnp.ones((), bool)
        there = jnp.arange(self.max_level + 1) < problem.count
        return Pool(values=problem.numbers, there=there, sound=yes, legal=yes)

    def judge(self, problem: Numbers, reader: Reader, last: Bool[Array, ""]) -> Judged:
        """Judge a finished step."""
        memory, size = reader.memory, self.max_level + 1
        a, b, result, spelt = _equation(reader)
        first = memory.there & (memory.values == a)
        i = jnp.argmax(first)
        second = memory.there & (memory.values == b) & (jnp.arange(size) != i)
        j = jnp.argmax(second)
        legal = spelt & jnp.any(first) & jnp.any(second)
        values = jnp.where(legal, memory.values.at[i].set(result), memory.values)
        there = jnp.where(legal, memory.there.at[j].set(False), memory.there)
        alone = jnp.sum(there) == 1
        right = legal & (last == alone)
        sound = memory.sound & right & self.reachable(values, there, problem.target)
        so_far = memory.legal & legal
        correct = so_far & alone & (result == problem.target)
        memory = Pool(values=values, there=there, sound=sound, legal=so_far)
        return Judged(memory, right, sound, correct)

    def reachable(
        self, values: Int[Array, "N"], there: Bool[Array, "N"], target: Int[Array, ""]
    ) -> Bool[Array, ""]:
        """Whether legal steps on at most `max_level` numbers can leave `target` alone."""
        pool, pools = (values[None], there[None]), []
        pools.append(pool)
        for _ in range(self.max_level - 1):
            pool = _all_steps(*pool)
            pools.append(pool)
        found = [
            jnp.any((jnp.sum(t, axis=1) == 1) & (jnp.sum(jnp.where(t, v, 0), axis=1) == target))
            for v, t in pools
        ]
        return jnp.any(jnp.stack(found))


def _equation(reader: Reader) -> tuple[Array, Array, Array, Bool[Array, ""]]:
    """`(a, b, result, good)` of the written step; good where it is spelt well and true."""
    tokens = reader.buffer
    (a, a_good), (b, b_good) = number(tokens[:2]), number(tokens[3:5])
    result, result_good = number(tokens[6:8])
    true = jnp.stack([a + b, a - b, a * b])
    match = tokens[2] == jnp.asarray(SIGNS)
    good = a_good & b_good & result_good & jnp.any(match) & (tokens[5] == TEXT.id("="))
    good = good & (reader.width == EQUATION - 1) & (jnp.sum(jnp.where(match, true, 0)) == result)
    return a, b, result, good


def _combined(a: Array, b: Array, sign: Array) -> tuple[Array, Array, Array, Array]:
    """`(a, b, sign, result)` in an order and with a sign that keep to 0 ... 99."""
    high, low = jnp.maximum(a, b), jnp.minimum(a, b)
    results = jnp.stack([a + b, high - low, a * b])
    sign = jnp.where((sign == TIMES) & (results[TIMES] > LARGEST), PLUS, sign)
    sign = jnp.where(results[sign] > LARGEST, MINUS, sign)
    swapped = sign == MINUS
    return jnp.where(swapped, high, a), jnp.where(swapped, low, b), sign, results[sign]


def _all_steps(values: Int[Array, "M N"], there: Bool[Array, "M N"]) -> tuple[Array, Array]:
    """Every pool that one legal step leads to; what is not legal leads to an empty pool."""
    pairs = np.asarray(list(itertools.combinations(range(values.shape[1]), 2)))
    i, j = pairs[:, 0], pairs[:, 1]
    a, b = values[:, i], values[:, j]
    both = there[:, i] & there[:, j]
    results = jnp.stack([a + b, jnp.abs(a - b), a * b], axis=-1)
    legal = both[..., None] & (results <= LARGEST)
    size = values.shape[1]
    at_i, at_j = np.eye(size, dtype=bool)[i], np.eye(size, dtype=bool)[j]
    new = jnp.where(at_i[None, :, None], results[..., None], values[:, None, None])
    left = (there[:, None, None] & ~at_j[None, :, None]) & legal[..., None]
    return new.reshape(-1, size), left.reshape(-1, size)
