"""Static descriptions of observations and actions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Discrete:
    """Integers `0 ... n - 1`, int32 scalars."""

    n: int

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"Discrete needs n >= 1, got {self.n}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one element."""
        return ()

    @property
    def dtype(self) -> Any:
        """Dtype of one element."""
        return jnp.int32

    def sample(self, key: jax.Array) -> jax.Array:
        """A uniform element."""
        return jax.random.randint(key, (), 0, self.n, jnp.int32)

    def contains(self, value: jax.Array) -> jax.Array:
        """Whether `value` (any batch) lies in the space; bool of `value`'s batch shape."""
        return (value >= 0) & (value < self.n)


@dataclasses.dataclass(frozen=True)
class MultiDiscrete:
    """A vector of independent integers, `nvec[i]` choices each; int32 `[len(nvec)]`."""

    nvec: tuple[int, ...]

    def __post_init__(self):
        if not self.nvec or min(self.nvec) < 1:
            raise ValueError(f"MultiDiscrete needs at least one positive size, got {self.nvec}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one element."""
        return (len(self.nvec),)

    @property
    def dtype(self) -> Any:
        """Dtype of one element."""
        return jnp.int32

    def sample(self, key: jax.Array) -> jax.Array:
        """A uniform element."""
        return jax.random.randint(key, self.shape, 0, np.asarray(self.nvec), jnp.int32)

    def contains(self, value: jax.Array) -> jax.Array:
        """Whether `value` lies in the space; reduces the last axis."""
        return jnp.all((value >= 0) & (value < np.asarray(self.nvec)), axis=-1)


@dataclasses.dataclass(frozen=True)
class Box:
    """Arrays of a fixed shape with elementwise bounds (numbers or tuples; may be infinite)."""

    low: float | tuple
    high: float | tuple
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """`low` and `high` broadcast to `shape`."""
        low = np.broadcast_to(np.asarray(self.low, np.float64), self.shape)
        high = np.broadcast_to(np.asarray(self.high, np.float64), self.shape)
        return low, high

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform between finite bounds (both included for integers), standard normal, clipped,
        where a bound is infinite; of the space's dtype."""
        low, high = self.bounds()
        if jnp.issubdtype(self.dtype, jnp.integer):
            return self._sample_integers(key, low, high)
        low, high = low.astype(np.float32), high.astype(np.float32)
        finite = np.isfinite(low) & np.isfinite(high)
        key_uniform, key_normal = jax.random.split(key)
        unit = jax.random.uniform(key_uniform, self.shape, jnp.float32)
        start = np.where(finite, low, np.float32(0))
        with np.errstate(invalid="ignore"):
            span = np.where(finite, high - low, np.float32(0))
        normal = jnp.clip(jax.random.normal(key_normal, self.shape, jnp.float32), low, high)
        return jnp.where(finite, start + unit * span, normal).astype(self.dtype)

    def _sample_integers(self, key: jax.Array, low: np.ndarray, high: np.ndarray) -> jax.Array:
        """Uniform over `low ... high`; an infinite bound is that of the dtype."""
        limits = np.iinfo(self.dtype)
        least, most = float(limits.min), float(limits.max)
        low = np.clip(np.ceil(low), least, most).astype(object)
        high = np.clip(np.floor(high), least, most).astype(object)
        # The upper bound of `randint` is excluded, and one above the largest number is none.
        whole = (low == limits.min) & (high == limits.max)
        shift = ((high == limits.max) & ~whole).astype(object)
        first = np.where(whole, 0, low - shift).astype(limits.dtype)
        beyond = np.where(whole, 1, high + 1 - shift).astype(limits.dtype)
        key_range, key_bits = jax.random.split(key)
        value = jax.random.randint(key_range, self.shape, first, beyond, self.dtype)
        value = value + shift.astype(limits.dtype)
        if not whole.any():
            return value
        unsigned = np.dtype(f"uint{limits.bits}")
        bits = jax.random.bits(key_bits, self.shape, unsigned)
        return jnp.where(whole, jax.lax.bitcast_convert_type(bits, self.dtype), value)

    def contains(self, value: jax.Array) -> jax.Array:
        """Whether `value` lies within the bounds; reduces the space's own axes."""
        low, high = self.bounds()
        inside = (value >= low.astype(np.float32)) & (value <= high.astype(np.float32))
        axes = tuple(range(-len(self.shape), 0))
        return jnp.all(inside, axis=axes) if axes else inside


@dataclasses.dataclass(frozen=True)
class DictSpace:
    """Named sub-spaces; elements are dicts."""

    spaces: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, **spaces: Any) -> DictSpace:
        """Build from keyword arguments; names are kept in sorted order."""
        return cls(tuple(sorted(spaces.items())))

    def __getitem__(self, name: str) -> Any:
        return dict(self.spaces)[name]

    def sample(self, key: jax.Array) -> dict[str, jax.Array]:
        """A sample of each sub-space."""
        keys = jax.random.split(key, len(self.spaces))
        return {name: space.sample(k) for (name, space), k in zip(self.spaces, keys, strict=True)}

    def contains(self, value: dict[str, jax.Array]) -> jax.Array:
        """Whether all parts lie in their spaces."""
        return jnp.all(
            jnp.stack([jnp.all(space.contains(value[name])) for name, space in self.spaces])
        )


Space = Discrete | MultiDiscrete | Box | DictSpace


def zeros(space: Space) -> Any:
    """An all-zero element of `space`, with its shapes and dtypes."""
    if isinstance(space, DictSpace):
        return {name: zeros(sub) for name, sub in space.spaces}
    return jnp.zeros(space.shape, space.dtype)


def flat_size(space: Space) -> int:
    """Number of scalars in one element of `space`."""
    if isinstance(space, DictSpace):
        return sum(flat_size(sub) for _, sub in space.spaces)
    return int(np.prod(space.shape, dtype=np.int64))
