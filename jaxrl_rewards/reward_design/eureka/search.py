"""The search: propose, train, reflect, and again; records stay, whatever a proposer does."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxrl_rewards.core.errors import InputError, WriteError
from jaxrl_rewards.reward_design.eureka.candidates import (
    FAILURES,
    NO_ANSWER,
    REFUSED,
    TRAINED,
    WAITING,
    Candidate,
    Proposal,
    finish,
)
from jaxrl_rewards.reward_design.eureka.proposers import Context, Proposer
from jaxrl_rewards.reward_design.eureka.scores import FAILED, reward_reflection, select_candidate
from jaxrl_rewards.reward_design.eureka.trainer import CandidateTrainer, Runs, repeat_programs
from jaxrl_rewards.reward_design.programs.expression import ProgramError
from jaxrl_rewards.reward_design.programs.parser import parse_program
from jaxrl_rewards.reward_design.programs.quantities import Quantities, check_quantities
from jaxrl_rewards.reward_design.programs.slots import Slots, compile_slots, slots_of
from jaxrl_rewards.reward_design.programs.tape import Tape, compile_tape, stack_tapes

CONTEXTS = ("archive", "iteration")
FORMS = ("slots", "tape")


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """Sizes and switches of a search."""

    candidates: int = 16
    """Programs per generation, K."""
    generations: int = 5
    seeds: int = 4
    """Trainings per candidate."""
    context: str = "archive"
    """What the proposer improves on: the best of the archive, or, as published, the best of the
    last iteration even if it is worse."""
    form: str = "slots"
    """How programs are compiled: slots (linear in their terms) or tape (any program)."""

    def __post_init__(self):
        for name in ("candidates", "generations", "seeds"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, known in (("context", CONTEXTS), ("form", FORMS)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name}={getattr(self, name)!r} is unknown; choose one of {known}"
                )


class Search:
    """The state of one search: `propose`, train the waiting candidates, `absorb`, repeat.

    `human` is a reward program in the language: it is the first generation by itself, so that the
    first proposals already improve on it. A proposer that raises, answers too little or writes
    what cannot be read gives failed candidates with a reason, and the search goes on.
    """

    def __init__(
        self,
        proposer: Proposer,
        quantities: Quantities,
        config: SearchConfig | None = None,
        *,
        task: str = "",
        human: str | None = None,
    ):
        self.proposer, self.config = proposer, config or SearchConfig()
        self.quantities, self.task = check_quantities(quantities), task
        self.archive: list[Candidate] = []
        self.generation = 0
        self.best: Candidate | None = None
        """The best so far."""
        self.shown: Candidate | None = None
        """The one that the next context shows."""
        self.feedback: tuple[str, ...] | None = None
        """A person's words, which replace the next reflection."""
        self._human = human
        if human is not None:
            parse_program(human, self.quantities)

    def context(self) -> Context:
        """What the proposer is told now."""
        lines = self.feedback if self.feedback is not None else reflection_of(self.shown)
        return Context(
            quantities=self.quantities,
            task=self.task,
            generation=self.generation,
            archive=tuple(self.archive),
            best=self.shown,
            reflection=lines,
        )

    def propose(self) -> list[Candidate]:
        """Ask for a generation; returns the candidates that wait for training."""
        wanted = self.config.candidates
        if self._human is not None and self.generation == 0:
            proposals = [Proposal(text=self._human, origin="human")]
        else:
            proposals = ask(self.proposer, self.context(), wanted)
        start = len(self.archive)
        fresh = [self._admit(start + i, proposal) for i, proposal in enumerate(proposals)]
        self.archive += fresh
        self.feedback = None
        return [candidate for candidate in fresh if candidate.status == WAITING]

    def _admit(self, number: int, proposal: Proposal) -> Candidate:
        candidate = Candidate(number, self.generation, proposal, proposal.status, proposal.error)
        if candidate.status == WAITING:
            try:
                candidate.program = parse_program(proposal.text, self.quantities)
                compile_candidates([candidate], self.quantities, self.config.form)
            except InputError as error:
                candidate.status, candidate.error = REFUSED, str(error)
                if isinstance(error, ProgramError):
                    line = proposal.text[: error.position].count("\n") + 1
                    candidate.error += f", line {line}"
        return candidate

    def absorb(self, candidates: Sequence[Candidate], runs: Runs) -> None:
        """Write training results (`seeds` runs per candidate, in order) and close the generation.

        When every candidate failed, the context stays what it was.
        """
        seeds = self.config.seeds
        for number, candidate in enumerate(candidates):
            own = jax.tree.map(lambda leaf, n=number: leaf[n * seeds : (n + 1) * seeds], runs)
            finish(candidate, own.fitness, logs_of(candidate, own))
        self.close_generation()

    def close_generation(self) -> None:
        """Choose the candidate to show next and count the generation."""
        own = [c for c in self.archive if c.generation == self.generation]
        if own:
            before = self.best.score if self.best else FAILED
            chosen = select_candidate([c.score for c in own], before)
            if not chosen.all_failed:
                if self.best is None or chosen.iteration_best > before:
                    self.best = own[chosen.index]
                last = own[chosen.index]
                self.shown = last if self.config.context == "iteration" else self.best
        self.generation += 1

    def counts(self) -> dict[str, int]:
        """How many candidates have which status."""
        found = Counter(candidate.status for candidate in self.archive)
        return {status: found[status] for status in (TRAINED, WAITING, *FAILURES) if found[status]}


def ask(proposer: Proposer, context: Context, count: int) -> list[Proposal]:
    """Exactly `count` proposals, whatever the proposer does; what is missing is a failure."""
    try:
        found = list(proposer.propose(context, count))[:count]
        error = f"the proposer gave {len(found)} of {count} programs"
    except WriteError:  # of the recording: what was paid for could not be kept
        raise
    except Exception as problem:  # a proposer is foreign code: it must not end the search
        found, error = [], f"{type(problem).__name__}: {problem}"
    missing = Proposal(status=NO_ANSWER, error=error[:500])
    return found + [missing] * (count - len(found))


def reflection_of(candidate: Candidate | None) -> tuple[str, ...]:
    """The statistics of a candidate's trainings as lines; none without a trained candidate."""
    if candidate is None or not candidate.logs:
        return ()
    return tuple(reward_reflection(candidate.logs).lines)


def logs_of(candidate: Candidate, runs: Runs) -> Mapping[str, Any]:
    """Series per update, means over the candidate's trainings."""
    mean = jax.tree.map(lambda leaf: np.asarray(leaf).mean(axis=0), runs)
    series = {name: mean.terms[:, i] for i, name in enumerate(candidate.program.names)}
    return {
        **series,
        "consecutive_successes": mean.success,
        "gt_reward": mean.success,
        "gpt_reward": mean.reward,
    }


def compile_candidates(
    candidates: Sequence[Candidate], quantities: Quantities, form: str
) -> Slots | Tape:
    """The candidates' programs as one population `[P, ...]`.

    InputError when `form` is slots and a program has another shape.
    """
    if form == "tape":
        return stack_tapes([compile_tape(c.program, quantities) for c in candidates])
    compiled = []
    for candidate in candidates:
        slots = candidate.proposal.slots or slots_of(candidate.program)
        if slots is None:
            raise InputError("the program is not linear in simple terms; train it in the form tape")
        compiled.append(compile_slots(slots, quantities))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *compiled)


def train_candidates(
    trainer: CandidateTrainer,
    candidates: Sequence[Candidate],
    keys: Any,
    quantities: Quantities,
    form: str,
) -> Runs:
    """Train every candidate once per key of `keys` `[S]`; runs in the order candidate, seed."""
    programs = compile_candidates(candidates, quantities, form)
    seeds = keys.shape[0]
    index = np.tile(np.arange(seeds), len(candidates))
    return trainer.train(repeat_programs(programs, seeds), keys[index])


def run_search(search: Search, trainer: CandidateTrainer, key: Any, report: Any = None) -> Search:
    """All generations of one search. Candidates of a generation share their training seeds."""
    total = search.config.generations + (search._human is not None)
    while search.generation < total:
        waiting = search.propose()
        keys = jax.random.split(jax.random.fold_in(key, search.generation), search.config.seeds)
        if waiting:
            runs = train_candidates(trainer, waiting, keys, search.quantities, search.config.form)
            search.absorb(waiting, runs)
        else:
            search.close_generation()
        if report is not None:
            report(search)
    return search
