"""The coupled cosine basis on the unit cube: features for linear functions of a position.

Source: Konidaris, Osentoski, Thomas, "Value Function Approximation in Reinforcement Learning using
the Fourier Basis", AAAI 2011.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def cosine_basis(position: Float[Array, "D"], order: int = 3) -> Float[Array, "N"]:
    """`cos(π c·x)` for all `c ∈ {0..order}^D`, the last coefficient running fastest.

    `position` float `[D]`, each coordinate from 0 to 1; the result is float32 `[(order + 1)^D]`.
    """
    grid = np.arange(order + 1, dtype=np.float32)
    axes = np.meshgrid(*[grid] * position.shape[0], indexing="ij")
    frequencies = np.stack(axes, axis=-1).reshape(-1, position.shape[0])
    return jnp.cos(np.float32(np.pi) * (jnp.asarray(frequencies) @ position))
