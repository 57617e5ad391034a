"""Small convolutional trunks over images.

XLA's CPU back end computes the gradient of a convolution about half as fast as the same thing
written as patches and one matrix product, so convolutions are done that way here.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.networks.mlp import Dense, activation, dense, dense_init


def patches(
    x: Float[Array, "... H W C"], size: tuple[int, int], stride: tuple[int, int]
) -> Float[Array, "... h w P"]:
    """All `size` windows at `stride`, flattened, with zero padding so that h = ceil(H/stride)."""
    height, width = x.shape[-3:-1]
    out_h, out_w = -(-height // stride[0]), -(-width // stride[1])
    pad_h = max((out_h - 1) * stride[0] + size[0] - height, 0)
    pad_w = max((out_w - 1) * stride[1] + size[1] - width, 0)
    lead = [(0, 0)] * (x.ndim - 3)
    pads = [(pad_h // 2, pad_h - pad_h // 2), (pad_w // 2, pad_w - pad_w // 2), (0, 0)]
    x = jnp.pad(x, lead + pads)
    rows = [
        x[
            ...,
            i : i + (out_h - 1) * stride[0] + 1 : stride[0],
            j : j + (out_w - 1) * stride[1] + 1 : stride[1],
            :,
        ]
        for i in range(size[0])
        for j in range(size[1])
    ]
    return jnp.concatenate(rows, axis=-1)


def conv_init(
    key: jax.Array, channels: int, features: int, size: tuple[int, int], scale: float = 2.0**0.5
) -> Dense:
    """Kernel `[size_y * size_x * channels, features]` and bias."""
    return dense_init(key, size[0] * size[1] * channels, features, scale)


def conv(
    layer: Dense,
    x: Float[Array, "... H W C"],
    size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
) -> Float[Array, "... h w F"]:
    """Convolution with zero padding ("same"), as patches and one matrix product."""
    return dense(layer, patches(x, size, stride))


def cnn_init(
    key: jax.Array, channels: int, features: tuple[int, ...], size: int = 3
) -> list[Dense]:
    """Convolutions `channels -> features[0] -> ...`, all `size` by `size`."""
    keys = jax.random.split(key, len(features))
    inputs = (channels, *features[:-1])
    return [conv_init(k, i, o, (size, size)) for k, i, o in zip(keys, inputs, features)]


def cnn(
    layers: list[Dense],
    image: Float[Array, "... H W C"],
    *,
    size: int = 3,
    stride: int = 2,
    activate: str = "relu",
) -> Float[Array, "... D"]:
    """Strided convolutions, then all positions flattened: `D = h * w * features[-1]`.

    `image` is float; uint8 images are scaled to [0, 1] first.
    """
    x = image.astype(jnp.float32) / 255.0 if image.dtype == jnp.uint8 else image
    function = activation(activate)
    for layer in layers:
        x = function(conv(layer, x, (size, size), (stride, stride)))
    return x.reshape(*x.shape[:-3], -1)


def cnn_output_size(height: int, width: int, features: tuple[int, ...], stride: int = 2) -> int:
    """`D` of `cnn` for an image of `height` by `width`."""
    for _ in features:
        height, width = -(-height // stride), -(-width // stride)
    return height * width * features[-1]
