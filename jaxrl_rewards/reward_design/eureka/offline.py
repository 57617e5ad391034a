"""Proposers that need no language model: random programs, and evolution guided by reflection."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design.eureka.candidates import Candidate, Proposal
from jaxrl_rewards.reward_design.eureka.proposers import Context
from jaxrl_rewards.reward_design.programs.expression import print_program
from jaxrl_rewards.reward_design.programs.quantities import Quantities
from jaxrl_rewards.reward_design.programs.slots import SHAPES, SLOTS, Slot, program_of, slots_of

_FALLING = ("exp", "gauss", "square")
"""Shapes that fall as the quantity grows."""


class RandomProposer:
    """Fresh programs only: random search."""

    def __init__(self, seed: int, *, most_terms: int = 3):
        if not 1 <= most_terms <= SLOTS:
            raise InputError(f"most_terms must lie in 1 ... {SLOTS}, got {most_terms}")
        self.generator = np.random.default_rng(seed)
        self.most_terms = most_terms

    def propose(self, context: Context, count: int) -> list[Proposal]:
        """`count` independent programs of one to `most_terms` terms."""
        return [self.fresh(context.quantities) for _ in range(count)]

    def fresh(self, quantities: Quantities) -> Proposal:
        """A program of random terms."""
        terms = 1 + int(self.generator.integers(self.most_terms))
        slots = tuple(random_slot(self.generator, quantities) for _ in range(terms))
        return slot_proposal(slots, quantities, "fresh")


class EvolutionProposer(RandomProposer):
    """Mutation and crossover of the best programs of the archive.

    Of 16 proposals, 6 are mutations of the best three, 3 of them with a term added, 5 unions of two
    parents' terms, and 2 fresh; other counts in proportion. With `guided`, the statistics of a
    parent's terms choose what is mutated; else the place and the kind are drawn. With `diverse`,
    parents differ in the quantities that they read.
    """

    def __init__(
        self, seed: int, *, guided: bool = True, diverse: bool = False, most_terms: int = 3
    ):
        super().__init__(seed, most_terms=most_terms)
        self.guided, self.diverse = guided, diverse

    def propose(self, context: Context, count: int) -> list[Proposal]:
        """Offspring of the archive; fresh programs while it holds none that was trained."""
        quantities = context.quantities
        parents = [(one, slots_of(one.program)) for one in context.ranked()]
        parents = [(one, slots) for one, slots in parents if slots]
        if not parents:
            return super().propose(context, count)
        if self.diverse:
            parents = distinct(parents)
        kinds = np.array_split(np.arange(count), np.cumsum([6, 3, 5]) * count // 16)
        mutated, added, crossed, fresh = (len(part) for part in kinds)
        found = [
            self.mutation(parents[i % min(3, len(parents))], quantities) for i in range(mutated)
        ]
        found += [
            self.addition(parents[i % min(3, len(parents))], quantities) for i in range(added)
        ]
        found += [self.crossover(parents, quantities) for _ in range(crossed)]
        return found + [self.fresh(quantities) for _ in range(fresh)]

    def mutation(self, parent: tuple[Candidate, tuple[Slot, ...]], quantities: Quantities):
        """The parent with one term changed."""
        candidate, slots = parent
        slots = list(slots)
        place, kind = self._what(candidate, slots)
        if kind == "drop" and len(slots) == 1:
            kind = "weight"
        slot = slots[place]
        factor = float(np.exp(self.generator.normal(0.0, 0.7)))
        if kind == "drop":
            slots.pop(place)
        else:
            slots[place] = {
                "rewrite": lambda: random_slot(self.generator, quantities),
                "shrink": lambda: dataclasses.replace(slot, weight=0.3 * slot.weight),
                "weight": lambda: dataclasses.replace(slot, weight=factor * slot.weight),
                "scale": lambda: dataclasses.replace(slot, scale=max(1e-3, factor * slot.scale)),
            }[kind]()
        return slot_proposal(tuple(slots), quantities, "mutation", (candidate.number,))

    def _what(self, candidate: Candidate, slots: Sequence[Slot]) -> tuple[int, str]:
        """Which term to change, and how.

        Guided: a term whose range stays under 5 % of its mean says nothing and is rewritten; one
        over five times the median magnitude drowns the others and is scaled down.
        """
        if self.guided:
            series = np.asarray([candidate.logs[name] for name in candidate.program.names])
            mean = np.abs(series).mean(axis=1)
            flat = np.ptp(series, axis=1) < 0.05 * mean
            loud = mean > 5.0 * np.median(mean)
            silent = flat | (mean == 0.0)
            for mask, kind in ((silent, "rewrite"), (loud, "shrink")):
                if mask.any():
                    return int(self.generator.choice(np.flatnonzero(mask))), kind
        place = int(self.generator.integers(len(slots)))
        scaled = slots[place].shape not in ("identity", "square")
        return place, str(
            self.generator.choice(["rewrite", "weight", "scale" if scaled else "weight", "drop"])
        )

    def addition(self, parent: tuple[Candidate, tuple[Slot, ...]], quantities: Quantities):
        """The parent with a random term more; a full parent loses one for it."""
        candidate, slots = parent
        kept = list(slots)
        if len(kept) == SLOTS:
            kept.pop(int(self.generator.integers(SLOTS)))
        kept.append(random_slot(self.generator, quantities))
        return slot_proposal(tuple(kept), quantities, "added term", (candidate.number,))

    def crossover(self, parents: list[tuple[Candidate, tuple[Slot, ...]]], quantities: Quantities):
        """The union of the terms of two of the better parents, thinned to the slots there are."""
        pool = parents[: max(2, min(8, len(parents)))]
        picks = self.generator.choice(len(pool), size=min(2, len(pool)), replace=False)
        slots = tuple(dict.fromkeys(slot for pick in picks for slot in pool[pick][1]))
        if len(slots) > SLOTS:
            keep = np.sort(self.generator.choice(len(slots), size=SLOTS, replace=False))
            slots = tuple(slots[i] for i in keep)
        numbers = tuple(pool[pick][0].number for pick in picks)
        return slot_proposal(slots, quantities, "crossover", numbers)


def random_slot(generator: np.random.Generator, quantities: Quantities) -> Slot:
    """A random term over a quantity that is a number.

    The sign follows the quantity's preferred direction, wrong one time in ten and even where there
    is none; the weight is lognormal over the typical scale; 70 % are the quantity itself.
    """
    names = [name for name, quantity in quantities.items() if not quantity.shape]
    if not names:
        raise InputError("no quantity is a number; slot programs read numbers only")
    name = str(generator.choice(names))
    quantity = quantities[name]
    shape = SHAPES[0] if generator.random() < 0.7 else str(generator.choice(SHAPES[1:]))
    sign = quantity.direction or int(generator.choice([-1, 1]))
    sign *= -1 if generator.random() < 0.1 else 1
    if shape in _FALLING:
        sign = -sign
    power = {"identity": 1, "square": 2}.get(shape, 0)
    weight = sign * generator.lognormal() / quantity.scale**power
    scale = quantity.scale * float(generator.lognormal(0.0, 0.5))
    return Slot(name, shape, float(f"{weight:.4g}"), float(f"{max(scale, 1e-3):.4g}"))


def slot_proposal(
    slots: tuple[Slot, ...], quantities: Quantities, origin: str, parents: tuple[int, ...] = ()
) -> Proposal:
    """A proposal of a slot program."""
    rounded = tuple(
        dataclasses.replace(s, weight=float(f"{s.weight:.4g}"), scale=float(f"{s.scale:.4g}"))
        for s in slots
    )
    text = print_program(program_of(rounded, quantities))
    return Proposal(text=text, slots=rounded, origin=origin, parents=parents)


def distinct(
    parents: list[tuple[Candidate, tuple[Slot, ...]]],
) -> list[tuple[Candidate, tuple[Slot, ...]]]:
    """The best parent of every set of quantities, best first."""
    seen: dict[frozenset, tuple[Candidate, tuple[Slot, ...]]] = {}
    for parent in parents:
        seen.setdefault(frozenset(slot.quantity for slot in parent[1]), parent)
    return list(seen.values())
