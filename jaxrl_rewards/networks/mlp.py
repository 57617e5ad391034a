"""Multi-layer perceptrons as plain functions over a list of layers."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
    "elu": jax.nn.elu,
}

Dense = dict[str, Array]


def activation(name: str) -> Callable[[Array], Array]:
    """The activation called `name`; ValueError lists the known ones."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose one of {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def dense_init(key: jax.Array, inputs: int, outputs: int, scale: float) -> Dense:
    """An orthogonal kernel `[inputs, outputs]` times `scale`, and a zero bias `[outputs]`."""
    kernel = jax.nn.initializers.orthogonal(scale)(key, (inputs, outputs), jnp.float32)
    return {"kernel": kernel, "bias": jnp.zeros((outputs,), jnp.float32)}


def dense(layer: Dense, x: Float[Array, "... inputs"]) -> Float[Array, "... outputs"]:
    """`x @ kernel + bias`."""
    return x @ layer["kernel"] + layer["bias"]


def mlp_init(
    key: jax.Array,
    sizes: tuple[int, ...],
    *,
    hidden_scale: float = 2.0**0.5,
    output_scale: float = 1.0,
) -> list[Dense]:
    """Layers for `sizes = (inputs, hidden..., outputs)`, orthogonal, the last one scaled apart."""
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes need an input and an output, all positive; got {sizes}")
    keys = jax.random.split(key, len(sizes) - 1)
    scales = [hidden_scale] * (len(sizes) - 2) + [output_scale]
    return [
        dense_init(k, inputs, outputs, scale)
        for k, inputs, outputs, scale in zip(keys, sizes[:-1], sizes[1:], scales, strict=True)
    ]


def mlp(
    layers: list[Dense],
    x: Float[Array, "... inputs"],
    *,
    activate: str = "tanh",
    activate_last: bool = False,
) -> Float[Array, "... outputs"]:
    """Apply the layers with `activate` between them (and after the last if `activate_last`)."""
    function = activation(activate)
    for index, layer in enumerate(layers):
        x = dense(layer, x)
        if activate_last or index + 1 < len(layers):
            x = function(x)
    return x
