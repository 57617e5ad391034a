"""GRPO refinement of a pointing policy with a Gaussian or a binary reward.

The policy is a categorical over cells. Per instruction a group of cells is sampled; each sample's
point earns the Gaussian point reward of the best of the right boxes (Tang et al., 2025, arXiv
2507.15846), or 1 inside and 0 outside; advantages are relative to the group, one inner step.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxrl_rewards.core.errors import require
from jaxrl_rewards.credit import group_advantages
from jaxrl_rewards.losses import clipped_surrogate, token_mean
from jaxrl_rewards.networks.reader import cell_points, reader_apply
from jaxrl_rewards.rewards.spatial import gaussian_point_at
from jaxrl_rewards.studies.gui_g2.train.data import ScreenPool
from jaxrl_rewards.studies.gui_g2.train.pretraining import cells_inside
from jaxrl_rewards.train.halfway import Halfway

REWARDS = ("gaussian", "binary")


@dataclasses.dataclass(frozen=True)
class RefineConfig:
    """Budget and hyper-parameters of one refinement; both rewards get the same."""

    reward: str = "gaussian"
    updates: int = 120
    screens: int = 4
    """Screens per update."""
    instructions: int = 4
    """Instructions per screen; each is one group."""
    group: int = 16
    """Samples per instruction."""
    learning_rate: float = 3e-4
    alpha: float = 0.5
    """Width of the Gaussian as a share of the box."""
    epsilon: float = 1e-4
    """Added to the group's standard deviation."""
    seed: int = 0

    def __post_init__(self):
        """Check the names and ranges."""
        require(self.reward in REWARDS, f"reward is {self.reward!r}; use one of {REWARDS}")
        require(self.group >= 2, f"group is {self.group}; a group needs at least 2 samples")
        for name in ("updates", "screens", "instructions"):
            value = getattr(self, name)
            require(value >= 0, f"{name} is {value}; it must not be negative")


@dataclasses.dataclass(frozen=True)
class RefineResult:
    """Parameters after the updates, and per update: mean reward, hit rate, share of groups whose
    rewards differ."""

    params: Any
    curves: dict[str, np.ndarray]
    cpu_seconds: float


def sample_rewards(points: Array, boxes: Array, kind: str, alpha: float) -> Array:
    """Reward of each point.

    Args:
        points: float32[G, 2] pixels.
        boxes: float32[M, 4] pixels; boxes without area do not count.
        kind: "gaussian" (in [0, 1], 1 at a centre) or "binary" (inside a box, edges included).
        alpha: width of the Gaussian.

    Returns:
        float32[G].
    """
    if kind == "gaussian":
        each = jax.vmap(lambda box: gaussian_point_at(points, box, alpha))(boxes)
        return jnp.max(each, axis=0)
    return cells_inside(boxes, points).astype(jnp.float32)


def make_update(config: RefineConfig, height: int, width: int):
    """Return (optimiser, update): `update(params, state, key, pixels, tokens, boxes)` is jitted."""
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(config.learning_rate, b2=0.99)
    )
    points = jnp.asarray(cell_points(height, width))

    def loss(params, key, pixels, tokens, boxes):
        logits = reader_apply(params, pixels, tokens).logits
        log_mass = jax.nn.log_softmax(logits, axis=-1)
        flat = log_mass.reshape(-1, log_mass.shape[-1])
        picks = jax.random.categorical(key, jax.lax.stop_gradient(flat), axis=-1,
                                       shape=(config.group, flat.shape[0])).T  # fmt: skip
        rewards = jax.vmap(lambda pick, box: sample_rewards(points[pick], box, config.reward,
                                                            config.alpha))  # fmt: skip
        flat_boxes = boxes.reshape(-1, *boxes.shape[2:])
        reward = rewards(picks, flat_boxes)
        hits = jax.vmap(lambda pick, box: cells_inside(box, points[pick]))(picks, flat_boxes)
        advantages = jax.vmap(
            lambda scores: group_advantages(scores, mode="grpo", epsilon=config.epsilon)
        )(reward)
        log_prob = jnp.take_along_axis(flat, picks, axis=-1)
        tokens = clipped_surrogate(
            log_prob, jax.lax.stop_gradient(log_prob), jax.lax.stop_gradient(advantages)
        )
        value = token_mean(tokens.loss)
        spread = jnp.mean(jnp.max(reward, axis=-1) - jnp.min(reward, axis=-1) > 1e-6)
        return value, {"reward": jnp.mean(reward), "hits": jnp.mean(hits), "spread": spread}

    @jax.jit
    def update(params, state, key, pixels, tokens, boxes):
        gradient, metrics = jax.grad(loss, has_aux=True)(params, key, pixels, tokens, boxes)
        change, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, change), state, metrics

    return optimiser, update


def refine_policy(
    params,
    pool: ScreenPool,
    config: RefineConfig,
    report: Callable | None = None,
    halfway: Halfway | None = None,
) -> RefineResult:
    """Run `config.updates` GRPO updates on the pool's screens.

    `report(done, total, metrics)` is called after each update. With `halfway` the updates go on
    from what is stored there.
    """
    halfway = halfway or Halfway(None)
    cpu = time.process_time()
    optimiser, update = make_update(config, *pool.pixels.shape[1:3])
    state = optimiser.init(params)
    generator = np.random.default_rng([config.seed, 41])
    key = jax.random.key(config.seed)
    rows, first = [], 0
    found = halfway.load((params, state, jax.random.key_data(key)))
    if found is not None:
        (params, state, data), about = found
        key = jax.random.wrap_key_data(data)
        generator.bit_generator.state = about["generator"]
        rows, first, cpu = about["rows"], about["step"], cpu - about["cpu"]
    for step in range(first, config.updates):
        pixels, _, tokens, boxes = pool.batch(generator, config.screens, config.instructions)
        key, part = jax.random.split(key)
        params, state, metrics = update(params, state, part, pixels, tokens, boxes)
        rows.append({name: float(value) for name, value in metrics.items()})
        if report:
            report(step + 1, config.updates, rows[-1])
        about = {"generator": generator.bit_generator.state, "rows": rows}
        about["cpu"] = time.process_time() - cpu
        halfway.step(step + 1, config.updates, (params, state, jax.random.key_data(key)), about)
    names = rows[0] if rows else ()
    curves = {name: np.array([row[name] for row in rows]) for name in names}
    return RefineResult(jax.device_get(params), curves, time.process_time() - cpu)
