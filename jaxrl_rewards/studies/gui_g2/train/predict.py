"""Pointing on images of any size, with few compilations and bounded memory."""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.gui.reading_tiles import Tile, tiles_of

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.networks.reader import (
    best_point,
    encode_instruction,
    pad_image,
    probability_map,
    reader_read,
    reader_score,
)

MAX_PIXELS = 3_000_000
"""A larger image is read in tiles."""
SMALL_PIXELS = 120_000
MAX_LENGTH = 24


def bucket(length: int) -> int:
    """Round a side up to one of a few lengths (multiples of 8, at most a quarter more)."""
    step = max(8, 2 ** (int(length).bit_length() - 3))
    return -(-int(length) // step) * step


def check_image(image: np.ndarray) -> np.ndarray:
    """The image as an array; `InputError` unless it is uint8[H, W, 3] with pixels."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(
            f"the image has shape {image.shape} and type {image.dtype}; give uint8 [H, W, 3]"
        )
    return image


def image_tiles(image: np.ndarray) -> list[Tile]:
    """The parts in which an image is read: the whole, or above 3 megapixels overlapping tiles."""
    height, width = image.shape[:2]
    if height * width <= MAX_PIXELS:
        return [Tile(0, 0, width, height, (-np.inf, -np.inf, np.inf, np.inf))]
    return tiles_of(height, width)


def prepare_image(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pad an image, or a tile of one, to its bucket: (pixels, size)."""
    image = check_image(image)
    height, width = (-(-side // m) * m for side, m in zip(image.shape[:2], (8, 4), strict=True))
    return pad_image(image, bucket(height), bucket(width))


@jax.jit
def _read(params, pixels, size):
    return reader_read(params, pixels[None], size[None])


@partial(jax.jit, static_argnames=("height", "width", "with_map"))
def _point(params, read, tokens, *, height, width, with_map=False):
    logits = reader_score(params, read, tokens[None])[0]
    points = best_point(logits, height, width)
    mass = probability_map(logits, height, width) if with_map else None
    return points, jax.nn.logsumexp(logits, axis=-1), jnp.max(logits, axis=-1), mass


def encode(instruction: str) -> np.ndarray:
    """`encode_instruction`, with `InputError` for an empty instruction."""
    try:
        return encode_instruction(instruction, MAX_LENGTH)
    except ValueError as error:
        raise InputError(str(error)) from None


def _tile(params, image: np.ndarray, tile: Tile):
    """(read, padded height, padded width, size) of a part of an image."""
    pixels, size = prepare_image(image[tile.top : tile.bottom, tile.left : tile.right])
    return _read(params, pixels, size), *pixels.shape[:2], size


def predict_image(params, image: np.ndarray, instructions: Sequence[str]) -> np.ndarray:
    """Return the points float32[n, 2], (x, y) in pixels of the image, of its instructions.

    Every part of the image is read once for all instructions; where it is read in tiles, the tile
    with the highest single score points.
    """
    image = check_image(image)
    codes = np.array([encode(text) for text in instructions], np.int32).reshape(-1, MAX_LENGTH)
    found = np.zeros((len(codes), 2), np.float32)
    best = np.full(len(codes), -np.inf)
    for tile in image_tiles(image):
        read, height, width, _ = _tile(params, image, tile)
        chunk = 4 if height * width <= SMALL_PIXELS else 2
        for start in range(0, len(codes), chunk):
            part = codes[start : start + chunk]
            tokens = np.zeros((chunk, MAX_LENGTH), np.int32)
            tokens[: len(part)] = part
            points, _, top, _ = _point(params, read, tokens, height=height, width=width)
            rows = np.arange(start, start + len(part))
            better = np.asarray(top)[: len(part)] > best[rows]
            moved = np.asarray(points)[: len(part)] + np.float32([tile.left, tile.top])
            found[rows[better]] = moved[better]
            best[rows[better]] = np.asarray(top)[: len(part)][better]
    return np.minimum(found, np.array([image.shape[1], image.shape[0]], np.float32) - 0.5)


def point(params, image: np.ndarray, instruction: str) -> tuple[float, float, np.ndarray]:
    """Point at the text that the instruction names.

    Args:
        params: `load_checkpoint(...).params`.
        image: uint8[H, W, 3], any size.
        instruction: the element's text, as far as known from its start.

    Returns:
        x, y in pixels of the image, and the policy's mass per cell, float32[rows, columns], which
        covers the image (cells of 2 px by 4 px; where tiles overlap their mean).
    """
    image = check_image(image)
    tokens = encode(instruction)[None]
    shape = (-(-image.shape[0] // 8) * 2, -(-image.shape[1] // 4) * 2)
    total, weight, best = np.zeros(shape, np.float64), np.zeros(shape), (-np.inf, 0.0, 0.0)
    parts = []
    for tile in image_tiles(image):
        read, height, width, size = _tile(params, image, tile)
        points, whole, top, mass = _point(
            params, read, tokens, height=height, width=width, with_map=True
        )
        x, y = np.asarray(points)[0] + (tile.left, tile.top)
        best = max(best, (float(top[0]), float(x), float(y)))
        inner = np.asarray(mass[0], np.float64)[: int(size[0]) // 4, : int(size[1]) // 2]
        parts.append((tile, float(whole[0]), inner))
    highest = max(whole for _, whole, _ in parts)
    for tile, whole, inner in parts:
        row, column = tile.top // 4, tile.left // 2
        inner = inner[: shape[0] - row, : shape[1] - column]
        window = slice(row, row + inner.shape[0]), slice(column, column + inner.shape[1])
        total[window] += inner * np.exp(whole - highest)
        weight[window] += 1
    total /= np.maximum(weight, 1)
    limit = image.shape[1] - 0.5, image.shape[0] - 0.5
    share = (total / max(total.sum(), 1e-30)).astype(np.float32)
    return min(best[1], limit[0]), min(best[2], limit[1]), share


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
