"""What the study claims of searching rewards, and whether the numbers bear it out."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.reward_design.eureka.scores import human_normalized_score
from jaxrl_rewards.studies.api import StudyResult, Verdict, difference_interval
from jaxrl_rewards.studies.eureka.arms import EUREKA, EXPERT, NAIVE, RANDOM, SPARSE
from jaxrl_rewards.studies.shared.claims import Claims, settled

CLAIMS = (
    "The reward found by evolution trains policies that succeed more often than those trained on "
    "the sparse reward (by 0.4 at least) and on the naive human reward, at the same budget per "
    "training.",
    "The population improves: the fraction of candidates above 0.1 success in the last three "
    "generations is at least 1.6 times that of the first.",
    "Selection is optimistic: the winner's fitness in the search is reported beside its success "
    "when trained again.",
)


def claim(result: StudyResult, config: Any) -> Verdict:
    """Claims 1 and 2 decide; claim 3 and all comparisons between searches are shown."""
    claims = Claims(result)

    def values(arm: str, metric: str = "success") -> np.ndarray:
        return claims.values(f"keydoor: {arm}", metric)

    def against(one: str, other: str, **bounds: float) -> None:
        name = f"success rate, {one} minus {other}"
        claims.difference(name, values(one), values(other), **bounds)

    against(EUREKA, SPARSE, least=0.4, above=0)
    against(EUREKA, NAIVE, above=0)
    name = "fraction of good candidates, last three generations over the first"
    first, last = values(EUREKA, "good_first"), values(EUREKA, "good_last")
    claims.ratio(name, last, first, floor=1e-9, least=1.6)
    name = "optimism: fitness in the search minus success rate when trained again"
    claims.level(name, values(EUREKA, "in_search") - values(EUREKA))
    sparse, own = (float(values(arm).mean()) for arm in (SPARSE, EUREKA))
    for human in (NAIVE, EXPERT):
        score = human_normalized_score(own, sparse, float(values(human).mean()))
        claims.fact(f"human-normalised score against {human}", score)
    found = [arm.removeprefix("keydoor: ") for arm in result.arms if arm.startswith("keydoor: ")]
    searches = [arm for arm in found if "in_search" in result.arms[f"keydoor: {arm}"]]
    for arm in [arm for arm in searches if arm not in (EUREKA, RANDOM)] + [EUREKA]:
        against(arm, RANDOM)
    against(EUREKA, EXPERT)
    for note in notes(result, searches):
        claims.note(note)
    return claims.verdict(config.search_seeds)


def notes(result: StudyResult, searches: list[str]) -> list[str]:
    """The searches against chance and the expert; then the further tables and all seed noise."""

    def against(task: str, one: str, other: str) -> str:
        mine, theirs = (
            np.asarray(result.arms[f"{task}: {arm}"]["success"]) for arm in (one, other)
        )
        interval = difference_interval(mine, theirs)
        gain = float((mine - theirs).mean())
        return f"{one}: " + settled(gain, interval, "better than", "worse than", other)

    found = [against("keydoor", arm, RANDOM) for arm in searches if arm != RANDOM]
    found.append(against("keydoor", EUREKA, EXPERT))
    for task in dict.fromkeys(arm.split(": ")[0] for arm in result.arms):
        rows = {a.split(": ")[1]: r for a, r in result.arms.items() if a.startswith(f"{task}: ")}
        others = [name for name in rows if name != EUREKA and task != "keydoor"]
        found += [f"{task}: {against(task, EUREKA, other)}" for other in others]
        noise = [f"{n} {np.mean(r['seed_noise']):.2f}" for n, r in rows.items()]
        deviation = "standard deviation of the success rate between trainings of one reward"
        found.append(f"{task}: {deviation}: {', '.join(noise)}")
    return found
