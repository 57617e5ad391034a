"""Token vocabularies of the language worlds, and reading text into tokens and back.

Every token is one printed character, so that a sequence is read as text:

    TEXT.encode("47+85=")            # int32 [6]
    TEXT.decode(tokens)              # "7+5+0=12;4+8+1=13;132$"
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxrl_rewards.core import InputError

PAD, END, BEGIN, SEPARATOR = "_", "$", "^", ";"
"""Padding, end of an answer, start of a sequence without a prompt, end of a step."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Characters by token id; hashable."""

    symbols: str

    def __post_init__(self):
        if len(set(self.symbols)) != len(self.symbols):
            raise InputError(f"the symbols {self.symbols!r} of a vocabulary must differ")
        missing = [symbol for symbol in (PAD, END, BEGIN) if symbol not in self.symbols]
        if missing:
            raise InputError(f"a vocabulary needs the symbol {missing[0]!r}, got {self.symbols!r}")

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self.symbols)

    @property
    def pad(self) -> int:
        """Id of the padding."""
        return self.symbols.index(PAD)

    @property
    def end(self) -> int:
        """Id of the token that ends an answer."""
        return self.symbols.index(END)

    @property
    def begin(self) -> int:
        """Id of the token that starts a sequence without a prompt."""
        return self.symbols.index(BEGIN)

    @property
    def separator(self) -> int:
        """Id of the token that ends a step; -1 where the vocabulary has none."""
        return self.symbols.find(SEPARATOR)

    def id(self, symbol: str) -> int:
        """Id of one character; InputError where the vocabulary lacks it."""
        if len(symbol) != 1 or symbol not in self.symbols:
            raise InputError(f"{symbol!r} is no token; the tokens are {self.symbols!r}")
        return self.symbols.index(symbol)

    def encode(self, text: str) -> np.ndarray:
        """Token ids of a text, int32 `[len(text)]`; InputError for a character that is no token."""
        return np.asarray([self.id(symbol) for symbol in text], np.int32)

    def decode(self, tokens: Iterable[int] | Array) -> str:
        """The text of tokens `[T]`, up to the first end, which is shown as "$"; padding is left
        out. InputError for an id outside the vocabulary."""
        text = []
        for token in np.asarray(tokens).tolist():
            if not 0 <= token < self.size:
                raise InputError(f"token {token} lies outside the vocabulary's {self.size} ids")
            if token != self.pad:
                text.append(self.symbols[token])
            if token == self.end:
                break
        return "".join(text)


DIGITS, LETTERS = "0123456789", "abcdefghijklmnopqrstuvwxyz"
TEXT = Vocabulary(PAD + END + BEGIN + SEPARATOR + DIGITS + "+-*/=%()<>:,?|.!" + LETTERS)
"""The shared vocabulary of the worlds that are written out: 56 tokens."""
ZERO = TEXT.id("0")
VALUES = TEXT.encode(DIGITS + LETTERS[:6])
"""Tokens of the values 0 to 15."""


def letters(count: int) -> Vocabulary:
    """`count` letters, then "$", "^" and "_": a vocabulary whose words mean nothing."""
    if not 1 <= count <= len(LETTERS):
        raise InputError(f"a vocabulary has 1 to {len(LETTERS)} letters, got {count}")
    return Vocabulary(LETTERS[:count] + END + BEGIN + PAD)


def pack(
    tokens: Int[Array, "N"], keep: Bool[Array, "N"], size: int, pad: int
) -> tuple[Int[Array, "size"], Int[Array, ""]]:
    """The kept tokens in order, then padding; `(tokens int32 [size], number kept)`.

    Tokens beyond `size` are dropped and not counted.
    """
    place = jnp.where(keep, jnp.cumsum(keep) - 1, size)
    packed = jnp.full((size,), pad, jnp.int32).at[place].set(tokens.astype(jnp.int32), mode="drop")
    return packed, jnp.minimum(jnp.sum(keep), size).astype(jnp.int32)


def number(tokens: Int[Array, "W"]) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """`(value, whether all tokens are digits)` of the decimal number that tokens of `TEXT` spell;
    what is no digit counts as 0."""
    digit = tokens - ZERO
    good = (digit >= 0) & (digit < 10)
    weights = 10 ** np.arange(tokens.shape[0] - 1, -1, -1, dtype=np.int32)
    value = jnp.sum(jnp.where(good, digit, 0) * weights, dtype=jnp.int32)
    return value, jnp.all(good)


def spell(value: Int[Array, ""], width: int) -> Int[Array, "width"]:
    """Tokens of `TEXT` that spell `value` in `width` digits."""
    return ZERO + (value // 10 ** np.arange(width - 1, -1, -1, dtype=np.int32)) % 10


def value_of(token: Int[Array, ""], limit: int) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """`(value, whether it is one)` of a token of `VALUES` below `limit`; 0 where it is none."""
    match = token == jnp.asarray(VALUES[:limit])
    return jnp.argmax(match).astype(jnp.int32), jnp.any(match)
