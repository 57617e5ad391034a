"""A random permutation of 0 ... n - 1 without sorting.

Sorting random keys, which is what `jax.random.permutation` does (twice), takes longer on a CPU than
the rollout it shuffles. A keyed Feistel network permutes a power-of-two domain with a few integer
operations per element (Luby and Rackoff 1988), and walking along its cycles restricts it to
0 ... n - 1 (Black and Rogaway 2002).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt

ROUNDS = 6
"""Even, so that halves of unequal width are back in place at the end."""
_UNEVEN = 8
"""From this many bits on, the halves may differ by one: the domain is then below 2 n, and exactly n
where n is a power of two; smaller halves of one bit would mix too little."""


def _mix(value: Array, key: Array) -> Array:
    """A 32-bit avalanche hash of `value` under `key`."""
    value = (value ^ key) * jnp.uint32(0x9E3779B1)
    value = (value ^ (value >> 16)) * jnp.uint32(0x85EBCA6B)
    return value ^ (value >> 13)


def random_permutation(key: jax.Array, n: int) -> Int[Array, "n"]:
    """A pseudo-random permutation of `0 ... n - 1`, int32; `n` is static and at least 1.

    Each key picks one of the network's permutations: balanced enough for minibatches (a test
    checks positions and pairs against uniform), not meant for cryptography.
    """
    if n < 1:
        raise ValueError(f"random_permutation needs n >= 1, got {n}")
    return keyed_permutation(jax.random.bits(key, (ROUNDS,), jnp.uint32), n)


def keyed_permutation(keys: UInt[Array, "ROUNDS"], n: int) -> Int[Array, "n"]:
    """`random_permutation` from the round keys, `ROUNDS` random words, themselves."""
    bits = max(2, (n - 1).bit_length())
    if bits < _UNEVEN:
        bits += bits % 2
    low = bits // 2
    masks = [jnp.uint32((1 << width) - 1) for width in (bits - low, low)]

    def network(index: Array) -> Array:
        left, right = index >> low, index & masks[1]
        for number, round_key in enumerate(keys):
            left, right = right, left ^ (_mix(right, round_key) & masks[number % 2])
        return (left << low) | right

    def walk(index: Array) -> Array:
        return jnp.where(index >= n, network(index), index)

    start = network(jnp.arange(n, dtype=jnp.uint32))
    if n == 1 << bits:
        return start.astype(jnp.int32)
    index = jax.lax.while_loop(lambda index: jnp.any(index >= n), walk, start)
    return index.astype(jnp.int32)
