"""Proposals on file: a search can be repeated without the proposer that made them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import parse_json
from jaxrl_rewards.core.jsonl import mend_jsonl
from jaxrl_rewards.reward_design.eureka.candidates import Proposal
from jaxrl_rewards.reward_design.eureka.proposers import Context, Proposer
from jaxrl_rewards.reward_design.programs.slots import Slot


class RecordingProposer:
    """Another proposer, with one JSON line per proposal appended to a file."""

    def __init__(self, proposer: Proposer, path: str | Path):
        self.proposer, self.path = proposer, Path(path)
        mend_jsonl(self.path)

    def propose(self, context: Context, count: int) -> list[Proposal]:
        """What the inner proposer says, written down."""
        found = self.proposer.propose(context, count)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for proposal in found:
                entry = {"generation": context.generation, **dataclasses.asdict(proposal)}
                file.write(json.dumps(entry) + "\n")
        return found


class ReplayProposer:
    """The proposals of a recording, generation by generation.

    InputError names the file and line of an entry that is no proposal. A generation that the file
    lacks gives fewer proposals than asked for, which a search counts as failures.
    """

    def __init__(self, path: str | Path):
        self.generations: dict[int, list[Proposal]] = {}
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        for number, line in enumerate(lines, 1):
            try:
                entry = parse_json(line, "it", dict)
                generation = int(entry.pop("generation"))
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
