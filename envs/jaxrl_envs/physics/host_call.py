"""Calls from compiled programs to functions of the host that write their results in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

try:
    # An interface that may still change. Without it one device works, a few per cent slower;
    # several may wait for each other.
    from jax.experimental.buffer_callback import buffer_callback
except ImportError:
    buffer_callback = None

Host = Callable[..., None]
"""`host(*operands, *results)`, NumPy arrays; the results are to be written. It may lead with any
axes that `vmap` added, the same for all."""


def call_host(
    host: Host, shapes: tuple[jax.ShapeDtypeStruct, ...], *operands: Array
) -> tuple[Array, ...]:
    """Call `host` with all worlds' operands and results.

    On the CPU it reads and writes XLA's own buffers: without copies, and without arrays of jax,
    which could wait for the very threads that wait for `host` where several devices call at once.
    """
    if buffer_callback is None:
        return _by_copies(host, shapes, *operands)
    return jax.lax.platform_dependent(
        *operands,
        cpu=lambda *given: _in_place(host, shapes, *given),
        default=lambda *given: _by_copies(host, shapes, *given),
    )


def _in_place(
    host: Host, shapes: tuple[jax.ShapeDtypeStruct, ...], *operands: Array
) -> tuple[Array, ...]:
    def run(context: Any, results: Any, *given: Any) -> None:
        del context
        host(*map(np.asarray, given), *map(np.asarray, results))

    return buffer_callback(run, shapes, vmap_method="broadcast_all")(*operands)


def _by_copies(
    host: Host, shapes: tuple[jax.ShapeDtypeStruct, ...], *operands: Array
) -> tuple[Array, ...]:
    def run(*given: Any) -> tuple[np.ndarray, ...]:
        given = tuple(map(np.asarray, given))
        lead = given[0].shape[:-1]
        results = tuple(np.empty((*lead, *one.shape), one.dtype) for one in shapes)
        host(*given, *results)
        return results

    return jax.pure_callback(run, shapes, *operands, vmap_method="broadcast_all")
