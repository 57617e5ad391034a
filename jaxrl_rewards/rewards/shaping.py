"""Potential-based shaping: hints that leave the best policies as they are.

Source: Ng, Harada and Russell 1999, "Policy invariance under reward transformations".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import record, static_field
from jaxrl_rewards.rewards.base import RewardTerm


def shaping_reward(
    before: Float[Array, "..."],
    after: Float[Array, "..."],
    discount: Float[Array, ""] | float,
    ended: Bool[Array, "..."] | bool = False,
) -> Float[Array, "..."]:
    """`γ Φ(s') − Φ(s)` of the potentials before and after a step, float32.

    Where the episode `ended` by termination, `Φ(s')` counts as 0, whatever `after` says: else an
    end with a high potential would be worth more than the task makes it.
    """
    after = jnp.where(ended, 0.0, jnp.asarray(after, jnp.float32))
    return discount * after - jnp.asarray(before, jnp.float32)


@record
class PotentialShaping(RewardTerm):
    """`shaping_reward` of a potential over the world's states; see `potential_shaping`."""

    params: dict[str, Any]
    """Keyword arguments of the potential; float32 leaves, to be swept and differentiated."""
    discount: Any = 0.99
    potential: Callable[..., Any] = static_field()
    ended: Callable[[Any], Any] | None = static_field(default=None)
    name: str = static_field(default="shaping")

    def value(self, prev: Any, action: Any, nxt: Any) -> Float[Array, ""]:
        """`γ Φ(nxt) − Φ(prev)`."""
        before = self.potential(prev, **self.params)
        after = self.potential(nxt, **self.params)
        ended = False if self.ended is None else self.ended(nxt)
        return shaping_reward(before, after, self.discount, ended)


def potential_shaping(
    potential: Callable[..., Any],
    discount: Any,
    *,
    ended: Callable[[Any], Any] | None = None,
    name: str = "shaping",
    **params: Any,
) -> PotentialShaping:
    """A term that pays `γ Φ(s') − Φ(s)`, so that the best policies stay the best.

    Args:
      potential: `potential(state, **params) -> scalar`, Φ of a state of the world; higher where
        more is still to come.
      discount: γ of the learner. With another one, or a weight that changes during training, the
        best policies may change.
      ended: `ended(state) -> bool`, whether a state ends the episode by termination; Φ counts as
        0 there. Needed unless the potential is 0 in such states itself.
      name: of the term.
      params: become float32 leaves that can be swept and differentiated.
    """
    leaves = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    return PotentialShaping(
        params=leaves,
        discount=jnp.asarray(discount, jnp.float32),
        potential=potential,
        ended=ended,
        name=name,
    )
