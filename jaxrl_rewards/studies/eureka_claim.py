"""What the study claims of searching rewards, and whether the numbers bear it out."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.reward_design.eureka.scores import human_normalized_score
from jaxrl_rewards.studies.api import (
    StudyResult,
    Verdict,
    bootstrap_interval,
    difference_interval,
)

CLAIMS = (
    "The reward found by evolution trains policies that succeed more often than those trained on "
    "the sparse reward (by 0.4 at least) and on the naive human reward, at the same budget per "
    "training.",
    "The population improves: the share of candidates above 0.1 success in the last three "
    "generations is at least 1.6 times that of the first.",
    "Selection is optimistic: the winner's fitness in the search is reported beside its success "
    "when trained anew.",
)
EUREKA, RANDOM = "eureka offline", "random search"
SPARSE, NAIVE, EXPERT = "sparse", "naive human", "expert human"


def claim(result: StudyResult, config: Any) -> Verdict:
    """Claims 1 and 2 decide; claim 3 and all comparisons between searches are shown."""
    measured: dict[str, Any] = {}
    required: dict[str, str] = {}
    interval: dict[str, tuple[float, float]] = {}
    passed = []

    def values(arm: str, metric: str = "success") -> np.ndarray:
        return np.asarray(result.arms[f"keydoor: {arm}"][metric], np.float64)

    def difference(first: str, second: str) -> tuple[float, float, float]:
        name = f"success, {first} less {second}"
        one, two = values(first), values(second)
        measured[name], interval[name] = float((one - two).mean()), difference_interval(one, two)
        return measured[name], *interval[name]

    gain, low, _ = difference(EUREKA, SPARSE)
    required[f"success, {EUREKA} less {SPARSE}"] = ">= 0.4, interval above 0"
    passed.append(gain >= 0.4 and low > 0)
    gain, low, _ = difference(EUREKA, NAIVE)
    required[f"success, {EUREKA} less {NAIVE}"] = "interval above 0"
    passed.append(low > 0)
    name = "share of good candidates, last three generations over the first"
    first, last = values(EUREKA, "good_first"), values(EUREKA, "good_last")
    measured[name], interval[name] = ratio(first, last)
    required[name] = ">= 1.6"
    passed.append(measured[name] >= 1.6)
    name = "optimism, fitness in the search less success trained anew"
    gap = values(EUREKA, "in_search") - values(EUREKA)
    measured[name], interval[name] = float(gap.mean()), bootstrap_interval(gap)
    sparse = float(values(SPARSE).mean())
    for human in (NAIVE, EXPERT):
        name = f"human-normalised score against {human}"
        own = float(values(EUREKA).mean())
        measured[name] = human_normalized_score(own, sparse, float(values(human).mean()))
    notes = []
    searches = [arm.split(": ")[1] for arm in result.arms if "in_search" in result.arms[arm]]
    for arm in dict.fromkeys(a for a in searches if f"keydoor: {a}" in result.arms):
        if arm not in (EUREKA, RANDOM):
            notes.append(sentence(arm, RANDOM, *difference(arm, RANDOM)))
    notes.insert(0, sentence(EUREKA, RANDOM, *difference(EUREKA, RANDOM)))
    notes.append(sentence(EUREKA, EXPERT, *difference(EUREKA, EXPERT)))
    notes += further_tables(result)
    return Verdict(
        passed=all(map(bool, passed)),
        measured=measured,
        required=required,
        seeds=config.search_seeds,
        interval=interval,
        notes=tuple(notes),
    )


def further_tables(result: StudyResult) -> list[str]:
    """For every task but the first: the search against people and chance; for all, seed noise."""
    notes = []
    for task in dict.fromkeys(arm.split(": ")[0] for arm in result.arms):
        rows = {a.split(": ")[1]: r for a, r in result.arms.items() if a.startswith(f"{task}: ")}
        ours = np.asarray(rows[EUREKA]["success"])
        for other in [name for name in rows if name != EUREKA and task != "keydoor"]:
            theirs = np.asarray(rows[other]["success"])
            gain = float((ours - theirs).mean())
            low, high = difference_interval(ours, theirs)
            notes.append(f"{task}: " + sentence(EUREKA, other, gain, low, high))
        noise = [f"{n} {np.mean(r['seed_noise']):.2f}" for n, r in rows.items()]
        deviation = "deviation of the success between trainings of one reward"
        notes.append(f"{task}: {deviation}: {', '.join(noise)}")
    return notes


def ratio(first: np.ndarray, last: np.ndarray) -> tuple[float, tuple[float, float]]:
    """`mean(last) / mean(first)` and its bootstrap interval over seeds."""
    generator = np.random.default_rng(0)
    index = generator.integers(0, first.size, (10_000, first.size))
    below = np.maximum(first[index].mean(axis=1), 1e-9)
    low, high = np.quantile(last[index].mean(axis=1) / below, [0.025, 0.975])
    return float(last.mean() / max(first.mean(), 1e-9)), (float(low), float(high))


def sentence(one: str, other: str, gain: float, low: float, high: float) -> str:
    """What a difference settles, in words."""
    word = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
    return f"{one}: {word} {other} ({gain:+.3f} [{low:+.3f}, {high:+.3f}])"
