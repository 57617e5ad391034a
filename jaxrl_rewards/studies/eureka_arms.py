"""Arms of the study: searches in lockstep, so that all of them share every batch of trainings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.reward_design.eureka.candidates import Candidate, finish
from jaxrl_rewards.reward_design.eureka.offline import EvolutionProposer, RandomProposer
from jaxrl_rewards.reward_design.eureka.search import (
    Search,
    SearchConfig,
    compile_candidates,
    logs_of,
)
from jaxrl_rewards.reward_design.eureka.trainer import CandidateTrainer, Runs
from jaxrl_rewards.reward_design.programs.quantities import Quantities


@dataclasses.dataclass(frozen=True)
class SearchArm:
    """A way to search."""

    proposer: str
    """random or evolution."""
    guided: bool = True
    """Whether reflection chooses what is mutated."""
    diverse: bool = False
    """Whether parents must differ in the quantities they read."""
    racing: bool = False
    """Successive halving over training seeds: many candidates once, the best again and again."""

    def make(self, seed: int) -> RandomProposer:
        """A proposer with its own random numbers."""
        if self.proposer == "random":
            return RandomProposer(seed)
        return EvolutionProposer(seed, guided=self.guided, diverse=self.diverse)


ARMS: dict[str, SearchArm] = {
    "eureka offline": SearchArm("evolution"),
    "random search": SearchArm("random"),
    "eureka, blind mutation": SearchArm("evolution", guided=False),
    "eureka, racing and diversity": SearchArm("evolution", diverse=True, racing=True),
    "random search, racing": SearchArm("random", racing=True),
}


@dataclasses.dataclass(frozen=True)
class ArmResult:
    """What one arm found; lists have one entry per search seed."""

    retrained: np.ndarray
    """Success of the winner in trainings with new seeds, `[seeds, F]`: what counts."""
    in_search: list[float]
    """The winner's fitness in the search, which chose it."""
    good: np.ndarray
    """Share of each generation's candidates above the threshold of success, `[seeds, N]`."""
    best: np.ndarray
    """Best fitness so far after each generation, `[seeds, N]`."""
    winners: list[Candidate]
    searches: list[Search]


class Bench:
    """A trainer with the sizes of a study: trains lists of (candidate, keys) in full batches."""

    def __init__(self, trainer: CandidateTrainer, quantities: Quantities, config: Any):
        self.trainer, self.quantities, self.config = trainer, quantities, config

    def runs(self, jobs: Sequence[tuple[Candidate, jax.Array]]) -> list[Runs]:
        """Train each candidate once per key of its own keys `[S]`; runs per job."""
        if not jobs:
            return []
        programs = compile_candidates([c for c, _ in jobs], self.quantities, "slots")
        counts = [keys.shape[0] for _, keys in jobs]
        programs = jax.tree.map(lambda leaf: np.repeat(leaf, counts, axis=0), programs)
        found = self.trainer.train(programs, jnp.concatenate([keys for _, keys in jobs]))
        ends = np.cumsum(counts)
        return [
            jax.tree.map(lambda leaf, e=end, n=count: leaf[e - n : e], found)
            for end, count in zip(ends, counts, strict=True)
        ]

    def score(self, jobs: Sequence[tuple[Candidate, jax.Array]]) -> None:
        """Train, and add the outcome to each candidate's record."""
        for (candidate, _), runs in zip(jobs, self.runs(jobs), strict=True):
            finish(candidate, list(runs.fitness), logs_of(candidate, runs))


def keys_for(root: jax.Array, seed: int, purpose: int, count: int) -> jax.Array:
    """Training keys of one search seed; the same for all arms, so that arms are paired."""
    key = jax.random.fold_in(jax.random.fold_in(root, seed), purpose)
    return jax.random.split(key, count)


RESCORE, RETRAIN = 1000, 1001


def run_arm(arm: SearchArm, bench: Bench, root: jax.Array, report: Any) -> ArmResult:
    """All search seeds of one arm: search, re-score the top, retrain the winner.

    Every arm spends `candidates · seeds` trainings per generation.
    """
    config = bench.config
    many = config.candidates * config.seeds
    first = many * 3 // 8 if arm.racing else config.candidates
    settings = SearchConfig(candidates=first, generations=config.generations, seeds=config.seeds)
    searches = [
        Search(arm.make(config.root_key + 1 + seed), bench.quantities, settings)
        for seed in range(config.search_seeds)
    ]
    good, best = [], []
    for generation in range(config.generations):
        step = racing_generation if arm.racing else plain_generation
        step(searches, bench, root, generation)
        own = [[c for c in s.archive if c.generation == generation] for s in searches]
        good.append([np.mean([np.mean(c.fitness) > config.good for c in some]) for some in own])
        best.append([np.mean(s.context().ranked()[0].fitness) for s in searches])
        report((generation + 1) / (config.generations + 1))
    tops = [search.context().ranked()[: config.rescored] for search in searches]
    before = [[np.mean(c.fitness) for c in top] for top in tops]
    bench.score(
        [
            (candidate, keys_for(root, seed, RESCORE, config.seeds))
            for seed, top in enumerate(tops)
            for candidate in top
        ]
    )
    winners = [max(top, key=lambda c: (np.mean(c.fitness), -c.number)) for top in tops]
    in_search = [
        float(before[seed][tops[seed].index(winner)]) for seed, winner in enumerate(winners)
    ]
    final = bench.runs(
        [
            (winner, keys_for(root, seed, RETRAIN, config.final_seeds))
            for seed, winner in enumerate(winners)
        ]
    )
    report(1.0)
    return ArmResult(
        retrained=np.stack([runs.fitness for runs in final]),
        in_search=in_search,
        good=np.asarray(good).T,
        best=np.asarray(best).T,
        winners=winners,
        searches=searches,
    )


def plain_generation(searches: list[Search], bench: Bench, root: Any, generation: int) -> None:
    """Every candidate is trained with the same number of seeds."""
    seeds = bench.config.seeds
    bench.score(
        [
            (candidate, keys_for(root, seed, generation, seeds))
            for seed, search in enumerate(searches)
            for candidate in search.propose()
        ]
    )
    for search in searches:
        search.close_generation()


def racing_generation(searches: list[Search], bench: Bench, root: Any, generation: int) -> None:
    """Three eighths of the trainings try new candidates once; the rest go to the best so far.

    The best of the whole archive are chosen by their mean with half an imagined failure, and
    each gets as many further seeds as a plain candidate has.
    """
    config = bench.config
    keys = [keys_for(root, seed, generation, config.seeds + 1) for seed in range(len(searches))]
    fresh = [search.propose() for search in searches]
    for candidate in (one for some in fresh for one in some):
        candidate.doubt = 0.5
    bench.score([(c, keys[seed][:1]) for seed, some in enumerate(fresh) for c in some])
    spent = searches[0].config.candidates
    again = (config.candidates * config.seeds - spent) // config.seeds
    bench.score(
        [
            (candidate, keys[seed][1:])
            for seed, search in enumerate(searches)
            for candidate in search.context().ranked()[:again]
        ]
    )
    for search in searches:
        search.close_generation()


def fixed_arm(
    text: str | None, bench: Bench, root: jax.Array, *, sparse: bool = False
) -> dict[str, list[float]]:
    """A reward that nobody searched for, trained like the winners: the row of `trained_anew`.

    `text` None is the empty program; `sparse` pays the success itself.
    """
    from jaxrl_rewards.reward_design.programs.parser import parse_program
    from jaxrl_rewards.reward_design.programs.slots import compile_slots, slots_of

    config = bench.config
    slots = () if text is None else slots_of(parse_program(text, bench.quantities))
    one = compile_slots(slots, bench.quantities)
    keys = jnp.concatenate(
        [keys_for(root, seed, RETRAIN, config.final_seeds) for seed in range(config.search_seeds)]
    )
    programs = jax.tree.map(lambda leaf: np.repeat(leaf[None], len(keys), axis=0), one)
    found = bench.trainer.train(programs, keys, success_weight=float(sparse))
    return trained_anew(found.fitness.reshape(config.search_seeds, config.final_seeds))


def trained_anew(fitness: np.ndarray) -> dict[str, list[float]]:
    """Per search seed, mean and deviation of the success of trainings `[search seeds, F]`.

    The deviation is the learner's own seed noise: differences between rewards drown in it unless
    enough trainings are averaged.
    """
    noise = fitness.std(axis=1, ddof=1) if fitness.shape[1] > 1 else np.zeros(len(fitness))
    return {"success": fitness.mean(axis=1).tolist(), "seed_noise": noise.tolist()}
