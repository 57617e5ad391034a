"""Supervised fine-tuning: a policy learns the tokens of given texts (`learners.make_fit`).

    data = pack_texts([(tokens, own), ...], width=256)       # many texts in a row
    learner = make_fit(network.init, text_loss(network), rows(32), data=data, batch_size=32)

Rejection sampling and expert iteration are `make_group` with `credit.accepted`: what the policy
wrote itself and a score accepted is learnt in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.learners.api import Metrics
from jaxrl_rewards.losses.language import next_token_loss
from jaxrl_rewards.networks.actor_critic import ActorCritic


@record
class Texts:
    """Texts as a policy reads them; leaves `[N, T]`, several texts may stand in one row."""

    tokens: Int[Array, "N T"]
    """What is read."""
    follows: Int[Array, "N T"]
    """What comes next."""
    own: Bool[Array, "N T"]
    """Whether the next token is to be learnt: the answer's are, the prompt's and padding not."""
    ends: Bool[Array, "N T"]
    """Whether a text ends with the next token; memory is cut there."""


def text_loss(network: ActorCritic) -> Callable[[Any, Texts, Any], tuple[Array, Metrics]]:
    """`(params, texts, hparams) -> (mean loss of the own tokens, metrics)`, for `make_fit`."""

    def loss(params: Any, texts: Texts, hparams: Any) -> tuple[Array, Metrics]:
        output, _ = network.unroll(params, texts.tokens.T, None, texts.ends.T)
        return next_token_loss(jnp.moveaxis(output, 0, 1), texts.follows, texts.own)

    return loss


def pack_texts(texts: Iterable[tuple[Any, Any]], width: int, *, pad: int = 0) -> Texts:
    """Texts put into rows of `width` positions, the longest first, each where it still fits.

    Args:
      texts: pairs `(tokens [n], own [n])`: a text, and which of its tokens are to be learnt (the
        first cannot be). Texts of fewer than 2 tokens are left out.
      width: positions of a row; a text of n tokens takes n - 1.
      pad: token where nothing stands.

    NumPy arrays. InputError for a text longer than `width + 1` tokens, or none at all.
    """
    pairs = [(np.asarray(t, np.int32), np.asarray(o, bool)) for t, o in texts]
    pairs = sorted((pair for pair in pairs if len(pair[0]) > 1), key=lambda pair: -len(pair[0]))
    if not pairs:
        raise InputError("there is no text of at least 2 tokens to learn from; give some")
    if len(pairs[0][0]) > width + 1:
        raise InputError(
            f"a text has {len(pairs[0][0])} tokens, a row holds {width + 1}; cut it or widen rows"
        )
    places, room = _first_fit([len(tokens) - 1 for tokens, _ in pairs], width)
    shape = (len(room), width)
    out = Texts(
        tokens=np.full(shape, pad, np.int32),
        follows=np.full(shape, pad, np.int32),
        own=np.zeros(shape, bool),
        ends=np.zeros(shape, bool),
    )
    for (tokens, own), (row, start) in zip(pairs, places):
        stop = start + len(tokens) - 1
        out.tokens[row, start:stop] = tokens[:-1]
        out.follows[row, start:stop] = tokens[1:]
        out.own[row, start:stop] = own[1:]
        out.ends[row, stop - 1] = True
    return out


def _first_fit(sizes: list[int], width: int) -> tuple[list[tuple[int, int]], list[int]]:
    """`(row, start)` of each size, and what is left of every row."""
    places, room = [], []
    for size in sizes:
        row = next((index for index, free in enumerate(room) if free >= size), len(room))
        if row == len(room):
            room.append(width)
        places.append((row, width - room[row]))
        room[row] -= size
    return places, room
