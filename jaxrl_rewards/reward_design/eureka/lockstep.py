"""Several searches in lockstep, so that all of them share every batch of trainings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.reward_design.eureka.candidates import Candidate, finish
from jaxrl_rewards.reward_design.eureka.proposers import Proposer
from jaxrl_rewards.reward_design.eureka.search import (
    Search,
    SearchConfig,
    compile_candidates,
    logs_of,
)
from jaxrl_rewards.reward_design.eureka.trainer import CandidateTrainer, Runs
from jaxrl_rewards.reward_design.programs.parser import parse_program
from jaxrl_rewards.reward_design.programs.quantities import Quantities
from jaxrl_rewards.reward_design.programs.slots import compile_slots, slots_of

RESCORE, RETRAIN = 1000, 1001
"""What keys are for, beside the numbers of generations."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of searches in lockstep."""

    search_seeds: int = 8
    """Searches side by side."""
    candidates: int = 16
    """Programs per generation, K."""
    generations: int = 5
    seeds: int = 4
    """Trainings per candidate."""
    rescored: int = 3
    """Best candidates that are trained again before the winner is chosen."""
    final_seeds: int = 8
    """Trainings of the winner, with new seeds: what is reported."""
    good: float = 0.1
    """Success from which a candidate counts as good."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What searches in lockstep found; lists have one entry per search seed."""

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
    """A trainer with sizes: trains lists of (candidate, keys) in full batches."""

    def __init__(self, trainer: CandidateTrainer, quantities: Quantities, sizes: Sizes):
        self.trainer, self.quantities, self.sizes = trainer, quantities, sizes

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


def search_in_lockstep(
    bench: Bench,
    proposers: Sequence[Proposer],
    root: jax.Array,
    *,
    racing: bool = False,
    report: Callable[[float], None] = lambda share: None,
) -> Found:
    """One search per proposer: search, re-score the best, train the winners anew.

    `racing` is successive halving over training seeds: many candidates once, the best again and
    again. Either way a generation spends `candidates * seeds` trainings per search. `root` is the
    key of all trainings; searches with the same place and root share their keys whatever
    proposes.
    """
    sizes = bench.sizes
    many = sizes.candidates * sizes.seeds
    first = many * 3 // 8 if racing else sizes.candidates
    settings = SearchConfig(candidates=first, generations=sizes.generations, seeds=sizes.seeds)
    searches = [Search(proposer, bench.quantities, settings) for proposer in proposers]
    good, best = [], []
    for generation in range(sizes.generations):
        step = racing_generation if racing else plain_generation
        step(searches, bench, root, generation)
        own = [[c for c in s.archive if c.generation == generation] for s in searches]
        good.append([np.mean([np.mean(c.fitness) > sizes.good for c in some]) for some in own])
        best.append([np.mean(s.context().ranked()[0].fitness) for s in searches])
        report((generation + 1) / (sizes.generations + 1))
    winners, in_search = choose_winners(searches, bench, root)
    final = bench.runs(
        [
            (winner, keys_for(root, seed, RETRAIN, sizes.final_seeds))
            for seed, winner in enumerate(winners)
        ]
    )
    report(1.0)
    return Found(
        retrained=np.stack([runs.fitness for runs in final]),
        in_search=in_search,
        good=np.asarray(good).T,
        best=np.asarray(best).T,
        winners=winners,
        searches=searches,
    )


def choose_winners(
    searches: Sequence[Search], bench: Bench, root: jax.Array
) -> tuple[list[Candidate], list[float]]:
    """The best candidate of each search after its top was trained again, and its fitness before."""
    sizes = bench.sizes
    tops = [search.context().ranked()[: sizes.rescored] for search in searches]
    before = [[np.mean(c.fitness) for c in top] for top in tops]
    bench.score(
        [
            (candidate, keys_for(root, seed, RESCORE, sizes.seeds))
            for seed, top in enumerate(tops)
            for candidate in top
        ]
    )
    winners = [max(top, key=lambda c: (np.mean(c.fitness), -c.number)) for top in tops]
    return winners, [
        float(before[seed][tops[seed].index(winner)]) for seed, winner in enumerate(winners)
    ]


def plain_generation(
    searches: list[Search], bench: Bench, root: jax.Array, generation: int
) -> None:
    """Every candidate is trained with the same number of seeds."""
    seeds = bench.sizes.seeds
    bench.score(
        [
            (candidate, keys_for(root, seed, generation, seeds))
            for seed, search in enumerate(searches)
            for candidate in search.propose()
        ]
    )
    for search in searches:
        search.close_generation()


def racing_generation(
    searches: list[Search], bench: Bench, root: jax.Array, generation: int
) -> None:
    """Three eighths of the trainings try new candidates once; the rest go to the best so far.

    The best of the whole archive are chosen by their mean with half an imagined failure, and
    each gets as many further seeds as a plain candidate has.
    """
    sizes = bench.sizes
    keys = [keys_for(root, seed, generation, sizes.seeds + 1) for seed in range(len(searches))]
    fresh = [search.propose() for search in searches]
    for candidate in (one for some in fresh for one in some):
        candidate.doubt = 0.5
    bench.score([(c, keys[seed][:1]) for seed, some in enumerate(fresh) for c in some])
    spent = searches[0].config.candidates
    again = (sizes.candidates * sizes.seeds - spent) // sizes.seeds
    bench.score(
        [
            (candidate, keys[seed][1:])
            for seed, search in enumerate(searches)
            for candidate in search.context().ranked()[:again]
        ]
    )
    for search in searches:
        search.close_generation()


def train_fixed(
    text: str | None, bench: Bench, root: jax.Array, *, sparse: bool = False
) -> np.ndarray:
    """Success with a reward that nobody searched for, trained with the winners' keys: `[seeds, F]`.

    `text` None is the empty program; `sparse` pays the success itself.
    """
    sizes = bench.sizes
    slots = () if text is None else slots_of(parse_program(text, bench.quantities))
    one = compile_slots(slots, bench.quantities)
    keys = jnp.concatenate(
        [keys_for(root, seed, RETRAIN, sizes.final_seeds) for seed in range(sizes.search_seeds)]
    )
    programs = jax.tree.map(lambda leaf: np.repeat(leaf[None], len(keys), axis=0), one)
    found = bench.trainer.train(programs, keys, success_weight=float(sparse))
    return found.fitness.reshape(sizes.search_seeds, sizes.final_seeds)
