"""A network that reads a screen and points at the text it is asked for.

RGB is rearranged 2x2 into channels, local mean and contrast are evened out, and four
convolutions (3x5 to 32, 4x3 with stride 2 in y to 48, 3x3 to 64, residual 1x5 to 64) give one
feature vector per cell of 2 px (x) by 4 px (y); a linear head gives a softmax over 95 printable
ASCII characters and "blank". The same network runs on the image reduced by two, which reads fonts
twice as large. The instruction is aligned with every row of cells (`alignment_scores`); a small
context network adds "clickable here". The policy is a softmax over the cells of both scales,
whose centres are the points.
"""

import dataclasses
import functools
import unicodedata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxrl_rewards.core import record
from jaxrl_rewards.networks.alignment import alignment_scores
from jaxrl_rewards.networks.fast_conv import conv2d

BLANK, SPACE = 0, 1
CLASSES = 96
UNKNOWN, CONTINUES = 96, 97
LOW = -1e9
REACH = 6
"""Cells beyond a line break that should be blank (12 px at scale 1)."""
CELL = (4, 2)
MULTIPLE = (8, 4)
"""Height and width must be multiples of these (two scales)."""


@dataclasses.dataclass(frozen=True)
class ReaderConfig:
    """Static sizes: channels of the four convolutions and of the context, characters read."""

    channels: tuple[int, int, int] = (32, 48, 64)
    context: int = 24
    max_length: int = 24

    def __post_init__(self):
        """Check the sizes."""
        if self.max_length < 4:
            raise ValueError(f"max_length is {self.max_length}; read at least 4 characters")
        if min(*self.channels, self.context) < 1:
            raise ValueError(f"channels {self.channels}, {self.context} must all be at least 1")


@record
class ReaderOutput:
    """Attributes of one pass.

    logits: float32[B, K, N], policy logits over the N cells of both scales; `LOW` outside `size`.
    character_logits: tuple of float32[B, H / 4k, W / 2k, 96] for the scales k = 1, 2.
    """

    logits: Array
    character_logits: Any


def encode_instruction(text: str, max_length: int = 24) -> np.ndarray:
    """Turn a text into int32[max_length] character classes, 0 behind its end.

    White space runs become one space, accents are dropped, other characters outside printable
    ASCII become `UNKNOWN`. A text longer than `max_length` keeps its first `max_length - 1`
    characters and ends in `CONTINUES`. Raises ValueError for a text without characters.
    """
    plain = unicodedata.normalize("NFKD", " ".join(text.split()))
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    if not plain:
        raise ValueError("the instruction is empty; give at least one character")
    codes = [ord(char) - 31 if 32 <= ord(char) <= 126 else UNKNOWN for char in plain]
    if len(codes) > max_length:
        codes = [*codes[: max_length - 1], CONTINUES]
    return np.array(codes + [0] * (max_length - len(codes)), np.int32)


def reader_init(key: Array, config: ReaderConfig = ReaderConfig()) -> dict:
    """Return the parameters, a dict of float32 arrays (about 120 thousand numbers)."""
    one, two, three = config.channels
    shapes = {
        "conv1": (3, 5, 12, one),
        "conv2": (2, 3, 2 * one, two),
        "conv3": (3, 3, two, three),
        "conv4": (1, 5, three, three),
        "context1": (3, 3, three, config.context),
        "context2": (3, 3, config.context, config.context),
    }
    keys = jax.random.split(key, len(shapes) + 1)
    params: dict = {}
    for name, part in zip(shapes, keys, strict=False):
        shape = shapes[name]
        scale = np.sqrt(2.0 / np.prod(shape[:3]))
        params[name] = {
            "kernel": scale * jax.random.normal(part, shape, dtype=jnp.float32),
            "bias": jnp.zeros(shape[-1]),
        }
    params["characters"] = {
        "kernel": jax.random.normal(keys[-1], (three, CLASSES), dtype=jnp.float32) / np.sqrt(three),
        "bias": jnp.zeros(CLASSES).at[BLANK].set(2.0),
    }
    params["context3"] = {"kernel": jnp.zeros((config.context, 1)), "bias": jnp.zeros(1)}
    params["alignment"] = {
        "log_floor": jnp.log(jnp.float32(0.03)),
        "boundary": jnp.float32(0.67),
        "log_skip": jnp.float32(-4.0),
        "log_wrap": jnp.float32(-2.5),
        "wrap_per_character": jnp.float32(-0.3),
        "middle": jnp.float32(1.0),
        "temperature": jnp.float32(1.0),
        "coarse": jnp.float32(0.0),
    }
    return params


def _conv(layer: dict, features: Array, padding) -> Array:
    return jax.nn.relu(conv2d(features, layer["kernel"], padding) + layer["bias"])


def _mask(features: Array, size: Array | None, cell: tuple[int, int]) -> Array:
    """Set features outside each image's `size` (height, width in pixels) to 0."""
    if size is None:
        return features
    rows = jnp.arange(features.shape[1]) * cell[0] < size[:, :1]
    columns = jnp.arange(features.shape[2]) * cell[1] < size[:, 1:]
    return features * (rows[:, :, None] & columns[:, None, :])[..., None]


def _box_mean(values: Array, weight: Array) -> Array:
    """Weighted mean of [B, H, W, 1] over 7x13 windows (14 px by 26 px)."""

    def total(array):
        tall = jax.lax.reduce_window(array, 0.0, jax.lax.add, (1, 7, 1, 1), (1, 1, 1, 1), "SAME")
        return jax.lax.reduce_window(tall, 0.0, jax.lax.add, (1, 1, 13, 1), (1, 1, 1, 1), "SAME")

    return total(values * weight) / jnp.maximum(total(weight), 1.0)


def _even_contrast(blocks: Array, size: Array | None) -> Array:
    """Subtract the local mean luminance and divide by the local deviation (at least 0.1)."""
    whole = jnp.ones_like(blocks[:1, ..., :1] if size is None else blocks[..., :1])
    weight = _mask(whole, size, (2, 2))
    blocks = blocks - _box_mean(jnp.mean(blocks, axis=-1, keepdims=True), weight)
    variance = _box_mean(jnp.mean(blocks**2, axis=-1, keepdims=True), weight)
    return blocks * jax.lax.rsqrt(variance + 0.01)


def _trunk(params: dict, images: Array, size: Array | None) -> Array:
    """Features float32[B, H / 4, W / 2, 64] of normalised images."""
    batch, height, width, _ = images.shape
    blocks = images.reshape(batch, height // 2, 2, width // 2, 2, 3)
    features = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, 12)
    features = _mask(_even_contrast(features, size), size, (2, 2))
    features = _mask(_conv(params["conv1"], features, ((1, 1), (2, 2))), size, (2, 2))
    channels = features.shape[-1]
    pairs = features.reshape(batch, height // 4, 2, width // 2, channels)
    features = pairs.transpose(0, 1, 3, 2, 4).reshape(batch, height // 4, width // 2, -1)
    features = _mask(_conv(params["conv2"], features, ((1, 0), (1, 1))), size, CELL)
    features = _mask(_conv(params["conv3"], features, ((1, 1), (1, 1))), size, CELL)
    return features + _mask(_conv(params["conv4"], features, ((0, 0), (2, 2))), size, CELL)


def clickability(params: dict, features: Array, size: Array | None) -> Array:
    """The score "clickable here", float32[B, Y, X].

    From features pooled 1x4 (y, x) by two 3x3 convolutions.
    """
    batch, rows, columns, channels = features.shape
    spare = -columns % 4
    padded = jnp.pad(features, ((0, 0), (0, 0), (0, spare), (0, 0)))
    pooled = padded.reshape(batch, rows, -1, 4, channels).mean(axis=3)
    pooled = _conv(params["context1"], pooled, ((1, 1), (1, 1)))
    pooled = _mask(pooled, size, (CELL[0], 4 * CELL[1]))
    pooled = _conv(params["context2"], pooled, ((1, 1), (1, 1)))
    score = (pooled @ params["context3"]["kernel"])[..., 0] + params["context3"]["bias"]
    return jnp.repeat(score, 4, axis=2)[:, :, :columns]


def _read_scale(params: dict, images: Array, size: Array | None):
    features = _trunk(params, images, size)
    layer = params["characters"]
    return features @ layer["kernel"] + layer["bias"], clickability(params, features, size)


def reader_features(params: dict, images: Array, size: Array | None = None) -> Array:
    """Features float32[B, H / 4, W / 2, 64] of uint8 or float32[B, H, W, 3] images in 0..255."""
    return _trunk(params, _normalise(images), size)


def reader_characters(params: dict, images: Array) -> Array:
    """Character logits float32[B, H / 4, W / 2, 96] of images at scale 1, for learning to read.

    `images` is uint8 or float32[B, H, W, 3] in 0..255.
    """
    return _read_scale(params, _normalise(images), None)[0]


def _normalise(images: Array) -> Array:
    return jnp.asarray(images, jnp.float32) / 127.5 - 1.0


def _spot(alignment: dict, character_logits: Array, inside: Array, tokens: Array) -> Array:
    """Match scores float32[Y, X] of one instruction int32[L] on one image's characters.

    `inside` float32[Y, X] is 0 in padding; it and all beyond the array count as blank.
    """
    floor = jnp.exp(alignment["log_floor"])
    probability = jax.nn.softmax(character_logits, axis=-1)
    blank = probability[..., BLANK]
    is_character = (tokens > 0) & (tokens < CONTINUES)
    count = jnp.sum(is_character)
    one_hot = jax.nn.one_hot(tokens, CLASSES)
    known = jnp.einsum("yxc,lc->yxl", probability, one_hot)
    emitted = jnp.where(tokens == UNKNOWN, 0.3 * (1.0 - blank)[..., None], known)
    emission = jnp.where(is_character, emitted + floor, 0.0) * inside[..., None]
    blank = jnp.where(inside > 0, blank, 1.0)
    around = jnp.pad(blank, ((0, 0), (REACH, REACH)), constant_values=1.0)
    open_edge = (around + floor) ** (0.5 * jnp.maximum(alignment["boundary"], 0.0))
    columns = blank.shape[1]
    beside = [
        open_edge[:, REACH + shift : REACH + shift + columns] for shift in range(1, REACH + 1)
    ]
    start = open_edge[:, REACH - 2 : REACH - 2 + columns] * open_edge[:, REACH - 1 : -REACH - 1]
    stop = beside[0] * beside[1]
    # a line is only broken where nothing follows for a while
    broken = functools.reduce(jnp.multiply, beside)
    # a text longer than what is read goes on behind its last character: nothing is required there
    stop = jnp.where(jnp.any(tokens == CONTINUES), 1.0, stop)
    index = jnp.arange(tokens.shape[0])
    missing = count - 1 - index
    wrapped = alignment["log_wrap"] + alignment["wrap_per_character"] * missing
    wrapped = jnp.exp(jnp.minimum(wrapped, 0.0))
    following = jnp.concatenate([tokens[1:], jnp.zeros(1, tokens.dtype)])
    early = jnp.where(is_character & (following == SPACE), wrapped, 0.0)
    full = index == count - 1
    leaves = (jnp.where(full, 1.0, 0.0), jnp.where(full, 0.0, early))
    scores = jax.vmap(alignment_scores, in_axes=(0, 0, (0, 0), None, None))
    joint = scores(emission, start, (stop, broken), leaves, jnp.exp(alignment["log_skip"]))
    place = (2.0 * index + 1.0) / jnp.maximum(count, 1) - 1.0
    weight = jnp.where(is_character, -jax.nn.softplus(alignment["middle"]) * place**2, LOW)
    return jax.nn.logsumexp(joint + weight, axis=-1)


def reduce_by_two(images: Array) -> Array:
    """Average 2x2 blocks of [B, H, W, C] (H and W even)."""
    batch, height, width, channels = images.shape
    return images.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def reader_read(params: dict, images: Array, size: Array | None = None) -> tuple[dict, ...]:
    """Read images once, whatever is asked of them afterwards (`reader_score`).

    Args:
        params: from `reader_init`.
        images: uint8 or float32[B, H, W, 3] in 0..255; H a multiple of 8, W of 4.
        size: int32[B, 2], see `reader_apply`.

    Returns:
        Per scale `characters` float32[B, Y, X, 96] logits, `context` float32[B, Y, X] and `inside`
        float32[B, Y, X], 0 in padding. Raises ValueError for other shapes.
    """
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"images have shape {images.shape}; give [B, H, W, 3]")
    if images.shape[1] % MULTIPLE[0] or images.shape[2] % MULTIPLE[1]:
        raise ValueError(
            f"images are {images.shape[1]} high and {images.shape[2]} wide; pad them to "
            f"multiples of {MULTIPLE[0]} and {MULTIPLE[1]} (pad_image)"
        )
    fine = _normalise(images)
    scales = []
    for scale, pixels in ((1, fine), (2, reduce_by_two(fine))):
        part = None if size is None else size // scale
        characters, context = _read_scale(params, pixels, part)
        inside = _mask(jnp.ones_like(characters[..., :1]), part, CELL)[..., 0]
        scales.append({"characters": characters, "context": context, "inside": inside})
    return tuple(scales)


def reader_score(params: dict, read: tuple[dict, ...], tokens: Array) -> Array:
    """Policy logits float32[B, K, N] of instructions int32[B, K, L] on images that were read."""
    alignment = params["alignment"]
    empty = jnp.all(tokens == 0, axis=-1)
    spot = jax.vmap(jax.vmap(_spot, in_axes=(None, None, None, 0)), in_axes=(None, 0, 0, 0))
    flat = []
    for index, part in enumerate(read):
        score = spot(alignment, part["characters"], part["inside"], tokens)
        score = alignment["temperature"] * score
        score = jnp.where(empty[:, :, None, None], 0.0, score + part["context"][:, None])
        score = score + index * alignment["coarse"]
        score = jnp.where(part["inside"][:, None] > 0, score, LOW)
        flat.append(score.reshape(*score.shape[:2], -1))
    return jnp.concatenate(flat, axis=-1)


def reader_apply(
    params: dict, images: Array, tokens: Array, size: Array | None = None
) -> ReaderOutput:
    """Read images and give the policy of each instruction.

    Args:
        params: from `reader_init`.
        images: uint8 or float32[B, H, W, 3] in 0..255; H a multiple of 8, W of 4.
        tokens: int32[B, K, L], K instructions per image (`encode_instruction`); an all-zero row
            gives a uniform policy.
        size: int32[B, 2], height and width of the part of each image that counts, multiples of 8
            and 4; the rest is padding and changes nothing. None: everything counts.

    Raises ValueError for other shapes.
    """
    if tokens.ndim != 3 or images.ndim != 4 or tokens.shape[0] != images.shape[0]:
        given = images.shape[0] if images.ndim == 4 else "B"
        raise ValueError(
            f"tokens have shape {tokens.shape} and images {images.shape}; give [{given}, K, L] and "
            "[B, H, W, 3]"
        )
    read = reader_read(params, images, size)
    characters = tuple(part["characters"] for part in read)
    return ReaderOutput(logits=reader_score(params, read, tokens), character_logits=characters)


def cell_points(height: int, width: int) -> np.ndarray:
    """Centres (x, y) of all cells in pixels, float32[N, 2], in the order of the policy logits."""
    points = []
    for scale in (1, 2):
        high, wide = CELL[0] * scale, CELL[1] * scale
        y, x = np.meshgrid(
            (np.arange(height // high) + 0.5) * high,
            (np.arange(width // wide) + 0.5) * wide,
            indexing="ij",
        )
        points.append(np.stack([x.ravel(), y.ravel()], axis=-1))
    return np.concatenate(points).astype(np.float32)


def probability_map(logits: Array, height: int, width: int) -> Array:
    """Policy as float32[..., H / 4, W / 2]: the mass per fine cell, coarse cells spread evenly."""
    fine = (height // CELL[0], width // CELL[1])
    coarse = (fine[0] // 2, fine[1] // 2)
    share = jax.nn.softmax(logits, axis=-1)
    first = share[..., : fine[0] * fine[1]].reshape(*share.shape[:-1], *fine)
    second = share[..., fine[0] * fine[1] :].reshape(*share.shape[:-1], *coarse)
    spread = jnp.repeat(jnp.repeat(second, 2, axis=-2), 2, axis=-1) / 4
    return first + spread


def best_point(logits: Array, height: int, width: int) -> Array:
    """The point (x, y) float32[..., 2] around which a window of 20x12 px holds the most mass."""
    mass = probability_map(logits, height, width)
    lead = mass.shape[:-2]
    grid = mass.reshape(-1, *mass.shape[-2:])
    # weights fall off, so that the window's middle wins where several windows hold all mass
    rows = jnp.array([0.6, 1.0, 0.6])
    columns = jnp.array([0.3, 0.6, 0.8, 0.9, 1.0, 0.9, 0.8, 0.6, 0.3])
    padded = jnp.pad(grid, ((0, 0), (1, 1), (4, 4)))
    tall, wide = grid.shape[1:]
    smooth = sum(rows[i] * padded[:, i : i + tall] for i in range(3))
    smooth = sum(columns[j] * smooth[:, :, j : j + wide] for j in range(9))
    index = jnp.argmax(smooth.reshape(grid.shape[0], -1), axis=-1)
    x = (index % wide + 0.5) * CELL[1]
    y = (index // wide + 0.5) * CELL[0]
    return jnp.stack([x, y], axis=-1).reshape(*lead, 2).astype(jnp.float32)


def pad_image(image: np.ndarray, height: int = 0, width: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pad uint8[H, W, 3] for `reader_apply`.

    The edge is repeated up to the next multiples of 8 and 4; then zeros up to `height`, `width`.

    Returns:
        The padded image and its `size` int32[2]. Raises ValueError where it does not fit.
    """
    tall, wide = (-(-image.shape[axis] // MULTIPLE[axis]) * MULTIPLE[axis] for axis in (0, 1))
    height, width = height or tall, width or wide
    if tall > height or wide > width:
        raise ValueError(f"an image of {image.shape[:2]} does not fit into {height}x{width}")
    edge = ((0, tall - image.shape[0]), (0, wide - image.shape[1]), (0, 0))
    padded = np.pad(image, edge, mode="edge")
    padded = np.pad(padded, ((0, height - tall), (0, width - wide), (0, 0)))
    return padded, np.array([tall, wide], np.int32)
