"""What the token worlds share: a task with prompts, solutions, a verifier and exact step labels.

An answer is read token by token (`Reader`), so that a world scores it step by step at no extra cost
and whole sequences are scored by a scan of the same function. Steps end at the separator or at the
end of the answer; where a task has no separator every token is a step.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.language.tokens import TEXT, Vocabulary
from jaxrl_rewards.core import InputError, record


@record
class Prompts:
    """Problems with their prompts; leaves `[n, ...]`, or unbatched."""

    problem: Any
    """What the verifier knows; policies never see it."""
    tokens: Int[Array, "n P"]
    """The prompt, padded on the right."""
    length: Int[Array, "n"]
    """Tokens of the prompt, at least 1."""


@record
class StepLabels:
    """The steps of an answer and whether they are right, per token; leaves `[..., T]`."""

    index: Int[Array, "... T"]
    """Number of the step that the token belongs to, from 0; -1 after the end of the answer."""
    end: Bool[Array, "... T"]
    """The token is its step's last."""
    right: Bool[Array, "... T"]
    """The token's step follows from what was written before it. False in a step without an end."""
    sound: Bool[Array, "... T"]
    """This step and all before it are right, and a right answer can still be reached."""


class Judged(NamedTuple):
    """What a task says of one finished step."""

    memory: Any
    """What the task remembers of the answer so far."""
    right: Bool[Array, ""]
    sound: Bool[Array, ""]
    correct: Bool[Array, ""]
    """Whether the answer is right if it ends here."""


@record
class Reader:
    """An answer as read so far."""

    memory: Any
    width: Int[Array, ""]
    """Tokens of the step that is being written."""
    buffer: Int[Array, "W"]
    """Those tokens; later ones of an overlong step are dropped."""
    step: Int[Array, ""]
    """Steps finished."""
    length: Int[Array, ""]
    """Tokens read."""
    stepped: Bool[Array, ""]
    """The last token finished a step; the two fields below are about that step."""
    right: Bool[Array, ""]
    sound: Bool[Array, ""]
    ended: Bool[Array, ""]
    correct: Bool[Array, ""]
    """The answer ended, and the verifier accepts it."""


class TokenTask:
    """Base of the tasks; frozen dataclasses, hashable, with static sizes.

    A task says what problems there are (`draw`, `prompt`, `solution`) and what a step is worth
    (`start`, `judge`), all for one problem; `prompts`, `solutions`, `score` and `steps` are those
    functions for whole batches, jitted.
    """

    name: ClassVar[str]
    vocabulary: Vocabulary = TEXT
    token_steps: ClassVar[bool] = False
    """Every token is a step."""
    full_length: ClassVar[bool] = False
    """An answer of `answer_size` tokens has ended, with or without the end token."""
    step_size: int
    """Tokens of the longest right step."""
    max_level: int

    @property
    def prompt_size(self) -> int:
        """Tokens of the longest prompt."""
        raise NotImplementedError

    @property
    def answer_size(self) -> int:
        """Tokens that an answer may have, its end included."""
        raise NotImplementedError

    def draw(self, key: jax.Array, level: Int[Array, ""]) -> Any:
        """A random problem of a difficulty from 1 to `max_level`."""
        raise NotImplementedError

    def prompt(self, problem: Any) -> tuple[Int[Array, "P"], Int[Array, ""]]:
        """`(tokens, length)` of the prompt, padded on the right."""
        raise NotImplementedError

    def solution(self, problem: Any) -> Int[Array, "T"]:
        """A right answer with right steps, padded on the right."""
        raise NotImplementedError

    def start(self, problem: Any) -> Any:
        """What is remembered before the first step."""
        raise NotImplementedError

    def judge(self, problem: Any, reader: Reader, last: Bool[Array, ""]) -> Judged:
        """Judge the step in `reader.buffer`; `last` where the answer ends with it."""
        raise NotImplementedError

    # --- one answer, token by token -------------------------------------------------------------

    def open(self, problem: Any) -> Reader:
        """A reader at the start of an answer."""
        zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        buffer = jnp.full((self.step_size,), self.vocabulary.pad, jnp.int32)
        return Reader(
            memory=self.start(problem), width=zero, buffer=buffer, step=zero, length=zero,
            stepped=no, right=no, sound=no, ended=no, correct=no,
        )  # fmt: skip

    def read(self, problem: Any, reader: Reader, token: Int[Array, ""]) -> Reader:
        """Read one more token; an answer that has ended stays as it is, but for `stepped`."""
        words = self.vocabulary
        last = token == words.end
        if self.full_length:
            last = last | (reader.length + 1 >= self.answer_size)
        closes = last | (token == words.separator) | self.token_steps
        written = jnp.ones((), bool) if self.token_steps else ~closes
        buffer = reader.buffer.at[jnp.where(written, reader.width, self.step_size)].set(
            token.astype(jnp.int32), mode="drop"
        )
        reader_now = reader.replace(buffer=buffer, width=reader.width + written.astype(jnp.int32))
        judged = self.judge(problem, reader_now, last)
        fresh = reader_now.replace(
            memory=_where(closes, judged.memory, reader.memory),
            width=jnp.where(closes, 0, reader_now.width),
            buffer=jnp.where(closes, words.pad, buffer),
            step=reader.step + jnp.asarray(closes, jnp.int32),
            length=reader.length + 1,
            stepped=jnp.asarray(closes, bool),
            right=closes & judged.right,
            sound=closes & judged.sound,
            ended=last,
            correct=last & judged.correct,
        )
        no = jnp.zeros((), bool)
        return _where(reader.ended, reader.replace(stepped=no, right=no, sound=no), fresh)

    # --- whole batches --------------------------------------------------------------------------

    def prompt_of(self, key: jax.Array, level: Int[Array, ""]) -> Prompts:
        """One random problem with its prompt."""
        problem = self.draw(key, jnp.clip(level, 1, self.max_level).astype(jnp.int32))
        tokens, length = self.prompt(problem)
        return Prompts(problem=problem, tokens=tokens, length=length)

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def prompts(
        self, key: jax.Array, count: int, level: int | Int[Array, "..."] | None = None
    ) -> Prompts:
        """`count` random problems; `level` is one for all or one each, clipped to 1 ... max_level;
        the highest when None."""
        level = self.max_level if level is None else level
        levels = jnp.broadcast_to(jnp.asarray(level, jnp.int32), (count,))
        return jax.vmap(self.prompt_of)(jax.random.split(key, count), levels)

    @functools.partial(jax.jit, static_argnums=0)
    def solutions(self, prompts: Prompts) -> Int[Array, "n T"]:
        """A right answer to each prompt, for a warm start."""
        return jax.vmap(self.solution)(prompts.problem)

    @functools.partial(jax.jit, static_argnums=0)
    def score(self, prompts: Prompts, answers: Int[Array, "n T"]) -> Float[Array, "n"]:
        """The verifier: 1 for a right answer, else 0; whatever follows the end is ignored.

        Answers shorter than `answer_size` may be given; without an end they score 0 (unless the
        task's answers are always of full length).
        """
        reader, _ = self._read_all(prompts.problem, answers)
        return reader.correct.astype(jnp.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def steps(self, prompts: Prompts, answers: Int[Array, "n T"]) -> StepLabels:
        """The steps of answers and whether they are right, exactly. For scoring process rewards."""
        _, labels = self._read_all(prompts.problem, answers)
        return labels

    def _read_all(self, problems: Any, answers: Int[Array, "n T"]) -> tuple[Reader, StepLabels]:
        if answers.shape[-1] > self.answer_size:
            raise InputError(
                f"{self.name}: answers have {answers.shape[-1]} tokens, at most "
                f"{self.answer_size} are read; cut them"
            )
        return jax.vmap(self._read_one)(problems, answers)

    def _read_one(self, problem: Any, answer: Int[Array, "T"]) -> tuple[Reader, StepLabels]:
        def body(reader: Reader, token: Array) -> tuple[Reader, tuple]:
            nxt = self.read(problem, reader, token)
            index = jnp.where(reader.ended, -1, reader.step)
            return nxt, (index, nxt.stepped, nxt.right, nxt.sound)

        reader, (index, end, right, sound) = jax.lax.scan(body, self.open(problem), answer)
        inside, count = index >= 0, answer.shape[0]

        def whole_step(flag: Array) -> Array:
            """The flag at a step's end for all of its tokens."""
            slot = jnp.where(inside, index, count)
            found = jax.ops.segment_max(flag.astype(jnp.int32), slot, count + 1)[slot]
            return inside & (found > 0)

        return reader, StepLabels(
            index=index, end=end, right=whole_step(right), sound=whole_step(sound)
        )


def _where(condition: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)


def check_level(task: TokenTask, most: int) -> None:
    """InputError unless `task.max_level` lies between 1 and `most`."""
    if not 1 <= task.max_level <= most:
        raise InputError(
            f"{task.name}: max_level must lie between 1 and {most}, got {task.max_level}"
        )
