"""Probability distributions over actions: plain functions, and small pytrees that bundle them."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record

_LOG_SQRT_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_LOG_TWO = math.log(2.0)
_MASKED = -1e9
_TANH_LIMIT = 1.0 - 1e-6


def categorical_log_prob(logits: Float[Array, "... n"], action: Int[Array, "..."]) -> Array:
    """Log-probability of `action`; an action out of range gets 0, so check actions at the source.

    Written as a masked sum: on a CPU the gradient of a gather is slower than the product.
    """
    log_probs = log_softmax(logits)
    chosen = jnp.arange(logits.shape[-1]) == action[..., None]
    return _sum_last(jnp.where(chosen, log_probs, 0.0))


def categorical_entropy(logits: Float[Array, "... n"]) -> Float[Array, "..."]:
    """`logsumexp(z) − Σ softmax(z) z`, with classes of probability 0 adding 0."""
    return -_expected(log_softmax(logits), 0.0)


def log_softmax(logits: Float[Array, "... n"]) -> Float[Array, "... n"]:
    """`jax.nn.log_softmax` over the last axis; any derivative."""
    if logits.shape[-1] > _FEW:
        return jax.nn.log_softmax(logits, axis=-1)
    return _log_softmax(logits)


_FEW = 8
"""Up to this many classes are added one by one: on a CPU a reduction over a short last axis is a
call of its own, and its additions are part of what stands around it."""


def _columns(x: Array) -> list[Array]:
    return [jnp.squeeze(part, -1) for part in jnp.split(x, x.shape[-1], axis=-1)]


@jax.custom_jvp
def _sum_last(x: Float[Array, "... n"]) -> Float[Array, "..."]:
    return functools.reduce(jnp.add, _columns(x)) if x.shape[-1] <= _FEW else jnp.sum(x, axis=-1)


@_sum_last.defjvp
def _sum_last_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # The gradient is one number spread over the columns, not columns put together.
    return _sum_last(*primals), jnp.sum(tangents[0], axis=-1)


@jax.custom_jvp
def _log_softmax(logits: Float[Array, "... n"]) -> Float[Array, "... n"]:
    highest = functools.reduce(jnp.maximum, _columns(logits))
    shifted = logits - jnp.where(jnp.isfinite(highest), highest, 0.0)[..., None]
    return shifted - jnp.log(_sum_last(jnp.exp(shifted)))[..., None]


@_log_softmax.defjvp
def _log_softmax_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    log_probs = _log_softmax(*primals)
    mean = jnp.sum(jnp.exp(log_probs) * tangents[0], axis=-1)
    return log_probs, tangents[0] - _spread(mean, log_probs.shape[-1])


def _spread(x: Float[Array, "..."], n: int) -> Float[Array, "... n"]:
    """`x` in `n` columns, by a product with ones: so is its gradient then, which on a CPU is faster
    than a reduction over a short axis."""
    return x[..., None] @ jnp.ones((1, n), x.dtype)


def _expected(own: Array, other: Array | float) -> Array:
    """`Σ exp(own) (own − other)` over the last axis; −inf in `own` adds 0, to gradients too."""
    possible = own > -jnp.inf
    own = jnp.where(possible, own, 0.0)
    difference = jnp.where(possible, own - jnp.where(possible, other, 0.0), 0.0)
    return _sum_last(jnp.where(possible, jnp.exp(own), 0.0) * difference)


def normal_log_prob(
    mean: Float[Array, "..."], log_std: Float[Array, "..."], value: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Elementwise log-density of a normal distribution."""
    standard = (value - mean) * jnp.exp(-log_std)
    return -0.5 * jnp.square(standard) - log_std - _LOG_SQRT_TWO_PI


def tanh_log_derivative(raw: Float[Array, "..."]) -> Float[Array, "..."]:
    """`log(1 − tanh(x)²)`, without cancellation: `2 (log 2 − x − softplus(−2x))`."""
    return 2.0 * (_LOG_TWO - raw - jax.nn.softplus(-2.0 * raw))


def tanh_normal_log_prob(
    mean: Float[Array, "..."], log_std: Float[Array, "..."], value: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Elementwise log-density of `tanh(x)`, x normal, at `value` in (−1, 1).

    Values at or beyond the ends count as ±(1 − 1e-6): the density there is bounded by definition.
    """
    raw = jnp.arctanh(jnp.clip(value, -_TANH_LIMIT, _TANH_LIMIT))
    return normal_log_prob(mean, log_std, raw) - tanh_log_derivative(raw)


@record
class Categorical:
    """Integers 0 ... n − 1 with the given logits `[..., n]`."""

    logits: Float[Array, "... n"]

    def sample(self, key: jax.Array) -> Int[Array, "..."]:
        """One int32 sample per batch element."""
        return self.draw(jax.random.gumbel(key, self.logits.shape, self.logits.dtype))

    def draw(self, noise: Float[Array, "... n"]) -> Int[Array, "..."]:
        """The sample that standard Gumbel noise of the logits' shape stands for."""
        return jnp.argmax(self.logits + noise, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Int[Array, "..."]) -> Float[Array, "..."]:
        """Log-probability of `action`."""
        return categorical_log_prob(self.logits, action)

    def entropy(self) -> Float[Array, "..."]:
        """Entropy in nats."""
        return categorical_entropy(self.logits)

    def mode(self) -> Int[Array, "..."]:
        """The most likely class, int32; the first of equals."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def kl(self, other: Categorical) -> Float[Array, "..."]:
        """KL(self ‖ other)."""
        own = jax.nn.log_softmax(self.logits, axis=-1)
        return _expected(own, jax.nn.log_softmax(other.logits, axis=-1))


def masked_categorical(logits: Float[Array, "... n"], valid: Bool[Array, "... n"]) -> Categorical:
    """A categorical over the valid classes; uniform over all where none is valid.

    Invalid classes have probability 0, add nothing to the entropy and get no gradient. Their
    log-probability is about −1e9, finite.
    """
    valid = jnp.broadcast_to(valid, logits.shape)
    none = ~jnp.any(valid, axis=-1, keepdims=True)
    masked = jnp.where(valid, logits, _MASKED)
    return Categorical(logits=jnp.where(none, 0.0, masked))


@record
class DiagonalGaussian:
    """Independent normals over the last axis, `mean` and `log_std` `[..., D]`."""

    mean: Float[Array, "... D"]
    log_std: Float[Array, "... D"]

    def sample(self, key: jax.Array) -> Float[Array, "... D"]:
        """One sample per batch element."""
        return self.draw(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def draw(self, noise: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """The sample that standard normal noise of the mean's shape stands for."""
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, value: Float[Array, "... D"]) -> Float[Array, "..."]:
        """Log-density, summed over the last axis."""
        return jnp.sum(normal_log_prob(self.mean, self.log_std, value), axis=-1)

    def entropy(self) -> Float[Array, "..."]:
        """Differential entropy in nats, summed over the last axis."""
        return jnp.sum(self.log_std + 0.5 + _LOG_SQRT_TWO_PI, axis=-1)

    def mode(self) -> Float[Array, "... D"]:
        """The mean."""
        return self.mean

    def kl(self, other: DiagonalGaussian) -> Float[Array, "..."]:
        """KL(self ‖ other), summed over the last axis."""
        ratio = jnp.exp(2.0 * (self.log_std - other.log_std))
        shift = jnp.square((self.mean - other.mean) * jnp.exp(-other.log_std))
        return jnp.sum(other.log_std - self.log_std + 0.5 * (ratio + shift - 1.0), axis=-1)


@record
class TanhNormal:
    """`tanh` of independent normals over the last axis; support (−1, 1)."""

    mean: Float[Array, "... D"]
    log_std: Float[Array, "... D"]

    def sample(self, key: jax.Array) -> Float[Array, "... D"]:
        """One sample per batch element, kept within ±(1 − 1e-6)."""
        return self.draw(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def draw(self, noise: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """The sample that standard normal noise of the mean's shape stands for."""
        raw = self.mean + jnp.exp(self.log_std) * noise
        return jnp.clip(jnp.tanh(raw), -_TANH_LIMIT, _TANH_LIMIT)

    def log_prob(self, value: Float[Array, "... D"]) -> Float[Array, "..."]:
        """Log-density, summed over the last axis."""
        return jnp.sum(tanh_normal_log_prob(self.mean, self.log_std, value), axis=-1)

    def entropy(self) -> Float[Array, "..."]:
        """Entropy: the normal's plus E[log(1 − tanh²)], by 9-point Gauss-Hermite quadrature."""
        nodes = self.mean[..., None] + jnp.exp(self.log_std)[..., None] * _NODES
        correction = jnp.sum(tanh_log_derivative(nodes) * _WEIGHTS, axis=-1)
        return jnp.sum(self.log_std + 0.5 + _LOG_SQRT_TWO_PI + correction, axis=-1)

    def mode(self) -> Float[Array, "... D"]:
        """`tanh` of the mean: the deterministic action (not the density's highest point)."""
        return jnp.tanh(self.mean)


def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    return nodes.astype(np.float32), (weights / weights.sum()).astype(np.float32)


_NODES, _WEIGHTS = _quadrature()
