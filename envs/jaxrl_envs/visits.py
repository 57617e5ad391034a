"""Worlds that remember which places an episode has visited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxrl_envs.wrappers import Wrapper
from jaxrl_rewards.core import Env, Record, TimeStep, record, static_field
from jaxrl_rewards.rewards.base import Reward, RewardOutput


@record
class VisitedState(Record):
    """The inner state, whose fields can be read here, and the episode's visits."""

    inner: Any
    visits: Int[Array, "places"]
    """How often the episode was at each place, now included."""
    place: Int[Array, ""]
    """Where it is now."""

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "inner"), name)


class CountVisits(Wrapper):
    """Any world whose state also has `visits` and `place`, for rewards such as `EpisodicBonus`.

    `place(state) -> int` is the number of the place of an inner state, below `places`; other
    numbers are taken as the nearest. The start counts as a visit. Terms of the reward see the
    inner state's fields as before.
    """

    def __init__(self, env: Env, place: Callable[[Any], Any], places: int):
        if places < 1:
            raise ValueError(f"places must be at least 1, got {places}")
        super().__init__(env)
        self._place, self._places = place, places

    def reset(self, key: jax.Array, params: Any) -> tuple[VisitedState, TimeStep]:
        """Start afresh."""
        inner, timestep = self.env.reset(key, params)
        nowhere = jnp.zeros((self._places,), jnp.int32)
        return _visit(inner, nowhere, self._place), timestep

    def step(
        self, key: jax.Array, state: VisitedState, action: Any, params: Any
    ) -> tuple[VisitedState, TimeStep]:
        """Step, and count where it leads; the reward sees the counts before and after."""
        reward = _Counting(
            reward=params.reward, visits=state.visits, place=state.place, where=self._place
        )
        inner, timestep = self.env.step(key, state.inner, action, params.replace(reward=reward))
        return _visit(inner, state.visits, self._place), timestep


def _visit(inner: Any, visits: Array, where: Callable[[Any], Any]) -> VisitedState:
    place = jnp.clip(jnp.asarray(where(inner), jnp.int32), 0, visits.shape[-1] - 1)
    return VisitedState(inner=inner, visits=visits.at[place].add(1), place=place)


@record
class _Counting(Reward):
    """A reward that is shown states with visits where the inner world has states without."""

    reward: Reward
    visits: Int[Array, "places"]
    place: Int[Array, ""]
    where: Callable[[Any], Any] = static_field()

    @property
    def names(self) -> tuple[str, ...]:
        return self.reward.names

    def evaluate(self, prev: Any, action: Any, nxt: Any) -> RewardOutput:
        before = VisitedState(inner=prev, visits=self.visits, place=self.place)
        return self.reward.evaluate(before, action, _visit(nxt, self.visits, self.where))

    def combine(self, terms: dict[str, Array], applicable: dict[str, Array]) -> Array:
        return self.reward.combine(terms, applicable)
