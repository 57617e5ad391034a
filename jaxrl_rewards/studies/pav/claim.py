"""What the study of progress as a reward claims, and how it is judged."""

from __future__ import annotations

from typing import Any

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.shared.claims import Claims

CLAIMS = (
    "With the progress of a good prover as step reward, a policy that succeeds once in 500,000 "
    "tries reaches 90 % within 200 updates; with the outcome alone it stays below 5 %.",
    "A prover equal to the policy's start takes at least three times as long.",
    "The prover that tells steps apart best is neither weak nor perfect.",
)
OUTCOME, LIKE_BASE, GOOD, STRONGER = "outcome", "prover γ=2", "prover γ=10", "prover γ=30"
GAPS = {2.0: 0.0002, 10.0: 0.0172, 30.0: 0.0389, 1000.0: 0.0010, 1e6: 0.0}
"""Gap of the right token by the prover's strength; 0 stands for less than 1e-4."""


def claim(result: StudyResult, config: Any) -> Verdict:
    """Judge the measured numbers."""
    claims = Claims(result)
    beyond = float(config.updates)
    good, base = (claims.values(arm, "updates to 90 %", never=beyond) for arm in (GOOD, LIKE_BASE))
    claims.every("updates to 90 %, γ=10", good, lambda x: x <= 200, "<= 200 on all")
    last = claims.values(OUTCOME, "last success")
    claims.every("last success, outcome", last, lambda x: x < 0.05, "< 5 % on all")
    claims.ratio("updates to 90 %, γ=2 over γ=10", base, good, least=3.0, above=2.0)
    stronger = claims.values(STRONGER, "updates to 90 %", never=beyond)
    claims.level("updates to 90 %, γ=30", stronger)
    claims.share("γ=2: seeds at 90 %", claims.values(LIKE_BASE, "last success") >= 0.9)
    exact = result.budget["exact"]
    for strength, expected in GAPS.items():
        bounds = {"least": expected - 1e-4, "most": expected + 1e-4}
        name = f"gap of the right token, γ={strength:g}"
        claims.fact(name, exact[f"gap, γ={strength:g}"], **bounds)
    error = exact["own progress"]
    claims.fact("error of (1 + α) x the outcome's gradient where μ = π", error, most=1e-6)
    claims.note(f"Seeds that never get to 90 % count as {config.updates} updates.")
    claims.note(
        "A table does not show the paper's failure of a near-perfect prover: close to the deadline "
        "its progress is +-1 and still teaches."
    )
    return claims.verdict(config.seeds)
