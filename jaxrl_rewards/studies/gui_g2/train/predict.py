"""Pointing on images of any size, with few compilations and bounded memory."""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.networks.reader import (
    best_point,
    encode_instruction,
    pad_image,
    probability_map,
    reader_apply,
)

MAX_PIXELS = 3_000_000
SMALL_PIXELS = 120_000
MAX_LENGTH = 24


def bucket(length: int) -> int:
    """Round a side up to one of a few lengths (multiples of 8, at most a quarter more)."""
    step = max(8, 2 ** (int(length).bit_length() - 3))
    return -(-int(length) // step) * step


def reduction(height: int, width: int, max_pixels: int = MAX_PIXELS) -> int:
    """Whole factor by which a larger image is averaged down before it is read."""
    return max(1, int(np.ceil(np.sqrt(height * width / max_pixels))))


def prepare_image(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Reduce a large image and pad it to its bucket.

    Text of 8-28 px is read; a 3840x2160 screen is averaged down by 2, so that its text of 16-56 px
    falls in that range. Returns (pixels, size, factor).
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(
            f"the image has shape {image.shape} and type {image.dtype}; give uint8 [H, W, 3]"
        )
    factor = reduction(*image.shape[:2])
    if factor > 1:
        from PIL import Image

        image = np.asarray(Image.fromarray(image).reduce(factor))
    height, width = (-(-side // m) * m for side, m in zip(image.shape[:2], (8, 4), strict=True))
    pixels, size = pad_image(image, bucket(height), bucket(width))
    return pixels, size, factor


@partial(jax.jit, static_argnames=("with_map",))
def _point(params, pixels, tokens, size, with_map=False):
    height, width = pixels.shape[:2]
    logits = reader_apply(params, pixels[None], tokens[None], size[None]).logits[0]
    points = best_point(logits, height, width)
    return points, (probability_map(logits, height, width) if with_map else None)


def encode(instruction: str) -> np.ndarray:
    """`encode_instruction`, with `InputError` for an empty instruction."""
    try:
        return encode_instruction(instruction, MAX_LENGTH)
    except ValueError as error:
        raise InputError(str(error)) from None


def predict_image(params, image: np.ndarray, instructions: Sequence[str]) -> np.ndarray:
    """Return the points float32[n, 2], (x, y) in pixels of the image, of its instructions."""
    pixels, size, factor = prepare_image(image)
    chunk = 4 if pixels.shape[0] * pixels.shape[1] <= SMALL_PIXELS else 2
    found = []
    for start in range(0, len(instructions), chunk):
        part = [encode(text) for text in instructions[start : start + chunk]]
        tokens = np.zeros((chunk, MAX_LENGTH), np.int32)
        tokens[: len(part)] = part
        points, _ = _point(params, pixels, tokens, size)
        found.append(np.asarray(points)[: len(part)])
    points = np.concatenate(found) * factor
    return np.minimum(points, np.array([image.shape[1], image.shape[0]], np.float32) - 0.5)


def point(params, image: np.ndarray, instruction: str) -> tuple[float, float, np.ndarray]:
    """Point at the text that the instruction names.

    Args:
        params: `load_checkpoint(...).params`.
        image: uint8[H, W, 3], any size.
        instruction: the element's text, as far as known from its start.

    Returns:
        x, y in pixels of the image, and the policy's mass per cell, float32[rows, columns], which
        covers the image (cells of 2 px by 4 px, times the factor of a large image's reduction).
    """
    pixels, size, factor = prepare_image(image)
    tokens = encode(instruction)[None]
    points, mass = _point(params, pixels, tokens, size, with_map=True)
    x, y = np.asarray(points)[0] * factor
    rows, columns = int(size[0]) // 4, int(size[1]) // 2
    limit = image.shape[1] - 0.5, image.shape[0] - 0.5
    return float(min(x, limit[0])), float(min(y, limit[1])), np.asarray(mass[0, :rows, :columns])


def predict_records(params, shots, progress=None) -> Iterator[tuple]:
    """Yield (record, image shape, point) for all records of a `ScreenSpotSet`, image by image."""
    done = 0
    for records in shots.by_image().values():
        image = shots.image(records[0])
        points = predict_image(params, image, [record.instruction for record in records])
        for record, where in zip(records, points, strict=True):
            yield record, image.shape, where
        done += len(records)
        if progress:
            progress(done, len(shots))
