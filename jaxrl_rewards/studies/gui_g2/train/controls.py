"""Controls: what can be had without reading.

All trained controls are favoured: they are fitted to the evaluation set itself, on the pages of
the other families (five folds by family), while the reader never sees a page of it.

- constant: the one relative position that hits most elements of the other families;
- instruction only: softmax regression from hashed characters of the instruction to positions;
- pixels only: the reader's own convolutional features, frozen, and a new context network on top
  that is trained to point without an instruction;
- pixel ceiling: per image the one point that lies in most boxes, known afterwards.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrl_rewards.networks.reader import (
    cell_points,
    clickability,
    reader_features,
    reader_init,
)
from jaxrl_rewards.studies.gui_g2.train.metrics import inside
from jaxrl_rewards.studies.gui_g2.train.predict import SMALL_PIXELS, check_image, prepare_image

FOLDS = 5
GRID = (42, 40)
HASHES = 1024
REDUCED = (160, 256)
"""Height and width to which larger screens are reduced for "pixels only", whose features of all
screens are kept at once (1.3 MB each)."""


def family_folds(families: Sequence[str], folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """Assign each row the fold of its family, int[n]; fewer folds where there are few families."""
    names = sorted(set(families))
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {names[i]: rank % folds for rank, i in enumerate(order)}
    return np.array([fold[name] for name in families])


def _relative(boxes: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    return boxes / np.stack([shapes[:, 1], shapes[:, 0]] * 2, axis=-1)


def _grid_points() -> np.ndarray:
    y, x = np.meshgrid(
        (np.arange(GRID[0]) + 0.5) / GRID[0], (np.arange(GRID[1]) + 0.5) / GRID[1], indexing="ij"
    )
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def _cover(boxes: np.ndarray) -> np.ndarray:
    """bool[n, cells]: which grid points lie in each relative box."""
    return _inside_boxes(_grid_points(), boxes)


def _inside_boxes(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    x, y = points[:, 0], points[:, 1]
    b = boxes[:, :, None]
    return (x >= b[:, 0]) & (x <= b[:, 2]) & (y >= b[:, 1]) & (y <= b[:, 3])


def constant_position(boxes, shapes, folds) -> np.ndarray:
    """Hits bool[n] of the best constant relative position of the other folds."""
    cover = _cover(_relative(boxes, shapes))
    hits = np.zeros(len(boxes), bool)
    for fold in np.unique(folds):
        train = folds != fold
        best = int(np.argmax(cover[train].sum(axis=0))) if train.any() else 0
        hits[folds == fold] = cover[folds == fold, best]
    return hits


def _hashed(text: str) -> np.ndarray:
    padded = f"^{text}$"
    row = np.zeros(HASHES, np.float32)
    for size in (1, 2, 3):
        for i in range(len(padded) - size + 1):
            row[zlib.crc32(padded[i : i + size].encode("utf-8")) % HASHES] = 1.0
    row[zlib.crc32(f"whole {text}".encode()) % HASHES] = 3.0
    return row


def instruction_only(instructions, boxes, shapes, folds, steps: int = 200) -> np.ndarray:
    """Hits bool[n] of softmax regression from the instruction to a 42x40 grid of positions."""
    features = jnp.asarray(np.stack([_hashed(text) for text in instructions]))
    cover = _cover(_relative(boxes, shapes))
    target = jnp.asarray(cover / np.maximum(cover.sum(axis=1, keepdims=True), 1))
    optimiser = optax.adamw(0.02, weight_decay=0.01)

    def fit(weight):
        def loss(params):
            logits = features @ params["kernel"] + params["bias"]
            loss = -jnp.sum(target * jax.nn.log_softmax(logits), axis=-1)
            return jnp.sum(weight * loss) / jnp.sum(weight)

        def step(carry, _):
            params, state = carry
            change, state = optimiser.update(jax.grad(loss)(params), state, params)
            return (optax.apply_updates(params, change), state), None

        cells = GRID[0] * GRID[1]
        params = {"kernel": jnp.zeros((HASHES, cells)), "bias": jnp.zeros(cells)}
        (params, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), None, steps)
        return jnp.argmax(_smooth(features @ params["kernel"] + params["bias"]), axis=-1)

    fit = jax.jit(fit)
    hits = np.zeros(len(boxes), bool)
    for fold in np.unique(folds):
        choice = np.asarray(fit(jnp.asarray(folds != fold, jnp.float32)))
        rows = np.flatnonzero(folds == fold)
        hits[rows] = cover[rows, choice[rows]]
    return hits


def _smooth(logits):
    mass = jax.nn.softmax(logits, axis=-1).reshape(-1, *GRID)
    window = jax.lax.reduce_window(mass, 0.0, jax.lax.add, (1, 3, 5), (1, 1, 1), "SAME")
    return window.reshape(logits.shape)


def pixel_ceiling(images: Sequence[str], boxes: np.ndarray) -> float:
    """Share that the best single point per image hits: the bound of any pixel-only policy."""
    boxes, images = np.asarray(boxes, np.float64), np.asarray(images)
    total = 0
    for name in np.unique(images):
        part = boxes[images == name]
        x, y = np.unique(part[:, [0, 2]]), np.unique(part[:, [1, 3]])
        # a best region has its corner at box edges; edges are included
        wide = (part[:, :1] <= x) & (x <= part[:, 2:3])
        tall = (part[:, 1:2] <= y) & (y <= part[:, 3:])
        total += int((wide.T.astype(np.int32) @ tall.astype(np.int32)).max())
    return total / len(boxes)


def _reduced(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image, a large one at `REDUCED` size, and its scale (x, y)."""
    image = check_image(image)
    height, width = image.shape[:2]
    if height * width <= SMALL_PIXELS:
        return image, np.ones(2)
    from PIL import Image

    small = Image.fromarray(image).resize(REDUCED[::-1], Image.Resampling.BOX)
    return np.asarray(small), np.array([REDUCED[1] / width, REDUCED[0] / height])


def _features_and_shares(params, screens: list[tuple], points: np.ndarray):
    """Frozen features float16[n, Y, X, 64], each cell's share of the boxes, sizes int32[n, 2]."""
    features_of = jax.jit(lambda pixels, size: reader_features(params, pixels[None], size[None]))
    features, shares = [], []
    for pixels, size, boxes in screens:
        features.append(np.asarray(features_of(pixels, size))[0].astype(np.float16))
        inside_each = _inside_boxes(points, boxes)
        area = np.maximum(inside_each.sum(axis=1, keepdims=True), 1)
        shares.append(np.mean(inside_each / area, axis=0).astype(np.float32))
    return np.stack(features), np.stack(shares), np.stack([size for _, size, _ in screens])


def _points_of_folds(params, screens: list[tuple], folds, budget, progress) -> np.ndarray:
    """The one point float32[n, 2] of each screen, by a network trained on the other folds."""
    height, width = screens[0][0].shape[:2]
    points = cell_points(height, width)[: (height // 4) * (width // 2)]
    features, share, sizes = _features_and_shares(params, screens, points)
    steps, batch = budget
    optimiser = optax.adam(3e-3)

    def score(head, feature, size):
        return clickability(head, feature, size).reshape(len(feature), -1)

    @jax.jit
    def step(head, state, feature, size, target):
        def loss(head):
            return -jnp.mean(
                jnp.sum(target * jax.nn.log_softmax(score(head, feature, size)), axis=-1)
            )

        value, gradient = jax.value_and_grad(loss)(head)
        change, state = optimiser.update(gradient, state)
        return optax.apply_updates(head, change), state, value

    scores = jax.jit(score)
    chosen = np.zeros((len(features), 2), np.float32)
    generator = np.random.default_rng(0)
    for number, fold in enumerate(np.unique(folds)):
        fresh = reader_init(jax.random.key(17))
        head = {name: fresh[name] for name in ("context1", "context2", "context3")}
        head["context3"]["kernel"] = 0.1 * jnp.ones_like(head["context3"]["kernel"])
        state = optimiser.init(head)
        train = np.flatnonzero(folds != fold)
        if train.size == 0:
            continue
        for _ in range(steps):
            index = generator.choice(train, size=batch)
            feature = features[index].astype(np.float32)
            head, state, _ = step(head, state, feature, sizes[index], share[index])
        test = np.flatnonzero(folds == fold)
        for i in test:
            logits = scores(head, features[i : i + 1].astype(np.float32), sizes[i : i + 1])
            mass = jax.nn.softmax(logits).reshape(1, height // 4, width // 2)
            mass = jax.lax.reduce_window(mass, 0.0, jax.lax.add, (1, 3, 7), (1, 1, 1), "SAME")
            chosen[i] = points[int(jnp.argmax(mass))]
        if progress:
            progress(number + 1, len(np.unique(folds)))
    return chosen


def pixels_only(
    params, images: Iterable[np.ndarray], groups: list[np.ndarray], folds: np.ndarray,
    steps: int = 120, batch: int = 16, progress: Callable | None = None,
) -> list[np.ndarray]:  # fmt: skip
    """Train a context network on frozen features to point without an instruction.

    Args:
        params: a reader's parameters, for its features.
        images: uint8[H, W, 3] each, taken one by one; those above 120,000 pixels are reduced to one
            size. The most frequent bucket of padded sizes counts (others get no point).
        groups: per image, float32[k, 4], the boxes of its records.
        folds: int[images].

    Returns:
        Per image bool[k], whether the image's one point lies in each box.
    """
    prepared, scaled = [], []
    for image, boxes in zip(images, groups, strict=True):
        pixels, share = _reduced(image)
        prepared.append(prepare_image(pixels))
        scaled.append(np.asarray(boxes, np.float64) * np.tile(share, 2))
    shapes = [item[0].shape for item in prepared]
    common = max(set(shapes), key=shapes.count)
    usable = np.array([shape == common for shape in shapes])
    kept = [(*item, boxes) for item, boxes, good in zip(prepared, scaled, usable) if good]
    chosen = _points_of_folds(params, kept, folds[usable], (steps, batch), progress)
    hits, row = [], 0
    for good, boxes in zip(usable, scaled, strict=True):
        if good:
            hits.append(np.array([inside(chosen[row], box) for box in boxes]))
            row += 1
        else:
            hits.append(np.zeros(len(boxes), bool))
    return hits
