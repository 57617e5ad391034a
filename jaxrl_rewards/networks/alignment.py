"""Monotonic alignment of a string with per-cell character probabilities along x.

A left-to-right hidden Markov model: one state per character, self-loops and steps to the next
state free, single states may be skipped at a price. A path starts at any cell and ends at any
cell, with weights for both. Forward and backward sums run over probabilities, which is several
times cheaper than over logarithms; values are kept in [0, 1e18], and what falls below the
smallest weight counts as 1e-30.
"""

import jax
import jax.numpy as jnp
from jax import Array

LARGEST = 1e18
SMALLEST = 1e-30


def alignment_scores(
    emission: Array, start: Array, stops: tuple[Array, ...], leaves: tuple[Array, ...], skip: Array
) -> Array:
    """Log weight of all paths that are in a state at a cell.

    With emission e, start a, skip k and l[x, s] the sum over kinds of ending of stop[x] leave[s],
    all of them probabilities or weights >= 0::

        f[x, s] = e[x, s] (f[x-1, s] + f[x-1, s-1] + k f[x-1, s-2] + a[x] [s = 0])
        b[x, s] = (e b)[x+1, s] + (e b)[x+1, s+1] + k (e b)[x+1, s+2] + l[x, s]

    Args:
        emission: float32[X, S], weight of character s at cell x.
        start: float32[X], weight of a path whose first cell is x.
        stops: float32[X] each, weights of the cell where a path ends, per kind of ending.
        leaves: float32[S] each, weights of the state in which it ends, per kind of ending.
        skip: float32[], weight of skipping one state.

    Returns:
        float32[X, S]: log f + log b, at least 2 log(1e-30) (no path); gradients are finite. A path
        cannot start by skipping the first state.
    """
    states = emission.shape[1]
    first = jnp.zeros(states).at[0].set(1.0)
    one, two = jnp.zeros(1), jnp.zeros(2)

    def forward(before, inputs):
        weight, entry = inputs
        moved = jnp.concatenate([one, before[:-1]])
        jumped = jnp.concatenate([two, before[:-2]])[:states]
        now = weight * (before + moved + skip * jumped + entry * first)
        now = jnp.minimum(now, LARGEST)
        return now, now

    def backward(after, inputs):
        weight, *stop = inputs
        end = sum(leave * share for leave, share in zip(leaves, stop, strict=True))
        moved = jnp.concatenate([after[1:], one])
        jumped = jnp.concatenate([after[2:], two])[:states]
        now = after + moved + skip * jumped + end
        return jnp.minimum(weight * now, LARGEST), now

    nothing = jnp.zeros(states)
    _, forwards = jax.lax.scan(forward, nothing, (emission, start))
    _, backwards = jax.lax.scan(backward, nothing, (emission, *stops), reverse=True)
    return jnp.log(forwards + SMALLEST) + jnp.log(jnp.minimum(backwards, LARGEST) + SMALLEST)
