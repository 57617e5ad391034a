"""Proposals on file: a search can be repeated without the proposer that made them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_text
from jaxrl_rewards.core.jsonl import JsonlWriter, read_jsonl
from jaxrl_rewards.reward_design.eureka.candidates import Proposal
from jaxrl_rewards.reward_design.eureka.proposers import Context, Proposer
from jaxrl_rewards.reward_design.programs.slots import Slot


class RecordingProposer:
    """Another proposer, with one JSON line per proposal appended to a file, a generation at a time.

    With `resume`, generations that stand in the file whole are taken from there. The other
    proposer is then run beside it without asking anybody (`rehearsing`, where it has that), so that
    what it draws or reads from a recording of its own is spent as it was the first time.
    """

    def __init__(self, proposer: Proposer, path: str | Path, *, resume: bool = False):
        self.proposer, self.path = proposer, Path(path)
        self.kept: dict[int, list[Proposal]] = {}
        self._writer = JsonlWriter(self.path)
        if resume and self.path.exists():
            self.kept = self._whole_generations()

    def propose(self, context: Context, count: int) -> list[Proposal]:
        """What the inner proposer says, written down, or what it said before."""
        kept = self.kept.pop(context.generation, None)
        if kept is not None:
            with getattr(self.proposer, "rehearsing", contextlib.nullcontext)():
                self.proposer.propose(context, count)
            return kept
        found = self.proposer.propose(context, count)
        about = {"generation": context.generation, "of": len(found)}
        self._writer.append([about | dataclasses.asdict(one) for one in found], sync=True)
        return found

    def _whole_generations(self) -> dict[int, list[Proposal]]:
        """The generations on file; one that a crash cut short is taken out of it."""
        entries, whole = read_jsonl(self.path), ReplayProposer(self.path).generations
        wanted = {entry["generation"]: entry.get("of") for entry in entries}
        whole = {number: found for number, found in whole.items() if len(found) == wanted[number]}
        lines = [json.dumps(one, separators=(",", ":")) for one in entries
                 if one["generation"] in whole]  # fmt: skip
        atomic_write_text(self.path, "".join(line + "\n" for line in lines))
        return whole


class ReplayProposer:
    """The proposals of a recording, generation by generation.

    InputError names the file and line of an entry that is no proposal. A generation that the file
    lacks gives fewer proposals than asked for, which a search counts as failures.
    """

    def __init__(self, path: str | Path):
        self.generations: dict[int, list[Proposal]] = {}
        for number, entry in enumerate(read_jsonl(path), 1):
            try:
                generation = int(entry.pop("generation"))
                entry.pop("of", None)
                slots = entry.pop("slots")
                entry["slots"] = slots and tuple(Slot(**slot) for slot in slots)
                entry["parents"] = tuple(entry["parents"])
                proposal = Proposal(**entry)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                raise InputError(f"{path}, line {number} holds no proposal: {error}") from error
            self.generations.setdefault(generation, []).append(proposal)

    def propose(self, context: Context, count: int) -> list[Proposal]:
        """The recorded proposals of this generation."""
        return self.generations.get(context.generation, [])[:count]
