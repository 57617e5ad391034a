"""Two parts of a task's problems, one for training and one that training never sees."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxrl_envs.language.task import Prompts, TokenTask
from jaxrl_rewards.core import InputError

PARTS = ("train", "test")
TRIES = 512
"""Problems that are drawn at most until one lies in the part that is wanted."""
SHARE = 5
"""One problem in so many is of the test part."""


def in_test_part(tokens: Int[Array, "P"], length: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether a prompt is of the test part, by a hash of its tokens: one prompt in five is."""
    used = jnp.arange(tokens.shape[0]) < length

    def mix(state: Array, token: Array) -> tuple[Array, None]:
        state = (state ^ token) * jnp.uint32(16777619)
        return state ^ (state >> jnp.uint32(15)), None

    words = jnp.where(used, tokens + 1, 0).astype(jnp.uint32)
    state, _ = jax.lax.scan(mix, jnp.uint32(2166136261), words)
    return state % jnp.uint32(SHARE) == 0


def prompt_of_part(
    task: TokenTask, key: jax.Array, level: Int[Array, ""], part: str | None
) -> Prompts:
    """A random problem of "train" or "test"; of all problems when None.

    The first of up to 512 draws that lies in the part; a level of so few problems that none does
    gives the last draw.
    """
    if part is None:
        return task.prompt_of(key, level)
    if part not in PARTS:
        raise InputError(f"part {part!r} is unknown; choose one of {PARTS}, or None for all")

    def draw(index: Array) -> Prompts:
        return task.prompt_of(jax.random.fold_in(key, index), level)

    def missed(carry: tuple[Array, Prompts]) -> Array:
        index, prompt = carry
        fits = in_test_part(prompt.tokens, prompt.length) == (part == "test")
        return (index < TRIES) & ~fits

    def again(carry: tuple[Array, Prompts]) -> tuple[Array, Prompts]:
        return carry[0] + 1, draw(carry[0])

    zero = jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(missed, again, (zero + 1, draw(zero)))[1]


def has_parts(task: TokenTask) -> bool:
    """Whether a task has more than one problem."""
    return task.prompt_size > 1
