"""Probability distributions over actions: plain functions, and small pytrees that bundle them."""

from __future__ import annotations

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
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    chosen = jnp.arange(logits.shape[-1]) == action[..., None]
    return jnp.sum(jnp.where(chosen, log_probs, 0.0), axis=-1)


def categorical_entropy(logits: Float[Array, "... n"]) -> Float[Array, "..."]:
    """`logsumexp(z) − Σ softmax(z) z`, with classes of probability 0 adding 0."""
    return -_expected(jax.nn.log_softmax(logits, axis=-1), 0.0)


def _expected(own: Array, other: Array | float) -> Array:
    """`Σ exp(own) (own − other)` over the last axis; −inf in `own` adds 0, to gradients too."""
    possible = own > -jnp.inf
    own = jnp.where(possible, own, 0.0)
    difference = jnp.where(possible, own - jnp.where(possible, other, 0.0), 0.0)
    return jnp.sum(jnp.where(possible, jnp.exp(own), 0.0) * difference, axis=-1)


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
        return jax.random.categorical(key, self.logits, axis=-1).astype(jnp.int32)

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
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(
            key, self.mean.shape, dtype=self.mean.dtype
        )

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
        raw = self.mean + jnp.exp(self.log_std) * jax.random.normal(
            key, self.mean.shape, dtype=self.mean.dtype
        )
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
