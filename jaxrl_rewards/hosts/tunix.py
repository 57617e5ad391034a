"""Reward functions for tunix: of a batch of completions, and of one action of an agent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrl_rewards.hosts.common import Tokenize, checked, known_or, rows_of, score_all, with_tokens
from jaxrl_rewards.rewards.text.scores import TextReward


@dataclasses.dataclass(frozen=True)
class BatchReward:
    """`f(prompts, completions, **columns) -> list[float]`; can be sent to tunix's workers."""

    reward: TextReward
    not_applicable: float
    tokenize: Tokenize | None = None

    @property
    def __name__(self) -> str:
        """The reward's name, under which tunix logs it."""
        return self.reward.name

    def __call__(self, prompts: Any, completions: Sequence, **kwargs: Any) -> list[float]:
        """The totals."""
        rows = rows_of(self.reward, len(completions), kwargs, prompts)
        rows = [
            with_tokens(row, c, self.tokenize) for row, c in zip(rows, completions, strict=True)
        ]
        scores = score_all(self.reward, completions, rows)
        return [known_or(one.total, self.not_applicable) for one in scores]


def tunix_reward(
    reward: Any, *, not_applicable: float = float("nan"), tokenize: Tokenize | None = None
) -> BatchReward:
    """`f(prompts, completions, **columns) -> list[float]` for `reward_fns=[...]`.

    tunix adds up the rewards of several functions and leaves NaN out, so NaN stands where the
    reward does not apply. Columns are lists with an entry per completion, or one value for all.
    """
    return BatchReward(checked(reward, False), not_applicable, tokenize)


@dataclasses.dataclass(frozen=True)
class AgentRewardOutput:
    """A reward and what is logged beside it, with the fields of tunix's own."""

    reward: float
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class AgentReward:
    """`f(task, action) -> RewardOutput`."""

    reward: TextReward
    output: type
    not_applicable: float
    tokenize: Tokenize | None = None

    @property
    def __name__(self) -> str:
        """The reward's name."""
        return self.reward.name

    def __call__(self, task: Mapping[str, Any] | None, action: Any) -> Any:
        """The reward of an action, with the terms as metadata."""
        row = with_tokens(dict(task or {}), action, self.tokenize)
        scores = score_all(self.reward, [action], [row])[0]
        metadata = {**scores.terms, "applicable": float(scores.applies)}
        return self.output(known_or(scores.total, self.not_applicable), metadata)


def tunix_agent_reward(
    reward: Any,
    *,
    output: type = AgentRewardOutput,
    not_applicable: float = 0.0,
    tokenize: Tokenize | None = None,
) -> AgentReward:
    """`f(task, action) -> output(reward, metadata)` for tunix's agents.

    `task` is the row; `output` may be tunix's `RewardOutput`. Where the reward does not apply it
    reads `not_applicable`, and the metadata's "applicable" 0.
    """
    return AgentReward(checked(reward, False), output, not_applicable, tokenize)
