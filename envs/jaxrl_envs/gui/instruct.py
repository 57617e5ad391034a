"""Instructions: descriptions of one element that no other element fits.

A description names some of: colour, kind, label (word or icon), a relation to an anchor element
(itself named by kind and label), and the panel it hangs in. As tokens, int32 `[8]`, in this order
with absent parts left out and 0 behind:

    colour  kind  label  relation  anchor-kind  anchor-label  "in"  panel-kind
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxrl_envs.gui import glyphs
from jaxrl_envs.gui.layout import COLOURS, KINDS, Layout
from jaxrl_rewards.core import InputError, record

RELATIONS = ("left of", "right of", "above", "below")
LENGTH = 8
FIRST_KIND = 1
FIRST_COLOUR = FIRST_KIND + len(KINDS)
FIRST_RELATION = FIRST_COLOUR + len(COLOURS)
IN = FIRST_RELATION + len(RELATIONS)
FIRST_LABEL = IN + 1
VOCABULARY = FIRST_LABEL + glyphs.LABELS

FORMS = ("label", "kind", "colour kind", "kind label", "colour kind label")
FORMS += ("kind in", "colour kind in", "kind relation")
"""Shortest first; "kind relation" is "the icon left of the button OK"."""
RELATION_FORM = 7
# Which of label, kind, colour, panel each form but the last names.
_PARTS = np.array(
    [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 1, 1, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [0, 1, 0, 1],
        [0, 1, 1, 1],
    ],
    bool,
)
FORM_WEIGHTS = (3.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 3.0)
"""Of the mixed instructions."""


@record
class Instruction:
    """A task on a screen."""

    tokens: Int[Array, "8"]
    target: Int[Array, ""]
    """Slot of the element meant."""
    form: Int[Array, ""]
    """Index into `FORMS`."""


def relations(layout: Layout) -> Bool[Array, "4 E E"]:
    """`[r, e, a]`: whether e is left of, right of, above, below a.

    They stand side by side when their projections on the other axis overlap by at least half of
    the shorter one; only elements count.
    """
    box = layout.box
    low, high = box[:, :2], box[:, 2:]
    overlap = jnp.minimum(high[:, None], high[None]) - jnp.maximum(low[:, None], low[None])
    shorter = jnp.minimum((high - low)[:, None], (high - low)[None])
    aligned = overlap >= 0.5 * shorter
    before = high[:, None] <= low[None]
    both = layout.leaf[:, None] & layout.leaf[None]
    left, above = before[..., 0] & aligned[..., 1], before[..., 1] & aligned[..., 0]
    return jnp.stack([left, left.T, above, above.T]) & both[None]


def count_matches(layout: Layout) -> tuple[Int[Array, "7 E"], Int[Array, "4 E E"]]:
    """How many elements fit the description of each element.

    First `[form, target]` for the forms without a relation, then `[relation, target, anchor]` for
    the target's kind in that relation to the anchor. 0 where the form cannot describe the target.
    """
    leaf, label = layout.leaf, layout.label
    panel = layout.kind[jnp.maximum(layout.parent, 0)]
    features = jnp.stack([label, layout.kind, layout.colour, panel])
    same = features[:, :, None] == features[:, None, :]
    fits = jnp.all(same[None] | ~_PARTS[:, :, None, None], axis=1) & leaf[None, None]
    usable = leaf[None] & ((label >= 0)[None] | ~_PARTS[:, :1])
    plain = jnp.where(usable, jnp.sum(fits, axis=-1, dtype=jnp.int32), 0)

    related = relations(layout)
    same_kind = (same[1] & leaf[None]).astype(jnp.float32)
    counts = jnp.einsum("te,rea->rta", same_kind, related.astype(jnp.float32))
    anchored = (plain[3] == 1)[None, None]  # the anchor is known by kind and label
    return plain, jnp.where(related & anchored, counts.astype(jnp.int32), 0)


def compose(key: jax.Array, layout: Layout, mode: str = "mixed") -> Instruction:
    """Draw a target and describe it unambiguously.

    "mixed" draws the form first (`FORM_WEIGHTS` over those that can single out some element),
    then a target; "shortest" draws a target and takes the first form that singles it out. Every
    screen of `sample_layout` has an element that can be named.
    """
    if mode not in ("mixed", "shortest"):
        raise InputError(f"instructions {mode!r} are unknown; choose 'mixed' or 'shortest'")
    key_form, key_target, key_anchor = jax.random.split(key, 3)
    plain, related = count_matches(layout)
    by_relation = jnp.any(related == 1, axis=(0, 2))
    clear = jnp.concatenate([plain == 1, by_relation[None]])
    if mode == "mixed":
        weight = jnp.where(jnp.any(clear, axis=1), jnp.asarray(FORM_WEIGHTS), 0.0)
        form = jax.random.categorical(key_form, _log(weight)).astype(jnp.int32)
        target = jax.random.categorical(key_target, _log(clear[form].astype(jnp.float32)))
    else:
        named = jnp.any(clear, axis=0).astype(jnp.float32)
        target = jax.random.categorical(key_target, _log(named))
        form = jnp.argmax(clear[:, target]).astype(jnp.int32)
    target = target.astype(jnp.int32)
    pairs = (related[:, target] == 1).astype(jnp.float32)
    pair = jax.random.categorical(key_anchor, _log(pairs.reshape(-1)))
    tokens = _tokens(layout, target, form, pair // pairs.shape[1], pair % pairs.shape[1])
    return Instruction(tokens=tokens, target=target, form=form)


def instruct(
    key: jax.Array, layout: Layout, mode: str = "mixed"
) -> tuple[Int[Array, "8"], Int[Array, ""]]:
    """`(tokens, target)` of `compose`."""
    made = compose(key, layout, mode)
    return made.tokens, made.target


def _log(weight: Array) -> Array:
    return jnp.where(weight > 0, jnp.log(jnp.where(weight > 0, weight, 1.0)), -jnp.inf)


def _tokens(layout: Layout, target, form, relation, anchor) -> Int[Array, "8"]:
    parts = jnp.asarray(np.concatenate([_PARTS, [[0, 1, 0, 0]]]).astype(bool))[form]
    related = form == RELATION_FORM
    panel = layout.kind[jnp.maximum(layout.parent[target], 0)]
    values = [
        (parts[2], FIRST_COLOUR + layout.colour[target]),
        (parts[1], FIRST_KIND + layout.kind[target]),
        (parts[0], FIRST_LABEL + layout.label[target]),
        (related, FIRST_RELATION + relation),
        (related, FIRST_KIND + layout.kind[anchor]),
        (related, FIRST_LABEL + layout.label[anchor]),
        (parts[3], jnp.asarray(IN)),
        (parts[3], FIRST_KIND + panel),
    ]
    present = jnp.stack([p for p, _ in values])
    tokens = jnp.stack([v for _, v in values])
    order = jnp.argsort(~present, stable=True)
    return jnp.where(present, tokens, 0)[order].astype(jnp.int32)


def token_name(token: int) -> str:
    """The word a token stands for; "" for 0. InputError outside the vocabulary."""
    if not 0 <= token < VOCABULARY:
        raise InputError(f"token {token} is outside the vocabulary 0 ... {VOCABULARY - 1}")
    table: tuple[Any, ...] = ("", *KINDS, *COLOURS, *RELATIONS, "in")
    return table[token] if token < FIRST_LABEL else glyphs.label_name(token - FIRST_LABEL)


def instruction_text(tokens: Int[Array, "8"]) -> str:
    """The instruction for people, e.g. "icon left of button OK"."""
    return " ".join(token_name(int(t)) for t in np.asarray(tokens) if t)
