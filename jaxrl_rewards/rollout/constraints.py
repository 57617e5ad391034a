"""What an answer may consist of, and where it stops: token masks, tries, stop strings.

All are tables that are made on the host and walked inside a computation: a state per row, `allowed`
tokens in it, and the state after a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.core.pytree import static_field


@record
class Anything:
    """No constraint."""

    def start(self, prompts: int) -> Any:
        """State of every prompt's answers before the first token, leaves `[P, ...]`."""
        return ()

    def allowed(self, state: Any) -> Any:
        """Tokens that may follow, bool `[B, V]`; () where all may."""
        return ()

    def advance(self, state: Any, token: Int[Array, "B"]) -> Any:
        """The state after a token."""
        return state


@record
class TokenMask(Anything):
    """The same tokens at every position."""

    mask: Bool[Array, "P V"]
    """Or `[1, V]` for all prompts. A row without a single token allows all."""

    def start(self, prompts: int) -> Bool[Array, "P V"]:
        """Each prompt's own row."""
        mask = self.mask | ~jnp.any(self.mask, axis=-1, keepdims=True)
        return jnp.broadcast_to(mask, (prompts, mask.shape[-1]))

    def allowed(self, state: Bool[Array, "B V"]) -> Bool[Array, "B V"]:
        """The mask."""
        return state


@record
class Trie(Anything):
    """Only the sequences of a prefix tree; after one's end, `end` alone."""

    tokens: Int[Array, "N W"]
    """Tokens of a node's branches; -1 where there are fewer."""
    nodes: Int[Array, "N W"]
    """Where each branch leads."""
    vocabulary: int = static_field()

    def start(self, prompts: int) -> Int[Array, "P"]:
        """The root."""
        return jnp.zeros((prompts,), jnp.int32)

    def allowed(self, state: Int[Array, "B"]) -> Bool[Array, "B V"]:
        """The node's branches."""
        branches = self.tokens[state]
        rows = jnp.arange(state.shape[0])[:, None]
        nothing = jnp.zeros((state.shape[0], self.vocabulary), bool)
        return nothing.at[rows, jnp.where(branches < 0, self.vocabulary, branches)].set(
            True, mode="drop"
        )

    def advance(self, state: Int[Array, "B"], token: Int[Array, "B"]) -> Int[Array, "B"]:
        """The branch of `token`; a token that has none leaves the node as it is."""
        taken = self.tokens[state] == token[:, None]
        found = jnp.max(jnp.where(taken, self.nodes[state], -1), axis=-1)
        return jnp.where(found < 0, state, found)


def trie(sequences: Sequence[Sequence[int]], vocabulary: int, end: int) -> Trie:
    """A prefix tree of token sequences; each may be followed by `end` (a stop token) only.

    ValueError for no sequence, an empty one, or a token outside the vocabulary.
    """
    sequences = [[int(token) for token in sequence] for sequence in sequences]
    if not sequences or not all(sequences):
        raise ValueError(
            f"a trie needs sequences of at least one token, got {sequences[:3]}; give what an "
            "answer may be"
        )
    for token in (end, *(token for sequence in sequences for token in sequence)):
        if not 0 <= token < vocabulary:
            raise ValueError(f"token {token} is outside the vocabulary of {vocabulary}; correct it")
    children: list[dict[int, int]] = [{}]
    for sequence in sequences:
        node = 0
        for token in sequence:
            if token not in children[node]:
                children[node][token] = len(children)
                children.append({})
            node = children[node][token]
        children[node][end] = node
    width = max(map(len, children))
    tokens = np.full((len(children), width), -1, np.int32)
    nodes = np.zeros((len(children), width), np.int32)
    for number, branches in enumerate(children):
        tokens[number, : len(branches)] = list(branches)
        nodes[number, : len(branches)] = list(branches.values())
    return Trie(tokens=jnp.asarray(tokens), nodes=jnp.asarray(nodes), vocabulary=vocabulary)


@record
class StopStrings:
    """An automaton over the bytes of an answer's text that finds the first of several strings.

    A string may begin and end inside of tokens.
    """

    table: Int[Array, "S V"]
    """State after a token; the last state is "found"."""

    def start(self, prompts: int) -> Int[Array, "P"]:
        """Nothing read."""
        return jnp.zeros((prompts,), jnp.int32)

    def advance(self, state: Int[Array, "..."], token: Int[Array, "..."]) -> Int[Array, "..."]:
        """The state after a token."""
        return self.table[state, token]

    def found(self, state: Int[Array, "..."]) -> Bool[Array, "..."]:
        """Whether a string has come up."""
        return state == self.table.shape[0] - 1


def stop_strings(strings: Sequence[str], texts: Sequence[bytes]) -> StopStrings:
    """An automaton (Aho and Corasick 1975) for `strings`; `texts` holds every token's bytes.

    ValueError for no string or an empty one.
    """
    patterns = [string.encode() for string in strings]
    if not patterns or not all(patterns):
        raise ValueError(f"stop strings must not be empty, got {list(strings)}; leave them out")
    by_byte = _automaton(patterns)
    found = len(by_byte)
    table = np.empty((found + 1, len(texts)), np.int32)
    table[found] = found
    for token, text in enumerate(texts):
        state = np.arange(found)
        for byte in text:  # all states at once
            state = np.where(state == found, found, by_byte[np.minimum(state, found - 1), byte])
        table[:found, token] = state
    return StopStrings(table=jnp.asarray(table))


def _automaton(patterns: list[bytes]) -> np.ndarray:
    """Next state `[states, 256]`; "found" is the number of states."""
    children: list[dict[int, int]] = [{}]
    ends: set[int] = set()
    for pattern in patterns:
        node = 0
        for byte in pattern:
            if byte not in children[node]:
                children[node][byte] = len(children)
                children.append({})
            node = children[node][byte]
        ends.add(node)
    table, back = np.zeros((len(children), 256), np.int32), {0: 0}
    queue = [0]
    for node in queue:  # in order of depth, so that shorter suffixes are known
        suffix = back[node]
        if suffix in ends:
            ends.add(node)
        if node:
            table[node] = table[suffix]
        for byte, child in children[node].items():
            back[child] = int(table[suffix, byte]) if node else 0
            table[node, byte] = child
            queue.append(child)
    return np.where(np.isin(table, list(ends)), len(children), table)
