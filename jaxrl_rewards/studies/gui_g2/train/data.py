"""Pools of generated patches and screens as arrays, and random batches of them."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxrl_envs.gui.synthetic_screens import (
    ScreenConfig,
    SyntheticScreen,
    generate_patch,
    generate_screen,
)

from jaxrl_rewards.networks.reader import encode_instruction
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig

PATCH_HEIGHT, PATCH_WIDTH = 64, 96
BOXES = 4
SEED_STRIDE = 1_000_003
HELD_OUT_WORDS = 900_001


@dataclasses.dataclass(frozen=True)
class PatchPool:
    """uint8[n, 64, 96, 3] pixels and int8[n, 16, 48] character classes."""

    pixels: np.ndarray
    labels: np.ndarray

    def batch(self, generator: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw patches, with changed colours."""
        index = generator.integers(len(self.pixels), size=size)
        return change_colours(self.pixels[index], generator), self.labels[index]


@dataclasses.dataclass(frozen=True)
class ScreenPool:
    """Screens as arrays with their elements.

    pixels uint8[n, H, W, 3]; labels two int8 arrays; `texts[i]` the instructions of screen i;
    `tokens[i]` int32[k, L]; `boxes[i]` float32[k, BOXES, 4], where each instruction is right to
    click (padded with empty boxes); `kinds[i]`, `sizes[i]` of the first element with the text.
    """

    pixels: np.ndarray
    labels: tuple[np.ndarray, np.ndarray]
    texts: tuple[tuple[str, ...], ...]
    tokens: tuple[np.ndarray, ...]
    boxes: tuple[np.ndarray, ...]
    kinds: tuple[tuple[str, ...], ...]
    sizes: tuple[np.ndarray, ...]

    def batch(self, generator: np.random.Generator, size: int, instructions: int):
        """Draw screens, with changed colours, and `instructions` of each.

        Returns:
            pixels uint8[B, H, W, 3], (labels, labels), tokens int32[B, K, L],
            boxes float32[B, K, BOXES, 4].
        """
        index = generator.integers(len(self.pixels), size=size)
        picks = [generator.integers(len(self.texts[i]), size=instructions) for i in index]
        tokens = np.stack([self.tokens[i][k] for i, k in zip(index, picks, strict=True)])
        boxes = np.stack([self.boxes[i][k] for i, k in zip(index, picks, strict=True)])
        pixels = change_colours(self.pixels[index], generator)
        return pixels, tuple(label[index] for label in self.labels), tokens, boxes

    @property
    def instructions(self) -> frozenset[str]:
        """All instructions of the pool."""
        return frozenset(text for texts in self.texts for text in texts)


def change_colours(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Permute channels (1 in 4), invert (1 in 8), change contrast and brightness (1 in 4)."""
    result = pixels.copy()
    for image in result:
        draw = generator.random(3)
        if draw[0] < 0.25:
            image[:] = image[..., generator.permutation(3)]
        if draw[1] < 0.125:
            image[:] = 255 - image
        if draw[2] < 0.25:
            contrast, shift = generator.uniform(0.6, 1.1), generator.uniform(-25, 25)
            image[:] = np.clip((image - 127.5) * contrast + 127.5 + shift, 0, 255)
    return result


def screen_instructions(screen: SyntheticScreen) -> list[tuple[str, np.ndarray, str, float]]:
    """Return (text, float32[BOXES, 4], kind, font size) for each different visible text."""
    rows: dict[str, tuple] = {}
    for element in screen.elements:
        text = element.text[:60].strip()
        if element.visible and text and text not in rows:
            boxes = [other.box for other in screen.elements if other.text[:60].strip() == text]
            padded = np.zeros((BOXES, 4), np.float32)
            padded[: len(boxes[:BOXES])] = boxes[:BOXES]
            rows[text] = (text, padded, element.kind, element.size)
    return list(rows.values())


def make_patches(config: PointingConfig, progress: Callable | None = None) -> PatchPool:
    """Generate the patches of a configuration; `progress(done, total)` is called now and then."""
    sizes = ScreenConfig(
        height=PATCH_HEIGHT,
        width=PATCH_WIDTH,
        word_seed=config.seed,
        system_fonts=config.system_fonts,
    )
    pixels = np.zeros((config.patches, PATCH_HEIGHT, PATCH_WIDTH, 3), np.uint8)
    labels = np.zeros((config.patches, PATCH_HEIGHT // 4, PATCH_WIDTH // 2), np.int8)
    for index in range(config.patches):
        patch = generate_patch(sizes, config.seed * SEED_STRIDE + index)
        pixels[index], labels[index] = patch.pixels, patch.labels[0]
        if progress and index % 50 == 0:
            progress(index, config.patches)
    return PatchPool(pixels, labels)


def make_screens(
    config: PointingConfig,
    *,
    held_out: bool = False,
    count: int | None = None,
    size: tuple[int, int] | None = None,
    progress: Callable | None = None,
) -> ScreenPool:
    """Generate screens; `held_out` ones have other seeds and other words; `size` is (width,
    height) in pixels, the generator's own when None."""
    count = config.screens if count is None else count
    words = config.seed + (HELD_OUT_WORDS if held_out else 0)
    sizes = {} if size is None else {"width": size[0], "height": size[1]}
    screen_config = ScreenConfig(word_seed=words, system_fonts=config.system_fonts, **sizes)
    height, width = screen_config.height, screen_config.width
    pixels = np.zeros((count, height, width, 3), np.uint8)
    labels = tuple(np.zeros((count, height // (4 * k), width // (2 * k)), np.int8) for k in (1, 2))
    rows = []
    for index in range(count):
        screen = generate_screen(screen_config, words * SEED_STRIDE + index)
        pixels[index] = screen.pixels
        for target, label in zip(labels, screen.labels, strict=True):
            target[index] = label
        rows.append(screen_instructions(screen))
        if progress and index % 50 == 0:
            progress(index, count)
    length = config.reader.max_length
    return ScreenPool(
        pixels=pixels,
        labels=labels,
        texts=tuple(tuple(row[0] for row in part) for part in rows),
        tokens=tuple(np.stack([encode_instruction(r[0], length) for r in part]) for part in rows),
        boxes=tuple(np.stack([r[1] for r in part]) for part in rows),
        kinds=tuple(tuple(r[2] for r in part) for part in rows),
        sizes=tuple(np.array([r[3] for r in part]) for part in rows),
    )
