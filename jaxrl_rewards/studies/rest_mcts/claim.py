"""What the study of tree values, search and self-training claims, and how it is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.shared.claims import Claims

CLAIMS = (
    "Step values inferred from answers alone tell right from wrong steps, though only two thirds "
    "of the right answers were derived rightly.",
    "With equally many calls of the policy MCTS* solves at least 1.2 times as many questions as "
    "the better of best-of-8 and self-consistency.",
    "Self-training on traces with right answer and high value is at least 10 points ahead of "
    "self-training on right answers after two rounds, on every seed.",
)
LABELS, SEARCH, MEMORY = "labels", "values as published", "values that remember"
ONE, VOTE, BEST, MCTS, DEEP = (
    *("one sample", "self-consistency", "best of 8", "MCTS*"),
    "MCTS*, no bonus for unvisited",
)
ANSWER, VALUE = "self-training on right answers", "self-training on high values"


def claim(result: StudyResult, config: Any) -> Verdict:
    """Judge the measured numbers."""
    claims = Claims(result)
    derived, auc, false = (
        claims.values(LABELS, name) for name in ("derived rightly", "AUC", "taken for right")
    )
    claims.level("right answers derived rightly", derived, most=0.75)
    claims.every("AUC of right against wrong steps", auc, lambda x: x >= 0.98, ">= 0.98 on all")
    claims.level("wrong steps taken for right", false)
    names = (VOTE, BEST, MCTS, DEEP)
    solved = {name: claims.values(f"{SEARCH}: {name}", "solved") for name in names}
    better = np.maximum(solved[VOTE], solved[BEST])
    claims.ratio("MCTS* over the better of two", solved[MCTS], better, least=1.2, above=1.0)
    claims.ratio("without bonus for unvisited, over the better", solved[DEEP], better)
    memory = {name: claims.values(f"{MEMORY}: {name}", "solved") for name in names}
    better = np.maximum(memory[VOTE], memory[BEST])
    claims.ratio("values that remember: MCTS* over the better", memory[MCTS], better)
    claims.ratio("values that remember: without bonus, over the better", memory[DEEP], better)
    ours, theirs = (claims.values(arm, "answers after 2 rounds") for arm in (VALUE, ANSWER))
    gap = ours - theirs
    claims.every("answers after 2 rounds, gain", gap, lambda x: x >= 0.1, ">= 0.1 on all")
    claims.difference("answers after 2 rounds, values minus answers", ours, theirs, above=0)
    claims.note(
        "Values as published forget a mistake once later steps are right. Values that remember it "
        "make best-of-8 better than MCTS* with the published numbers, which is then too shallow: "
        "most searches finish no solution. Without the bonus for unvisited children it goes deep "
        "enough under either."
    )
    return claims.verdict(config.seeds)
