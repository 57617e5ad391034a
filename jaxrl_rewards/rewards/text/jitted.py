"""Text rewards inside compiled programs: on the bytes of an answer, on tokens, on lengths.

Bytes are int32 `[T]`, UTF-8, with -1 for padding anywhere; `bytes_of_tokens` makes them of tokens
by a table. All functions take one answer and are lifted by `vmap`; they are the twins of the host
functions in this package: on the same input the values agree to rounding.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.rewards.spatial import (
    gaussian_coverage_reward_safe,
    gaussian_point_reward,
)
from jaxrl_rewards.rewards.text.tags import BLANKS

PADDING = -1


def encode_text(text: str, length: int) -> Int[np.ndarray, "T"]:
    """The UTF-8 bytes of a text, int32 `[length]`, padded with -1; ValueError for a longer one."""
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    if len(data) > length:
        raise ValueError(f"the text has {len(data)} bytes; give a length of at least that")
    return np.pad(data.astype(np.int32), (0, length - len(data)), constant_values=PADDING)


def token_table(tokens: list[str | bytes]) -> Int[np.ndarray, "V W"]:
    """The bytes of each token of a vocabulary, padded with -1, for `bytes_of_tokens`."""
    rows = [token.encode() if isinstance(token, str) else token for token in tokens]
    table = np.full((len(rows), max(map(len, rows), default=0) or 1), PADDING, np.int32)
    for row, data in zip(table, rows, strict=True):
        row[: len(data)] = np.frombuffer(data, np.uint8)
    return table


def bytes_of_tokens(
    tokens: Int[Array, "T"], table: Int[Array, "V W"], mask: Bool[Array, "T"]
) -> Int[Array, "T*W"]:
    """The bytes of the tokens of the mask, each with the padding of its row in the table."""
    known = mask & (tokens >= 0) & (tokens < table.shape[0])
    spelled = table[jnp.where(known, tokens, 0)]
    return jnp.where(known[:, None], spelled, PADDING).reshape(-1)


def close_gaps(text: Int[Array, "T"]) -> Int[Array, "T"]:
    """The bytes in their order with all padding at the end."""
    gone = text < 0
    return jnp.where(gone, PADDING, text)[jnp.argsort(gone, stable=True)]


# ---------------------------------------------------------------- numbers


@record
class WrittenNumber:
    """A number by its digits, so that numbers of any length compare exactly."""

    found: Bool[Array, ""]
    negative: Bool[Array, ""]
    whole: Int[Array, "D"]
    """Digits before the point without leading zeros, from the last, then -1."""
    decimals: Int[Array, "D"]
    """Digits behind the point without zeros at the end, from the first, then -1."""
    fits: Bool[Array, ""]
    """Neither part has more than D digits."""


def read_number(text: Int[Array, "T"], marker: str = "####", digits: int = 24) -> WrittenNumber:
    """The first number after the last `marker`, or the last of the text where there is none.

    The twin of `find_number`: digits with thousands in threes, decimals, a minus that is no hyphen.
    """
    text = close_gaps(text)
    begin, marked = _after_last(text, marker)
    starts, first_digit, ends, point = _spans(text)
    place = jnp.arange(text.shape[0])
    begins = starts & (first_digit >= begin)
    first = jnp.argmax(begins)
    last = text.shape[0] - 1 - jnp.argmax(starts[::-1])
    # After a marker, digits that go on from before it do not occur: the marker lies between.
    start = jnp.where(marked, first, last)
    found = jnp.where(marked, jnp.any(begins), jnp.any(starts))
    inside = (place >= start) & (place < ends[start]) & _is_digit(text)
    cut = point[start]
    whole = _digits(text, inside & ((cut < 0) | (place < cut)), digits, backwards=True)
    decimals = _digits(text, inside & (cut >= 0) & (place > cut), digits, backwards=False)
    before = jnp.where(start > 0, text[start - 1], PADDING)
    earlier = jnp.where(start > 1, text[start - 2], PADDING)
    # After the marker the text before it is not looked at, as on the host.
    earlier = jnp.where(marked & (start - 2 < begin), PADDING, earlier)
    minus = (before == ord("-")) & ~_is_word(earlier) & (~marked | (start - 1 >= begin))
    some = (whole[0][0] >= 0) | (decimals[0][0] >= 0)
    return WrittenNumber(
        found=found,
        negative=minus & found & some,
        whole=whole[0],
        decimals=decimals[0],
        fits=whole[1] & decimals[1],
    )


def _is_digit(text: Array) -> Array:
    return (text >= ord("0")) & (text <= ord("9"))


def _is_word(text: Array) -> Array:
    """Bytes after which a minus is a hyphen: letters, digits, `_` and `)`."""
    low = text | 32
    letter = (low >= ord("a")) & (low <= ord("z")) & (text >= 65) & (text < 128)
    return letter | _is_digit(text) | (text == ord("_")) | (text == ord(")"))


def _shift(values: Array, by: int) -> Array:
    """`values[i + by]`, 0 or False where that is outside."""
    moved = jnp.roll(values, -by, axis=0)
    place = jnp.arange(values.shape[0]) + by
    return jnp.where((place >= 0) & (place < values.shape[0]), moved, jnp.zeros_like(values))


def _spans(text: Int[Array, "T"]) -> tuple[Array, Array, Array, Array]:
    """Where numbers start `[T]`, and for those places their end and decimal point (-1: none)."""
    digit = _is_digit(text)
    three = _shift(digit, 1) & _shift(digit, 2) & _shift(digit, 3) & ~_shift(digit, 4)
    comma = (text == ord(",")) & three
    dot = (text == ord(".")) & _shift(digit, 1)
    bare = dot & ~_shift(digit | (text == ord(".")), -1)  # of `.5`

    def step(carry, inputs):
        """`mode`: 0 outside, 1 in the whole part, 2 in the decimals."""
        mode, start, point = carry
        place, is_digit, is_comma, is_dot, is_bare = inputs
        opens = is_bare & (mode == 0)
        begins = (is_digit & (mode == 0)) | opens
        start = jnp.where(begins, place, start)
        point = jnp.where(begins, -1, point)
        point = jnp.where(((mode == 1) & is_dot) | opens, place, point)
        joins = ((mode == 1) & (is_comma | is_dot)) | opens
        after = jnp.where(is_dot, 2, mode)
        mode = jnp.where(is_digit, jnp.maximum(mode, 1), jnp.where(joins, after, 0))
        return (mode, start, point), (begins, mode > 0, start, point)

    place = jnp.arange(text.shape[0])
    _, (begins, inside, start, point) = jax.lax.scan(
        step, (jnp.int32(0), jnp.int32(0), jnp.int32(-1)), (place, digit, comma, dot, bare)
    )
    # A number goes on as long as its start is the same one.
    ends = jax.ops.segment_max(jnp.where(inside, place + 1, 0), start, text.shape[0])
    points = jax.ops.segment_max(jnp.where(inside, point, -1), start, text.shape[0])
    return begins, place, ends, points


def _digits(
    text: Int[Array, "T"], keep: Bool[Array, "T"], count: int, *, backwards: bool
) -> tuple[Int[Array, "D"], Bool[Array, ""]]:
    """The kept digits from one end without the zeros at the other, and whether they all fit."""
    if backwards:
        text, keep = text[::-1], keep[::-1]
    valued = keep & (text > ord("0"))
    last = text.shape[0] - 1 - jnp.argmax(valued[::-1])
    keep = keep & jnp.any(valued) & (jnp.arange(text.shape[0]) <= last)
    rank = jnp.cumsum(keep) - 1
    slot = jnp.where(keep, rank, count)
    digits = jnp.full(count, PADDING, jnp.int32).at[slot].set(text - ord("0"), mode="drop")
    return digits, jnp.sum(keep) <= count


def _occurrences(text: Int[Array, "T"], word: str) -> Bool[Array, "T"]:
    """Where a word begins."""
    found = jnp.ones(text.shape[0], bool)
    for offset, byte in enumerate(word.encode()):
        found &= _shift(text == byte, offset)
    return found


def _after_last(text: Int[Array, "T"], marker: str) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """The place behind the last marker, and whether there is one."""
    if not marker:
        return jnp.int32(0), jnp.bool_(False)
    found = _occurrences(text, marker)
    last = text.shape[0] - 1 - jnp.argmax(found[::-1])
    marked = jnp.any(found)
    return jnp.where(marked, last + len(marker.encode()), 0).astype(jnp.int32), marked


def number_reward(
    text: Int[Array, "T"],
    target: Int[Array, "U"],
    marker: str = "####",
    correct: Float[Array, ""] | float = 1.0,
    wrong: Float[Array, ""] | float = 0.0,
    digits: int = 24,
) -> Float[Array, ""]:
    """`correct` where the answer's number equals the target's, else `wrong`; NaN without a target.

    The twin of `NumberReward`. Numbers with more than `digits` digits before or behind the point
    equal nothing.
    """
    answer, gold = read_number(text, marker, digits), read_number(target, marker, digits)
    equal = answer.found & answer.fits & gold.fits & (answer.negative == gold.negative)
    equal &= jnp.all(answer.whole == gold.whole) & jnp.all(answer.decimals == gold.decimals)
    return jnp.where(gold.found, jnp.where(equal, correct, wrong), jnp.nan).astype(jnp.float32)


# ---------------------------------------------------------------- form, repetition, length, boxes


def tags_reward(
    text: Int[Array, "T"], tags: tuple[str, ...] = ("think", "answer")
) -> Float[Array, ""]:
    """1 where the tags stand once each, in order, with nothing but blanks outside, else 0.

    The twin of `TagsReward` without `partial`.
    """
    text = close_gaps(text)
    place = jnp.arange(text.shape[0])
    blank = jnp.isin(text, jnp.asarray([*BLANKS.encode(), PADDING]))
    good, at, outside = jnp.bool_(True), jnp.int32(0), jnp.ones(text.shape[0], bool)
    for tag in tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        opens, closes = _occurrences(text, opening), _occurrences(text, closing)
        start, end = jnp.argmax(opens), jnp.argmax(closes)
        good &= (jnp.sum(opens) == 1) & (jnp.sum(closes) == 1)
        good &= (start >= at) & (end >= start + len(opening.encode()))
        at = end + len(closing.encode())
        outside &= (place < start) | (place >= at)
    return (good & jnp.all(blank | ~outside)).astype(jnp.float32)


def repetition_reward(
    tokens: Int[Array, "T"],
    mask: Bool[Array, "T"],
    n: int = 3,
    penalty: Float[Array, ""] | float = -1.0,
) -> Float[Array, ""]:
    """`penalty * (1 - distinct n-grams / n-grams)` over the tokens of the mask; 0 where none fits.

    The twin of `RepetitionReward` with `unit="tokens"`. Exact: n-grams are sorted, not hashed;
    O(n T log T).
    """
    length = jnp.sum(mask)
    tokens = tokens[jnp.argsort(~mask, stable=True)]
    count = jnp.maximum(length - n + 1, 0)
    valid = jnp.arange(tokens.shape[0]) < count
    grams = [_shift(tokens, offset) for offset in range(n)]
    order = jnp.lexsort([*grams, ~valid])  # those that count come first
    same = jnp.ones(tokens.shape[0] - 1, bool)
    for gram in grams:
        ordered = gram[order]
        same &= ordered[1:] == ordered[:-1]
    repeated = jnp.sum(same & valid[1:])
    share = repeated / jnp.maximum(count, 1)
    return (penalty * share).astype(jnp.float32)


def cosine_length_reward(
    length: Float[Array, "..."],
    correct: Bool[Array, "..."],
    longest: Float[Array, ""] | float = 4096.0,
    right: tuple[float, float] = (1.0, 0.5),
    wrong: tuple[float, float] = (-1.0, -0.5),
    exceeded: Float[Array, ""] | float = -1.0,
) -> Float[Array, "..."]:
    """A cosine over the length from its value at 0 to that at `longest`; beyond, `exceeded`.

    The twin of `CosineLengthReward`.
    """
    length = jnp.asarray(length, jnp.float32)
    start = jnp.where(correct, right[0], wrong[0])
    end = jnp.where(correct, right[1], wrong[1])
    wave = 1.0 + jnp.cos(jnp.pi * jnp.minimum(length, longest) / longest)
    return jnp.where(length > longest, exceeded, end + 0.5 * (start - end) * wave)


def gui_g2_reward(
    pred: Float[Array, "... 4"],
    gt: Float[Array, "... 4"],
    alpha: Float[Array, "..."] | float = 0.5,
    nu: Float[Array, "..."] | float = 1.0,
    gamma: Float[Array, "..."] | float = 1.0,
) -> Float[Array, "..."]:
    """`nu * point + gamma * coverage` of boxes in pixels; a point (no width, no height) earns the
    point part alone. The twin of `GuiG2Reward` on what it reads."""
    point = gaussian_point_reward(pred, gt, alpha)
    return nu * point + gamma * gaussian_coverage_reward_safe(pred, gt, alpha)
