"""A penalty for saying the same again, by the share of n-grams that occurred before.

Its twin inside compiled programs is `rewards.text.jitted.repetition_reward`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrl_rewards.rewards.text.scores import Scores, TextReward


@dataclasses.dataclass(frozen=True, kw_only=True)
class RepetitionReward(TextReward):
    """`penalty * (1 - distinct n-grams / n-grams)`: 0 where nothing is repeated.

    Yeo et al., arXiv 2502.03373, appendix C.2. N-grams are of words in lower case, or of
    `completion_ids` with `unit="tokens"`, where it does not apply without them. 0 where the text
    is shorter than one n-gram. Terms: "repeated", the share.
    """

    n: int = 3
    penalty: float = -1.0
    unit: str = "words"
    name: str = "repetition"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.n < 1:
            raise ValueError(f"n is {self.n}; use 1 or more")
        if self.penalty > 0:
            raise ValueError(f"penalty is {self.penalty}; use 0 or a negative number")
        if self.unit not in ("words", "tokens"):
            raise ValueError(f"unit is {self.unit!r}; use words or tokens")

    @property
    def terms(self) -> tuple[str, ...]:
        """See `TextReward`."""
        return ("repeated",)

    def score(self, text: str, row: Mapping[str, Any]) -> Scores:
        """See `TextReward`."""
        parts = row.get("completion_ids") if self.unit == "tokens" else text.lower().split()
        if parts is None:
            return self.nothing()
        share = repeated_share(parts, self.n)
        return Scores(self.penalty * share, {"repeated": share})


def repeated_share(parts: Sequence, n: int) -> float:
    """The share of n-grams that occurred before, in [0, 1); 0 where there is none."""
    parts = parts.tolist() if hasattr(parts, "tolist") else parts
    count = len(parts) - n + 1
    if count < 1:
        return 0.0
    return 1.0 - len(set(zip(*(parts[i:] for i in range(n)), strict=False))) / count
