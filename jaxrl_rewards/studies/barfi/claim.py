"""What the bi-level study claims, and how it is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.barfi import arms as of
from jaxrl_rewards.studies.shared.claims import Claims

CLAIMS = (
    "A misleading auxiliary reward: the naive sum fails (a final return of at most 10). From the "
    "designer's wrong weights BARFI ends at least 60 above the same run with the outer step off, "
    "and at 95 or more on three quarters of the seeds; from zero weights its mean stays within 2 "
    "of that of training on the primary reward.",
    "The weight of the misleading term at the centre of its box falls below its start of 1 on "
    "every seed.",
    "A helpful auxiliary reward: over the first 500 episodes BARFI earns more than training on the "
    "primary reward.",
    "Beyond the paper: after the official warm-up on the naive sum, from which some policies never "
    "meet the primary reward again, BARFI that restarts such a policy recovers (90 or more, no "
    "restart near the end) on 7 of 8 seeds, and ends above restarts without the outer step.",
)


def claim(result: StudyResult, config: Any) -> Verdict:
    """All four claims decide; the equivalence is measured on more seeds than the rest."""
    claims = Claims(result)

    def values(arm: str, metric: str = "final_return") -> np.ndarray:
        return claims.values(arm, metric)

    claims.level("final return, naive sum", values(of.NAIVE), most=10)
    claims.level("final return, primary reward only", values(of.PRIMARY))
    wrong, frozen = values(of.WRONG), values(of.FROZEN)
    claims.difference("final return, outer step on minus off", wrong, frozen, least=60, above=0)
    claims.share("fraction of seeds at 95 or more, outer step on", wrong >= 95, least=0.75)
    zero, primary = (values(arm + of.MANY) for arm in (of.ZERO, of.PRIMARY))
    claims.equal("final return, zero weights minus primary only", zero, primary, within=2)
    claims.share("fraction of seeds lost, zero weights", zero < 50)
    centre = values(of.WRONG, "centre_weight")
    name = "weight of the misleading term at its box's centre, outer step on"
    claims.every(name, centre, lambda x: x < 1, "< 1 on every seed")
    claims.share("fraction of seeds with a negative weight there", centre < 0)
    early, alone = (values(arm, "first_500") for arm in (of.HELPFUL, of.PRIMARY))
    name = "return of the first 500 episodes, helpful term: BARFI minus primary reward only"
    claims.difference(name, early, alone, above=0)
    claims.level("final return, helpful term: BARFI", values(of.HELPFUL))
    name = "weight over visited states, helpful term: BARFI"
    claims.level(name, values(of.HELPFUL, "visited_weight"))
    claims.level("discount, helpful term: BARFI", values(of.HELPFUL, "discount"))
    recovered = (values(of.RECOVERED) >= 90) & (values(of.RECOVERED, "late_restarts") == 0)
    claims.share(f"fraction of seeds recovered, {of.RECOVERED}", recovered, least=0.875)
    for arm in (of.OFFICIAL, of.OFFICIAL_RANDOM):
        claims.share(f"fraction of seeds recovered, {arm}", values(arm) >= 90)
    name = "final return, restarts: with the outer step minus without"
    claims.difference(name, values(of.RECOVERED), values(of.RESTARTS_ONLY), above=0)
    for note in notes(values):
        claims.note(note)
    return claims.verdict(config.seeds)


def notes(values: Any) -> list[str]:
    """What the figures do and do not say."""
    naive, barfi, alone = (
        np.mean(values(arm, "first_500")) for arm in (of.HELPFUL_NAIVE, of.HELPFUL, of.PRIMARY)
    )
    series, first = (
        np.mean(values(of.WRONG, name)) for name in ("cosine_series", "cosine_first_order")
    )
    return [
        "The weights do not tend to 0: where the trained policy no longer goes they keep drifting. "
        "Potential-based shaping does not fail here, and with the misleading term BARFI is not "
        "faster than training on the primary reward; none of these is claimed.",
        "From zero weights, BARFI without its outer step is training on the primary reward; that "
        "arm shows only that the outer step does no harm on average. On most seeds it ends a "
        "little higher; on a rare one the weight of the misleading term rises early, the policy "
        "moves to the bonus box and never meets the primary reward again.",
        "The early gain of the helpful arm comes with its warm-up on the naive sum more than from "
        f"the outer step: the naive sum itself earns {naive:.1f} over the first 500 episodes, "
        f"BARFI {barfi:.1f}, the primary reward alone {alone:.1f}.",
        "With the published step and number of terms the series is close to first order: at the "
        f"end from wrong weights its cosine to the damped exact solve is {series:.3f}, that of "
        f"first order {first:.3f}.",
    ]
