"""Supervised pre-training on generated screens: first reading, then pointing."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxrl_rewards.networks.reader import (
    best_point,
    cell_points,
    reader_apply,
    reader_characters,
    reader_init,
)
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.studies.gui_g2.train.data import ScreenPool, make_patches, make_screens
from jaxrl_rewards.train.halfway import Halfway

Report = Callable[[str, int, int, dict], None]


@dataclasses.dataclass(frozen=True)
class PretrainResult:
    """Parameters, the instructions and words of the training screens, curves, CPU seconds.

    `snapshots` holds the parameters after the steps asked for (both phases counted together).
    """

    params: Any
    corpus: frozenset[str]
    curves: list[dict]
    cpu_seconds: float
    wall_seconds: float
    snapshots: dict[int, Any] = dataclasses.field(default_factory=dict)


def character_loss(logits: Array, labels: Array, blank_weight: float) -> Array:
    """Weighted cross-entropy of float32[..., 96] with int[...]; labels below 0 do not count."""
    labels = labels.astype(jnp.int32)
    weight = jnp.where(labels < 0, 0.0, jnp.where(labels == 0, blank_weight, 1.0))
    picked = jax.nn.one_hot(labels, logits.shape[-1])
    loss = jax.nn.logsumexp(logits, axis=-1) - jnp.sum(picked * logits, axis=-1)
    return jnp.sum(weight * loss) / jnp.maximum(jnp.sum(weight), 1.0)


def cells_inside(boxes: Array, points: Array) -> Array:
    """Whether each point float32[N, 2] lies in one of boxes float32[..., M, 4]: bool[..., N]."""
    x, y = points[:, 0], points[:, 1]
    low, high = boxes[..., :2, None], boxes[..., 2:, None]
    inside = (x >= low[..., 0, :]) & (x <= high[..., 0, :])
    inside &= (y >= low[..., 1, :]) & (y <= high[..., 1, :])
    return jnp.any(inside & (high[..., 0, :] > low[..., 0, :]), axis=-2)


def click_loss(logits: Array, inside: Array) -> Array:
    """Mean of -log of the policy's mass float32[..., N] on `inside` bool[..., N].

    An instruction without any cell inside does not count.
    """
    any_inside = jnp.any(inside, axis=-1)
    kept = jnp.where(inside | ~any_inside[..., None], logits, -1e9)
    loss = jax.nn.logsumexp(logits, axis=-1) - jax.nn.logsumexp(kept, axis=-1)
    return jnp.sum(loss) / jnp.maximum(jnp.sum(any_inside), 1)


def orthogonalise(matrix: Array, steps: int = 5) -> Array:
    """Approximate the nearest semi-orthogonal matrix by Newton-Schulz iterations.

    `matrix` is float32[..., F]; leading axes count as rows. Scaled by sqrt(max(1, rows / F)).
    """
    flat = matrix.reshape(-1, matrix.shape[-1])
    wide = flat.shape[0] < flat.shape[1]
    x = flat.T if wide else flat
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        gram = x.T @ x
        x = 3.4445 * x + x @ (-4.7750 * gram + 2.0315 * gram @ gram)
    x = x.T if wide else x
    scale = np.sqrt(max(1.0, flat.shape[0] / flat.shape[1]))
    return (scale * x).reshape(matrix.shape)


def orthogonal_momentum(schedule: Callable, momentum: float = 0.95) -> optax.GradientTransformation:
    """Momentum whose step is made orthogonal per matrix (Muon, Jordan et al. 2024)."""

    def init(params):
        return jnp.zeros([], jnp.int32), jax.tree.map(jnp.zeros_like, params)

    def update(gradient, state, params=None):
        count, average = state
        average = jax.tree.map(lambda m, g: momentum * m + g, average, gradient)
        step = jax.tree.map(
            lambda m, g: -schedule(count) * orthogonalise(g + momentum * m), average, gradient
        )
        return step, (count + 1, average)

    return optax.GradientTransformation(init, update)


def make_optimiser(config: PointingConfig) -> optax.GradientTransformation:
    """Orthogonal momentum for kernels; Adam at 0.6 of the step for scalars, 0.1 for all else.

    Gradients are clipped to norm 1; warm-up, then half a cosine, over both phases.
    """
    total = max(config.read_steps + config.point_steps, 1)
    warm = min(30, total)

    def schedule(scale):
        peak = scale * config.learning_rate
        parts = [
            optax.linear_schedule(0.0, peak, warm),
            optax.cosine_decay_schedule(peak, max(total - warm, 1), 0.01),
        ]
        return optax.join_schedules(parts, [warm])

    def kinds(params):
        def kind(leaf):
            if leaf.ndim == 0:
                return "scalar"
            return "kernel" if leaf.ndim >= 2 and leaf.shape[-1] > 1 else "other"

        return jax.tree.map(kind, params)

    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.multi_transform(
            {
                "kernel": orthogonal_momentum(schedule(1.0)),
                "other": optax.adam(schedule(0.1), b1=0.9, b2=0.99),
                "scalar": optax.adam(schedule(0.6), b1=0.9, b2=0.99),
            },
            kinds,
        ),
    )


def make_steps(config: PointingConfig, height: int, width: int):
    """Return the jitted functions (read_step, point_step): (params, state, batch...) -> 3."""
    optimiser = make_optimiser(config)
    points = jnp.asarray(cell_points(height, width))

    def read_loss(params, pixels, labels):
        return character_loss(reader_characters(params, pixels), labels, config.blank_weight)

    def point_loss(params, pixels, labels, tokens, boxes):
        output = reader_apply(params, pixels, tokens)
        reading = sum(
            character_loss(logits, label, config.blank_weight)
            for logits, label in zip(output.character_logits, labels, strict=True)
        )
        return click_loss(output.logits, cells_inside(boxes, points)) + reading

    def apply(loss_function):
        def step(params, state, *batch):
            loss, gradient = jax.value_and_grad(loss_function)(params, *batch)
            change, state = optimiser.update(gradient, state, params)
            return optax.apply_updates(params, change), state, loss

        return jax.jit(step, donate_argnums=(0, 1))

    return apply(read_loss), apply(point_loss)


def _apply_points(params, pixels, tokens):
    logits = reader_apply(params, pixels, tokens).logits
    return best_point(logits, pixels.shape[1], pixels.shape[2])


predict_points = jax.jit(_apply_points)
"""(params, pixels uint8[B, H, W, 3], tokens int32[B, K, L]) -> float32[B, K, 2], pixels."""


def pool_accuracy(params, pool: ScreenPool, instructions: int = 8, batch: int = 8) -> dict:
    """Share of instructions whose predicted point lies in a right box, overall and by kind."""
    hits, kinds = [], []
    count = len(pool.pixels) // batch * batch
    for start in range(0, count, batch):
        index = range(start, start + batch)
        tokens = np.zeros((batch, instructions, pool.tokens[0].shape[1]), np.int32)
        for row, i in enumerate(index):
            part = pool.tokens[i][:instructions]
            tokens[row, : len(part)] = part
        found = np.asarray(predict_points(params, pool.pixels[list(index)], tokens))
        for row, i in enumerate(index):
            for k in range(min(instructions, len(pool.tokens[i]))):
                x, y = found[row, k]
                b = pool.boxes[i][k]
                inside = (x >= b[:, 0]) & (x <= b[:, 2]) & (y >= b[:, 1]) & (y <= b[:, 3])
                hits.append(bool(inside.any()))
                kinds.append(pool.kinds[i][k])
    kinds = np.array(kinds)
    hits = np.array(hits)
    by_kind = {kind: float(hits[kinds == kind].mean()) for kind in sorted(set(kinds))}
    return {"accuracy": float(hits.mean()), "count": int(hits.size), "by_kind": by_kind}


def corpus_of(pool: ScreenPool) -> frozenset[str]:
    """Instructions of the pool, and every word of them without marks at its end."""
    words = {word for text in pool.instructions for word in text.split(" ")}
    bare = {word.strip(".,:;!?\"'") for word in words}
    return frozenset(pool.instructions | words | bare)


def pretrain(
    config: PointingConfig,
    report: Report | None = None,
    snapshots: tuple[int, ...] = (),
    halfway: Halfway | None = None,
) -> PretrainResult:
    """Train the reader from scratch on generated screens only.

    `report(phase, done, total, metrics)` is called while generating and every
    `config.report_every` steps. The result follows from the configuration, the fonts and the
    machine's arithmetic. With `halfway` the training goes on from what is stored there (`snapshots`
    are then of this call's steps only).
    """
    report, halfway = report or (lambda *_: None), halfway or Halfway(None)
    cpu, wall = time.process_time(), time.time()
    patches = make_patches(config, lambda done, total: report("patches", done, total, {}))
    screens = make_screens(config, progress=lambda done, total: report("screens", done, total, {}))
    held_out = make_screens(config, held_out=True, count=48)
    generator = np.random.default_rng([config.seed, 5])
    params = reader_init(jax.random.key(config.seed), config.reader)
    read_step, point_step = make_steps(config, *screens.pixels.shape[1:3])
    state = make_optimiser(config).init(params)
    curves, recent, kept, first = [], [], {}, 0
    found = halfway.load((params, state))
    if found is not None:
        (params, state), about = found
        curves, recent, first = about["curves"], about["recent"], about["step"]
        generator.bit_generator.state = about["generator"]
        # drawing the screens once more is no part of the training
        cpu, wall = time.process_time() - about["cpu"], time.time() - about["wall"]

    def note(phase, step, total, extra):
        row = {"phase": phase, "step": step, "loss": float(np.mean(recent)), **extra}
        row["cpu_seconds"] = round(time.process_time() - cpu, 1)
        curves.append(row)
        report(phase, step, total, row)
        recent.clear()

    total = config.read_steps + config.point_steps
    for number in range(first + 1, total + 1):
        if number <= config.read_steps:
            batch = patches.batch(generator, config.patch_batch)
            params, state, loss = read_step(params, state, *batch)
        else:
            batch = screens.batch(generator, config.batch, config.instructions)
            params, state, loss = point_step(params, state, *batch)
        recent.append(float(loss))
        if number in snapshots:
            kept[number] = jax.device_get(params)
        if number <= config.read_steps:
            if number % config.report_every == 0 or number == config.read_steps:
                note("read", number, config.read_steps, {})
        else:
            step = number - config.read_steps
            if step % config.report_every == 0 or step == config.point_steps:
                extra = {"held_out": pool_accuracy(params, held_out)["accuracy"]}
                note("point", step, config.point_steps, extra)
        about = {"generator": generator.bit_generator.state, "curves": curves, "recent": recent}
        clocks = {"cpu": time.process_time() - cpu, "wall": time.time() - wall}
        halfway.step(number, total, (params, state), about | clocks)
    seconds = time.process_time() - cpu, time.time() - wall
    return PretrainResult(jax.device_get(params), corpus_of(screens), curves, *seconds, kept)
