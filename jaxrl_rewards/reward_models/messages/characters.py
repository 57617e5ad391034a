"""A character-level convolutional network over short texts, as plain functions.

Source of the architecture: Zheng et al. 2024 (ONI), arXiv 2410.23022; sizes are free here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxrl_rewards.core import InputError
from jaxrl_rewards.networks.mlp import dense, dense_init

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class TextNetwork:
    """Static sizes of the network; the defaults are the published ones."""

    length: int = 256
    """Bytes of a text that are read."""
    embedding: int = 32
    channels: int = 64
    kernels: tuple[int, ...] = (7, 7, 3, 3, 3, 3)
    pools: tuple[int, ...] = (3, 3, 1, 1, 1, 3)
    """Width and stride of the maximum after each convolution; 1 for none."""
    hidden: int = 128
    outputs: int = 2

    def __post_init__(self):
        if len(self.kernels) != len(self.pools) or not self.kernels:
            raise InputError("a text network needs one pool width per kernel, and at least one")
        sizes = (self.length, self.embedding, self.channels, self.hidden, self.outputs)
        if min(*sizes, *self.kernels, *self.pools) < 1:
            raise InputError(f"all sizes of a text network must be positive, got {self}")
        if self.final_length < 1:
            raise InputError(f"length {self.length} is too short for pools {self.pools}")

    @property
    def final_length(self) -> int:
        """Positions left after the last pool."""
        size = self.length
        for pool in self.pools:
            size = size // pool
        return size


def encode_texts(texts: Sequence[str], length: int) -> np.ndarray:
    """UTF-8 bytes, cut or padded with 0: uint8 `[len(texts), length]`."""
    codes = np.zeros((len(texts), length), np.uint8)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {row} must be text, got {type(text).__name__}")
        data = text.encode("utf-8", "replace")[:length]
        codes[row, : len(data)] = np.frombuffer(data, np.uint8)
    return codes


def init_text_network(key: jax.Array, config: TextNetwork) -> Params:
    """Random parameters; the last layer small, so that all outputs start near 0."""
    keys = jax.random.split(key, len(config.kernels) + 3)
    inputs, layers = config.embedding, []
    for k, width in zip(keys[3:], config.kernels, strict=True):
        scale = (2.0 / (inputs * width)) ** 0.5
        kernel = scale * jax.random.normal(k, (width, inputs, config.channels), jnp.float32)
        layers.append({"kernel": kernel, "bias": jnp.zeros((config.channels,), jnp.float32)})
        inputs = config.channels
    return {
        "embedding": jax.random.normal(keys[0], (256, config.embedding), jnp.float32),
        "convolutions": layers,
        "hidden": dense_init(keys[1], config.final_length * inputs, config.hidden, 2.0**0.5),
        "output": dense_init(keys[2], config.hidden, config.outputs, 0.01),
    }


def apply_text_network(
    params: Params, codes: UInt8[Array, "N L"], config: TextNetwork
) -> Float[Array, "N outputs"]:
    """Outputs for texts as bytes (see `encode_texts`)."""
    x = params["embedding"][codes.astype(jnp.int32)]
    for layer, pool in zip(params["convolutions"], config.pools, strict=True):
        x = jax.nn.relu(_convolve(x, layer["kernel"]) + layer["bias"])
        if pool > 1:
            kept = x.shape[1] // pool
            x = jnp.max(x[:, : kept * pool].reshape(x.shape[0], kept, pool, -1), axis=2)
    hidden = jax.nn.relu(dense(params["hidden"], x.reshape(x.shape[0], -1)))
    return dense(params["output"], hidden)


def _convolve(x: Float[Array, "N L C"], kernel: Float[Array, "K C D"]) -> Float[Array, "N L D"]:
    """Same-size convolution as one matrix product over shifted copies: quick on CPUs too."""
    width, inputs, outputs = kernel.shape
    before = (width - 1) // 2
    padded = jnp.pad(x, ((0, 0), (before, width - 1 - before), (0, 0)))
    length = x.shape[1]
    windows = jnp.concatenate([padded[:, i : i + length] for i in range(width)], axis=-1)
    return windows @ kernel.reshape(width * inputs, outputs)
