"""Work on the CPU beside a training on an accelerator."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def host_device() -> Any:
    """The CPU as a jax device; None where jax was started without it (JAX_PLATFORMS=cuda)."""
    import jax

    try:
        return jax.local_devices(backend="cpu")[-1]
    except RuntimeError:
        return None


def on_host(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its arrays moved to the CPU, where everything in it is then compiled and run.

    Without a CPU device it runs where jax runs by default.
    """

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        import jax

        device = host_device()
        with jax.default_device(device):
            return function(*(arguments if device is None else jax.device_put(arguments, device)))

    return call
