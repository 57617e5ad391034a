"""What the study of exploration-guided shaping claims, and how it is judged."""

from __future__ import annotations

from typing import Any

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.shared.claims import Claims

CLAIMS = (
    "On a chain with a far reward, with and without a distractor, REINFORCE under ExploRS "
    "returns at least 9.5 over 20,000 episodes, more than under SelfRS or the bonus alone.",
)
CHAINS = ("sparse chain", "chain with distractor")
BONUS, SELFRS, EXPLORS = "bonus only", "SelfRS", "ExploRS"


def claim(result: StudyResult, config: Any) -> Verdict:
    """Judge the measured numbers."""
    claims = Claims(result)
    for chain in CHAINS:
        own, *others = (
            claims.values(f"{chain}: {arm}", "return") for arm in (EXPLORS, SELFRS, BONUS)
        )
        claims.level(f"{chain}: return of ExploRS", own, least=9.5)
        for arm, other in zip((SELFRS, BONUS), others, strict=True):
            claims.difference(f"{chain}: ExploRS minus {arm}", own, other, above=0)
    claims.note(
        "Returns are averages over the whole run: speed counts. SelfRS alone ends as high as "
        "ExploRS, but starts when chance has led it to the reward."
    )
    claims.note("SORS and LIRPG, which the paper compares with too, are no arms here.")
    return claims.verdict(config.seeds)
