"""Terms that learn from what they score: counts of visits, a network that gets used to them.

A reward is a pure function of a step, so what such a term has learnt stands in its own leaves.
`learn` returns the term as it is after a batch of steps; who trains keeps it between the updates
(`learners.make_ppo_with_learning_terms`, `learners.bonus_parts`) in `LearnerState.models`, so that
checkpoints, seeds under `vmap` and exact resumption need nothing more.
"""

from __future__ import annotations

from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core.believable import believable
from jaxrl_rewards.rewards.base import Reward, RewardTerm, WeightedSum


class LearningTerm(RewardTerm):
    """A term whose leaves hold what it has learnt. Subclasses are `@record`s."""

    def evidence(self, prev: Any, action: Any, nxt: Any) -> Any:
        """What the term reads of a step: a pytree of arrays of fixed shapes."""
        raise NotImplementedError

    def score(self, evidence: Any) -> Float[Array, ""]:
        """The value of a step with this evidence, by what the term has learnt so far."""
        raise NotImplementedError

    def learn(self, evidence: Any, seen: Bool[Array, "N"]) -> Self:
        """The term after `N` steps more; those not `seen` count for nothing."""
        raise NotImplementedError

    def value(self, prev: Any, action: Any, nxt: Any) -> Float[Array, ""]:
        """The score of the step's evidence."""
        return self.score(self.evidence(prev, action, nxt))


def learning_terms(reward: Reward) -> dict[str, LearningTerm]:
    """The terms of a reward that learn, by name."""
    terms = reward.rewards if isinstance(reward, WeightedSum) else (reward,)
    return {term.name: term for term in terms if isinstance(term, LearningTerm)}


def with_terms(reward: Reward, terms: dict[str, LearningTerm]) -> Reward:
    """The reward with the terms of these names in the place of its own; weights stay."""
    if isinstance(reward, WeightedSum):
        return reward.replace(rewards=tuple(terms.get(term.name, term) for term in reward.rewards))
    return terms.get(reward.name, reward) if isinstance(reward, RewardTerm) else reward


def usable(evidence: Any) -> Bool[Array, "N"]:
    """Which of `N` steps have evidence of ordinary size: a world that broke teaches nothing."""
    found: Any = True
    for leaf in jax.tree.leaves(evidence):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            found = found & jnp.all(believable(leaf), axis=tuple(range(1, leaf.ndim)))
    count = jax.tree.leaves(evidence)[0].shape[0]
    return jnp.broadcast_to(found, (count,))
