"""Stride-1 convolution whose weight gradient is built from matrix products, image by image.

XLA's CPU back end runs a forward convolution near the speed of a matrix product, but its gradient
with respect to the weights is several times slower. Here the gradient with respect to the input is
itself a forward convolution, and the one with respect to the weights is one matrix product per row
of the kernel over shifted copies of one image at a time, which stay in the cache.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

Padding = tuple[tuple[int, int], tuple[int, int]]
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def _forward(images: Array, kernel: Array, padding: Padding) -> Array:
    return jax.lax.conv_general_dilated(images, kernel, (1, 1), padding, dimension_numbers=_LAYOUT)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv2d(images: Array, kernel: Array, padding: Padding) -> Array:
    """Convolve (cross-correlate) with stride 1.

    Args:
        images: float32[B, H, W, C].
        kernel: float32[h, w, C, F].
        padding: ((top, bottom), (left, right)) in pixels, zeros, below the kernel's size.

    Returns:
        float32[B, H', W', F]. First-order reverse-mode gradients only.
    """
    return _forward(images, kernel, padding)


def _conv2d_forward(images, kernel, padding):
    return _forward(images, kernel, padding), (images, kernel)


def _conv2d_backward(padding, residual, cotangent):
    images, kernel = residual
    rows, columns, channels, features = kernel.shape
    (top, bottom), (left, right) = padding
    flipped = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    reverse = (
        (rows - 1 - top, rows - 1 - bottom),
        (columns - 1 - left, columns - 1 - right),
    )
    images_gradient = _forward(cotangent, flipped, reverse)
    height, width = cotangent.shape[1:3]

    def add_image(total, pair):
        image, gradient = pair
        padded = jnp.pad(image, (*padding, (0, 0)))
        shifted = jnp.concatenate([padded[:, j : j + width] for j in range(columns)], axis=-1)
        flat = gradient.reshape(-1, features).T
        parts = [
            flat @ shifted[i : i + height].reshape(-1, columns * channels) for i in range(rows)
        ]
        return total + jnp.stack(parts), None

    start = jnp.zeros((rows, features, columns * channels), kernel.dtype)
    total, _ = jax.lax.scan(add_image, start, (images, cotangent))
    total = total.reshape(rows, features, columns, channels).transpose(0, 2, 3, 1)
    return images_gradient, total


conv2d.defvjp(_conv2d_forward, _conv2d_backward)
