"""What the study of clipped and telescoping step rewards claims, and how it is judged."""

from __future__ import annotations

from typing import Any

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.shared.claims import Claims

CLAIMS = (
    "Plain step scores added to the outcome end in repetition without success.",
    "Clipped and telescoping ones end as successful as the outcome alone, in no more steps.",
    "On long proofs clipping alone mostly ends in answering at once; with Delta it does not.",
)
OUTCOME, RAW, CLIP, DELTA, BOTH = "outcome", "raw scores", "Clip", "Delta", "Clip-Delta"

SAME = 0.25
"""Steps by which a proof may be longer and still count as no longer."""


def claim(result: StudyResult, config: Any) -> Verdict:
    """Judge the measured numbers."""
    claims = Claims(result)

    def of(arm: str, metric: str, proof: str = "short"):
        return claims.values(f"{proof}: {arm}", metric)

    success, length = of(BOTH, "success"), of(BOTH, "length")
    raw_length, horizon = of(RAW, "length"), config.short_horizon
    claims.every("raw scores: success", of(RAW, "success"), lambda x: x < 0.05, "< 5 % on all")
    text = f"> {0.95 * horizon:g} of {horizon} steps on all"
    claims.every("raw scores: length", raw_length, lambda x: x > 0.95 * horizon, text)
    claims.equal("success, Clip-Delta minus outcome", success, of(OUTCOME, "success"), within=0.02)
    claims.difference("length, Clip-Delta minus outcome", length, of(OUTCOME, "length"), below=SAME)
    claims.difference("length, Delta minus Clip-Delta", of(DELTA, "length"), length, above=0)
    claims.difference("success, Delta minus raw", of(DELTA, "success"), of(RAW, "success"), above=0)
    clip, both = of(CLIP, "success", "long"), of(BOTH, "success", "long")
    at_once = (clip < 0.05) & (of(CLIP, "length", "long") < 2.0)
    claims.share("long proofs, Clip: fraction of seeds answering at once", at_once, above=0.5)
    claims.difference("long proofs: success, Clip-Delta minus Clip", both, clip, above=0.5)
    claims.level("long proofs, Clip-Delta: success", both, least=0.95)
    long, outcome = of(BOTH, "length", "long"), of(OUTCOME, "length", "long")
    claims.difference("long proofs: length, Clip-Delta minus outcome", long, outcome, below=SAME)
    claims.level("raw scores at a quarter of α: success", of(RAW, "success", "little weight"))
    claims.level("raw scores at a quarter of α: length", of(RAW, "length", "little weight"))
    claims.note(
        "The outcome alone gets rid of repetitions here, so Clip-Delta cannot be shorter than it; "
        f"no more steps means less than {SAME:g} of a step more."
    )
    claims.note("The score model is simulated: clean .85, repeated .95, spoilt .25, noise .1.")
    return claims.verdict(config.seeds)
