"""Tables as networks: one row of logits and one value per state number."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_rewards.networks.actor_critic import SEPARATE, ActorCritic, without_memory


def tabular_actor_critic(num_states: int, policy_size: int) -> ActorCritic:
    """Actor and critic as tables over int32 observations in `[0, num_states)`.

    The same function as a network without a hidden layer over one-hot states, at the price of a
    lookup. Both tables start at 0: a uniform policy. A number outside the range reads the
    nearest row.
    """
    if num_states < 1 or policy_size < 1:
        raise ValueError(
            f"a table needs at least one state and one output, got {num_states} x {policy_size}"
        )

    def init(key: jax.Array) -> dict[str, Array]:
        return {
            "actor": jnp.zeros((num_states, policy_size), jnp.float32),
            "critic": jnp.zeros((num_states,), jnp.float32),
        }

    def rows(table: Array, obs: Int[Array, "..."]) -> Array:
        return table.at[obs].get(mode="clip")

    def actor(
        params: dict[str, Array], obs: Int[Array, "..."], carry: tuple = ()
    ) -> tuple[Float[Array, "... P"], tuple]:
        return rows(params["actor"], obs), carry

    def critic(
        params: dict[str, Array], obs: Int[Array, "..."], carry: tuple = ()
    ) -> Float[Array, "..."]:
        return rows(params["critic"], obs)

    def apply(params, obs, carry=()):
        return rows(params["actor"], obs), rows(params["critic"], obs), carry

    return without_memory(init, apply, actor, critic, SEPARATE)
