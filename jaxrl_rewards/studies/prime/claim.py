"""What the study of implicit process rewards claims, and how it is judged."""

from __future__ import annotations

from typing import Any

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.shared.claims import Claims

CLAIMS = (
    "A reward model trained online on outcomes alone ranks right letters above wrong ones at the "
    "places that decide, after 20 updates and to the end.",
    "It ranks right answers above wrong ones from update 30 on.",
    "PRIME ends no worse than RLOO on the outcome alone with equally many answers.",
)
PRIME, RLOO, WIDE = "PRIME", "RLOO", "PRIME, 1 % start, wide filter"


def claim(result: StudyResult, config: Any) -> Verdict:
    """Judge the measured numbers."""
    claims = Claims(result)
    letters, answers = (
        claims.values(PRIME, name) for name in ("lowest letter AUC", "lowest answer AUC")
    )
    claims.level(f"lowest letter AUC from update {config.letters_from} on", letters, least=0.95)
    claims.level(f"lowest answer AUC from update {config.answers_from} on", answers, least=0.85)
    ours, theirs = (claims.values(arm, "last success") for arm in (PRIME, RLOO))
    claims.level("first success", claims.values(PRIME, "first success"), most=0.12)
    claims.level("last success, PRIME", ours, least=0.95)
    claims.difference("last success, PRIME minus RLOO", ours, theirs, above=-0.02)
    never = config.updates
    to_80 = [claims.values(arm, "updates to 80 %", never=never) for arm in (PRIME, RLOO)]
    claims.difference("updates to 80 %, PRIME minus RLOO", *to_80)
    lowest = claims.values(WIDE, "lowest letter AUC")
    claims.level("lowest letter AUC, 1 % start, wide filter", lowest)
    claims.share("1 % start, wide filter: seeds that fall below chance", lowest < 0.5)
    claims.level("last letter AUC, 1 % start, wide filter", claims.values(WIDE, "last letter AUC"))
    claims.level("last success, 1 % start, wide filter", claims.values(WIDE, "last success"))
    claims.note(
        "With 1 % success and a wide filter the ranking falls below chance on many seeds for a "
        "while; whether it does so on average is not settled, so it is shown and not claimed."
    )
    claims.note(
        "In tables RLOO with Adam is close to the best there is; the paper's speed-up is not "
        "claimed."
    )
    return claims.verdict(config.seeds)
