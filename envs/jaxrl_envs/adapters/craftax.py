"""Craftax as ours: gymnax's interface, and achievements that become messages to annotate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxrl_envs.adapters.common import ForeignParams, ForeignState, import_library
from jaxrl_envs.adapters.gymnax import GymnaxEnv
from jaxrl_rewards.core import InputError, TimeStep

NO_LIMIT = 2**31 - 1


def from_craftax(name: str = "Craftax-Classic-Symbolic-v1") -> CraftaxEnv:
    """A Craftax world under our contract, without its auto-reset.

    Its time limit becomes truncation through `params.max_steps`. InputError when craftax is missing
    or does not know the name.
    """
    library = import_library("craftax.craftax_env", "craftax", install="craftax")
    try:
        env = library.make_craftax_env_from_name(name, auto_reset=False)
    except ValueError as error:
        raise InputError(
            f"craftax has no world {name!r}; choose Craftax-Symbolic-v1, Craftax-Pixels-v1, "
            "Craftax-Classic-Symbolic-v1 or Craftax-Classic-Pixels-v1"
        ) from error
    family = "craftax_classic" if "Classic" in name else "craftax"
    constants = import_library(f"craftax.{family}.constants", "craftax", install="craftax")
    achievements = sorted(constants.Achievement, key=lambda achievement: achievement.value)
    return CraftaxEnv(env, [achievement.name for achievement in achievements])


class CraftaxEnv(GymnaxEnv):
    """See `from_craftax`.

    - Observation, action: Craftax's, spaces converted.
    - Reward: `native`, what Craftax pays.
    - Termination: death. Truncation: `params.max_steps`.
    - `TimeStep.info`: `message`, int32, the place in `texts` of the achievement that this step
      unlocked (the first of several); 0 when it unlocked none.
    """

    def __init__(self, env: Any, achievements: list[str]):
        defaults = env.default_params
        super().__init__(
            env,
            defaults.replace(max_timesteps=NO_LIMIT),
            library="craftax",
            max_steps=int(defaults.max_timesteps),
        )
        self.texts = ("", *(f"You {name.lower().replace('_', ' ')}." for name in achievements))
        """Every message; 0 is silence."""

    def reset(self, key: jax.Array, params: ForeignParams) -> tuple[ForeignState, TimeStep]:
        """Start an episode."""
        state, step = super().reset(key, params)
        return state, step.replace(info={"message": jnp.zeros((), jnp.int32)})

    def step(
        self, key: jax.Array, state: ForeignState, action: Any, params: ForeignParams
    ) -> tuple[ForeignState, TimeStep]:
        """Take one step."""
        nxt, step = super().step(key, state, action, params)
        message = unlocked(state.inner.achievements, nxt.inner.achievements)
        return nxt, step.replace(info={"message": message})


def unlocked(before: Bool[Array, "N"], after: Bool[Array, "N"]) -> Int[Array, ""]:
    """1 + the first achievement held after a step and not before; 0 without one."""
    new = jnp.asarray(after, bool) & ~jnp.asarray(before, bool)
    return jnp.where(jnp.any(new), jnp.argmax(new) + 1, 0).astype(jnp.int32)
