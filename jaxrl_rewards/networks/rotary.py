"""Rotary position embeddings and how they are stretched to longer contexts."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Stretching of the rotary frequencies, as model files describe it."""

    kind: str
    """linear, llama3 or yarn."""
    factor: float
    original_length: int = 8192
    """Context of the pre-training (llama3, yarn)."""
    low_factor: float = 1.0
    """llama3: wavelengths above `original_length / low_factor` are stretched in full."""
    high_factor: float = 4.0
    """llama3: those below `original_length / high_factor` are left alone."""
    beta_fast: float = 32.0
    """yarn: frequencies that turn more often in the original context are left alone."""
    beta_slow: float = 1.0
    """yarn: those that turn less often are stretched in full."""
    attention_factor: float | None = None
    """yarn: factor of cosine and sine; `0.1 log(factor) + 1` when None."""

    def __post_init__(self):
        if self.kind not in ("linear", "llama3", "yarn"):
            raise ValueError(f"rotary scaling {self.kind!r} is unknown; use linear, llama3 or yarn")
        if self.factor < 1:
            raise ValueError(f"rotary scaling factor must be at least 1, got {self.factor}")


def frequencies(size: int, theta: float, scaling: Scaling | None) -> tuple[np.ndarray, float]:
    """`(radians per position [size / 2] float32, factor of cosine and sine)`, static."""
    plain = theta ** (-np.arange(0, size, 2, dtype=np.float64) / size)
    if scaling is None:
        return plain.astype(np.float32), 1.0
    stretched = plain / scaling.factor
    if scaling.kind == "linear":
        return stretched.astype(np.float32), 1.0
    if scaling.kind == "llama3":
        share = _llama3_share(plain, scaling)
        return (share * plain + (1 - share) * stretched).astype(np.float32), 1.0
    share = _yarn_share(size, theta, scaling)
    factor = scaling.attention_factor
    factor = 0.1 * math.log(scaling.factor) + 1.0 if factor is None else factor
    return (share * plain + (1 - share) * stretched).astype(np.float32), factor


def _llama3_share(plain: np.ndarray, scaling: Scaling) -> np.ndarray:
    """How much of each frequency is kept as it was (Llama 3.1's rule)."""
    turns = scaling.original_length * plain / (2 * math.pi)
    span = scaling.high_factor - scaling.low_factor
    return np.clip((turns - scaling.low_factor) / span, 0.0, 1.0)


def _yarn_share(size: int, theta: float, scaling: Scaling) -> np.ndarray:
    """How much of each frequency is kept as it was (Peng et al. 2023, arXiv 2309.00071)."""

    def index(turns: float) -> float:
        ratio = scaling.original_length / (turns * 2 * math.pi)
        return size * math.log(ratio) / (2 * math.log(theta))

    low = max(math.floor(index(scaling.beta_fast)), 0)
    high = min(math.ceil(index(scaling.beta_slow)), size - 1)
    ramp = (np.arange(size // 2) - low) / max(high - low, 1e-3)
    return 1.0 - np.clip(ramp, 0.0, 1.0)


def rotations(
    positions: Int[Array, "..."], size: int, theta: float, scaling: Scaling | None = None
) -> tuple[Float[Array, "... H"], Float[Array, "... H"]]:
    """Cosine and sine of every position's angles, float32 `[..., size / 2]`."""
    turn, factor = frequencies(size, theta, scaling)
    angles = positions[..., None].astype(jnp.float32) * turn
    return jnp.cos(angles) * factor, jnp.sin(angles) * factor


def rotate(x: Float[Array, "B T N H"], turn: tuple[Array, Array]) -> Float[Array, "B T N H"]:
    """Turn the pairs `(x[i], x[i + H / 2])` of every head by its position's angles."""
    cosine, sine = (part[..., None, :] for part in turn)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
