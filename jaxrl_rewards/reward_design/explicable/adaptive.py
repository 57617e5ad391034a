"""A teacher that designs the reward anew for the policy that a learner has now."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.tabular import TabularModel
from jaxrl_rewards.reward_design.explicable.informativeness import (
    adaptive_weights,
    state_visitation,
)
from jaxrl_rewards.reward_design.explicable.planning import Target, target_of
from jaxrl_rewards.reward_design.explicable.programme import Design, DesignProblem, solve_linear

_weights = jax.jit(jax.vmap(adaptive_weights, (None, 0, None, 0)))
_visits = jax.jit(jax.vmap(state_visitation, (None, None, None, 0, None)), static_argnums=1)


@dataclasses.dataclass(frozen=True, eq=False)
class AdaptiveTeacher:
    """Designs rewards from a learner's policy; host, float64. Devidze et al., AAMAS 2024."""

    model: TabularModel
    epsilon: float = 0.4
    """The teacher's visits are those of π* with this chance of a random action."""
    features: np.ndarray | None = None
    """`[S, K]`: the reward is `features · w` with one `w` per action; None leaves it free."""
    max_reward: float = 10.0

    @functools.cached_property
    def target(self) -> Target:
        """The policy that stays optimal."""
        return target_of(self.model)

    @functools.cached_property
    def problem(self) -> DesignProblem:
        """The programme's constraints."""
        return DesignProblem.of(self.model, self.target, max_reward=self.max_reward)

    @functools.cached_property
    def visits(self) -> np.ndarray:
        """μ_T, `[S]`."""
        return self._visits(self.target.softened(self.epsilon)[None])[0]

    def weights(self, policies: np.ndarray) -> np.ndarray:
        """`c` with `I_L(R) = Σ c R` for each learner's policy; `[N, S, A]` to `[N, S, A]`."""
        policies = np.asarray(policies, np.float64)
        learner_visits = self._visits(policies)
        with jax.enable_x64(True):
            found = _weights(
                jnp.asarray(self.target.advantages),
                jnp.asarray(policies),
                jnp.asarray(self.visits),
                jnp.asarray(learner_visits),
            )
            return np.asarray(found)

    def design(self, policies: np.ndarray) -> list[Design]:
        """The most informative reward for each policy; `[N, S, A]` to N designs."""
        return [
            solve_linear(self.problem, weights, self.features) for weights in self.weights(policies)
        ]

    def any_design(self) -> Design:
        """Some reward that keeps the target optimal: the programme without an objective."""
        return solve_linear(self.problem, np.zeros(self.problem.shape), self.features)

    def _visits(self, policies: np.ndarray) -> np.ndarray:
        model = self.model
        with jax.enable_x64(True):
            found = _visits(
                jnp.asarray(model.transition),
                model.discount,
                jnp.asarray(model.start),
                jnp.asarray(policies),
                jnp.asarray(model.terminal),
            )
            return np.asarray(found)
