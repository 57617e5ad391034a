"""A compiled program as a reward: data that a learner takes like any other reward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from jaxrl_rewards.core import record, static_field
from jaxrl_rewards.reward_design.programs.direct import clip_total
from jaxrl_rewards.reward_design.programs.slots import Slots, run_slots
from jaxrl_rewards.reward_design.programs.tape import Tape, run_tape
from jaxrl_rewards.rewards.base import Reward, RewardOutput

SUCCESS = "success"


@record
class ProgramReward(Reward):
    """The reward that a program gives, and the success measure beside it, which is only logged.

    `measure(prev, action, nxt)` returns the quantities stacked by `stack_values`, `[Q, V]`;
    `success(prev, action, nxt)` the fitness signal of a step, which the program cannot read. Terms
    are called `term_0 ...`, so that programs of any names share one tree structure.
    """

    program: Tape | Slots
    success_weight: Any = 0.0
    """Weight of the success itself: 1 with an empty program is the sparse reward."""
    measure: Callable[..., Any] = static_field()
    success: Callable[..., Any] = static_field()

    @property
    def names(self) -> tuple[str, ...]:
        """`term_0 ...` and `success`."""
        return (*(f"term_{number}" for number in range(self.program.used.shape[-1])), SUCCESS)

    def evaluate(self, prev: Any, action: Any, nxt: Any) -> RewardOutput:
        """Score one step."""
        values = self.measure(prev, action, nxt)
        run = run_tape if isinstance(self.program, Tape) else run_slots
        terms = run(self.program, values)
        achieved = jnp.asarray(self.success(prev, action, nxt), jnp.float32)
        everything = jnp.concatenate([terms, achieved[None]])
        used = jnp.concatenate([jnp.asarray(self.program.used), jnp.ones((1,), bool)])
        return RewardOutput(
            total=self._total(jnp.sum(terms), achieved),
            terms=dict(zip(self.names, everything, strict=True)),
            applicable=dict(zip(self.names, used, strict=True)),
        )

    def _total(self, total: Array, achieved: Array) -> Array:
        return clip_total(total) + self.success_weight * achieved

    def combine(self, terms: dict[str, Array], applicable: dict[str, Array]) -> Array:
        """The total of given term values of any batch shape."""
        shown = [jnp.where(applicable[name], terms[name], 0.0) for name in self.names[:-1]]
        return self._total(sum(shown), terms[SUCCESS])
