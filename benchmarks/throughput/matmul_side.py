"""The machine's float32 matrix product, measured on request: the floor of a network-bound learner.

python -m benchmarks.throughput.matmul_side
"""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.throughput.process import serve

SIZE, PRODUCTS = 1024, 64


def main() -> None:
    """Serve the rate of products of two SIZE x SIZE matrices on one XLA thread, FLOP/s."""
    key_a, key_b = jax.random.split(jax.random.key(0))
    first = jax.random.normal(key_a, (SIZE, SIZE), dtype=jnp.float32) / SIZE**0.5
    second = jax.random.normal(key_b, (SIZE, SIZE), dtype=jnp.float32) / SIZE**0.5

    def chain(start):
        return jax.lax.scan(lambda x, _: (x @ second, None), start, length=PRODUCTS)[0]

    start = time.perf_counter()
    compiled = jax.jit(chain).lower(first).compile()
    seconds = time.perf_counter() - start
    jax.block_until_ready(compiled(first))

    def measure() -> dict[str, Any]:
        begun = time.perf_counter()
        jax.block_until_ready(compiled(first))
        return {"flops_per_second": 2 * SIZE**3 * PRODUCTS / (time.perf_counter() - begun)}

    serve({"compile_seconds": seconds}, measure)


if __name__ == "__main__":
    main()
