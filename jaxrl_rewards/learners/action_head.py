"""From a network's output vector to actions: one head per kind of action space."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_rewards.core import Box, Discrete, MultiDiscrete, Space
from jaxrl_rewards.losses import distributions


class ActionHead(NamedTuple):
    """Pure functions over `output [..., size]`; leading axes are free."""

    size: int
    sample: Callable[[jax.Array, Float[Array, "... P"]], tuple[Any, Array]]
    """`(key, output) -> (action, log_prob [...])`: `draw` with the noise of `key`."""
    log_prob: Callable[[Float[Array, "... P"], Any], Array]
    entropy: Callable[[Float[Array, "... P"]], Array]
    mode: Callable[[Float[Array, "... P"]], Any]
    token_log_prob: Callable[[Float[Array, "... P"], Any], Array]
    """Log-probability per action component, `[..., K]` (K = 1 for a scalar action)."""
    to_env: Callable[[Any], Any]
    """What the world receives for a stored action (clipping to a Box)."""
    noise: Callable[[jax.Array, tuple[int, ...]], Array]
    """`(key, lead) -> noise [*lead, ...]`: what chance gives a sample, whatever the output."""
    draw: Callable[[Array, Float[Array, "... P"]], tuple[Any, Array]]
    """`(noise, output) -> (action, log_prob [...])`. Drawing the noise of a whole rollout at once
    is many times faster than inside its loop."""
    temper: Callable[[Float[Array, "... P"], Any], Float[Array, "... P"]]
    """`(output, temperature) -> output` of the distribution to the power of 1 / temperature; under
    `squash`, of the Gaussian before it."""


def action_head(space: Space, *, squash: bool = False, min_log_std: float = -5.0) -> ActionHead:
    """The head for `space`: categorical, independent categoricals, or a Gaussian over a Box.

    A Gaussian's log standard deviation is part of the output (state dependent, bounded below by
    `min_log_std`). `squash=True` uses a tanh-normal scaled to the Box's finite bounds; else
    actions are clipped to the Box on their way to the world only.
    """
    if isinstance(space, Discrete):
        return _categorical_head(space.n)
    if isinstance(space, MultiDiscrete):
        return _multi_categorical_head(space.nvec)
    if isinstance(space, Box) and len(space.shape) <= 1:
        return _gaussian_head(space, squash, min_log_std)
    raise ValueError(f"no action head for the space {space}; use Discrete, MultiDiscrete or Box")


def _sampler(noise: Callable[..., Array], draw: Callable[..., Any]) -> Callable[..., Any]:
    def sample(key, output):
        return draw(noise(key, output.shape[:-1]), output)

    return sample


def _same(action: Any) -> Any:
    return action


def _divided(logits: Array, temperature: Any) -> Array:
    return logits / temperature


def _categorical_head(n: int) -> ActionHead:
    def noise(key, lead):
        return jax.random.gumbel(key, (*lead, n), jnp.float32)

    def draw(noise, output):
        distribution = distributions.Categorical(logits=output)
        action = distribution.draw(noise)
        return action, distribution.log_prob(action)

    def log_prob(output, action):
        return distributions.Categorical(logits=output).log_prob(action)

    return ActionHead(
        size=n,
        sample=_sampler(noise, draw),
        noise=noise,
        draw=draw,
        log_prob=log_prob,
        entropy=lambda output: distributions.Categorical(logits=output).entropy(),
        mode=lambda output: distributions.Categorical(logits=output).mode(),
        token_log_prob=lambda output, action: log_prob(output, action)[..., None],
        to_env=_same,
        temper=_divided,
    )


def _multi_categorical_head(nvec: tuple[int, ...]) -> ActionHead:
    """Independent categoricals; equal sizes are handled as one array, others by padding."""
    widest = max(nvec)
    gather, valid = _pad_index(nvec, widest)

    def logits(output):
        padded = output[..., gather]
        return jnp.where(valid, padded, -1e9) if not valid.all() else padded

    def distribution(output):
        return distributions.Categorical(logits=logits(output))

    def noise(key, lead):
        return jax.random.gumbel(key, (*lead, len(nvec), widest), jnp.float32)

    def draw(noise, output):
        joint = distribution(output)
        action = joint.draw(noise)
        return action, jnp.sum(joint.log_prob(action), axis=-1)

    return ActionHead(
        size=sum(nvec),
        sample=_sampler(noise, draw),
        noise=noise,
        draw=draw,
        log_prob=lambda output, action: distribution(output).log_prob(action).sum(-1),
        entropy=lambda output: distribution(output).entropy().sum(-1),
        mode=lambda output: distribution(output).mode(),
        token_log_prob=lambda output, action: distribution(output).log_prob(action),
        to_env=_same,
        temper=_divided,
    )


def _pad_index(nvec: tuple[int, ...], widest: int) -> tuple[np.ndarray, np.ndarray]:
    starts = np.concatenate([[0], np.cumsum(nvec)[:-1]])
    column = np.arange(widest)[None, :]
    valid = column < np.asarray(nvec)[:, None]
    return np.where(valid, starts[:, None] + column, 0), valid


@dataclasses.dataclass(frozen=True)
class _Gaussian:
    """A diagonal Gaussian over a Box, clipped or squashed into its bounds, from an output that
    holds means, then logarithms of deviations."""

    space: Box
    squash: bool
    min_log_std: float

    @property
    def size(self) -> int:
        """Components of an action."""
        return int(np.prod(self.space.shape, dtype=int))

    def split(self, output):
        """Mean and logarithm of the deviation, of the space's shape."""
        mean, raw = jnp.split(output, 2, axis=-1)  # its gradient is a concatenation: no padding
        mean, raw = (
            mean.reshape(*output.shape[:-1], *self.space.shape),
            raw.reshape(*output.shape[:-1], *self.space.shape),
        )
        return mean, jnp.clip(raw, self.min_log_std, 2.0)

    def distribution(self, output):
        """The distribution that an output stands for."""
        mean, log_std = self.split(output)
        kind = distributions.TanhNormal if self.squash else distributions.DiagonalGaussian
        return kind(mean=mean, log_std=log_std)

    def reduce(self, values):
        """The sum over components; a scalar action has one."""
        return values.sum(-1) if self.space.shape else values

    def entropy(self, output):
        """Of the whole action."""
        joint = self.distribution(output)
        if not self.space.shape:  # the distributions sum over a last axis, which a scalar lacks
            joint = jax.tree.map(lambda leaf: leaf[..., None], joint)
        return joint.entropy()

    def per_component(self, output, action):
        """Log-probability of every component."""
        mean, log_std = self.split(output)
        if self.squash:
            return distributions.tanh_normal_log_prob(mean, log_std, action)
        return distributions.normal_log_prob(mean, log_std, action)

    def token_log_prob(self, output, action):
        """The same with a last axis of components, also for a scalar."""
        values = self.per_component(output, action)
        return values if self.space.shape else values[..., None]

    def temper(self, output, temperature):
        """A normal density to the power of 1 / T has the same mean and T times the variance."""
        size = self.size
        wider = output[..., size:] + 0.5 * jnp.log(jnp.asarray(temperature, output.dtype))
        return jnp.concatenate([output[..., :size], wider], axis=-1)

    def noise(self, key, lead):
        """What chance gives an action."""
        return jax.random.normal(key, (*lead, *self.space.shape), jnp.float32)

    def draw(self, noise, output):
        """The action that the noise picks, and its log-probability."""
        action = self.distribution(output).draw(noise)
        return action, self.reduce(self.per_component(output, action))


def _gaussian_head(space: Box, squash: bool, min_log_std: float) -> ActionHead:
    low, high = (bound.astype(np.float32) for bound in space.bounds())
    finite = bool(np.isfinite(low).all() and np.isfinite(high).all())
    if squash and not finite:
        raise ValueError(f"squash=True needs finite action bounds, got {space}")
    centre = (low + high) / 2 if finite else np.zeros_like(low)
    half = (high - low) / 2 if finite else np.ones_like(low)
    normal = _Gaussian(space, squash, min_log_std)

    def to_env(action):
        return centre + half * action if squash else jnp.clip(action, low, high)

    return ActionHead(
        size=2 * normal.size,
        sample=_sampler(normal.noise, normal.draw),
        noise=normal.noise,
        draw=normal.draw,
        log_prob=lambda output, action: normal.reduce(normal.per_component(output, action)),
        entropy=normal.entropy,
        mode=lambda output: normal.distribution(output).mode(),
        token_log_prob=normal.token_log_prob,
        to_env=to_env,
        temper=normal.temper,
    )
