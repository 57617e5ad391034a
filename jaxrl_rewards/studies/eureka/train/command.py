"""`jaxrl-rewards train eureka`: search a reward program, offline, by chat or from a recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.train.arguments import parse

PROPOSERS = ("offline", "random", "chat", "replay")
PROPOSALS = "proposals.jsonl"
TRANSIENT = ("out", "resume", "generations", "token_budget", "time_budget", "timeout", "recording")
"""Flags that may differ when a search goes on: they change how far it gets, not what it does."""


@dataclasses.dataclass(frozen=True)
class EurekaTask:
    """Search a reward program."""

    world: str = "keydoor"
    """keydoor, swing-up or ball (needs mujoco)."""
    proposer: str = "offline"
    """offline (evolution), random, chat, or replay (of proposals on file)."""
    out: Path = Path("runs") / "eureka"
    """Folder for candidates.json, proposals.jsonl, chat.jsonl and best.txt."""
    resume: bool = False
    """Go on with the search in the folder: nothing is asked, trained or paid for twice."""
    human: Path | None = None
    """A reward program as a text file: the first generation."""
    recording: Path | None = None
    """proposals.jsonl of an earlier search, for --proposer replay."""
    preferences: str = "none"
    """none, ask (in the terminal, keydoor only), or a JSONL file of preferences."""
    candidates: int = 16
    generations: int = 5
    seeds: int = 4
    """Trainings per candidate."""
    token_budget: int = 200_000
    """Tokens that a chat search may spend, answers that cannot be used included."""
    time_budget: float | None = None
    """Seconds that a chat search may spend with asking and waiting."""
    timeout: float = 60.0
    """Seconds that one chat request may take."""
    max_tokens: int = 1024
    """Tokens of one chat answer, its thoughts included; models that think need more."""
    temperature: float = 1.0
    """How freely the chat model varies its answers."""
    samples: int = 4
    """Answers that one chat request asks for."""
    seed: int = 0


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and search."""
    task = parse(
        EurekaTask,
        arguments,
        prog="jaxrl-rewards train eureka",
        description="Search a reward program. A chat server is taken from JAXRL_CHAT_URL, "
        "JAXRL_CHAT_MODEL and JAXRL_CHAT_KEY.",
    )
    return run_eureka(task)


def run_eureka(task: EurekaTask) -> int:
    """Search as `task` says, or go on with it; records are written after every generation."""
    from jaxrl_rewards.studies.eureka.study import EurekaConfig
    from jaxrl_rewards.studies.eureka.train.tasks import TASKS
    from jaxrl_rewards.train.folder_lock import folder_lock

    human = check_task(task, [*TASKS])
    room = TASKS[task.world](EurekaConfig())
    with folder_lock(task.out):
        claim_folder(task, human)
        return search_in(task, room, human)


def check_task(task: EurekaTask, worlds: Sequence[str]) -> str | None:
    """InputError for flags that cannot be meant, before anything is made; the human's program."""
    from jaxrl_rewards.reward_design.eureka.feedback import read_preferences
    from jaxrl_rewards.train.chat import ChatSettings

    if task.world not in worlds:
        raise InputError(f"there is no world {task.world!r} to search in; choose from {worlds}")
    if task.preferences == "ask" and task.world != "keydoor":
        raise InputError("rollouts can be drawn for --world keydoor only")
    if task.seed < 0:
        raise InputError(f"--seed must not be negative, got {task.seed}")
    if task.proposer not in PROPOSERS:
        raise InputError(
            f"proposer {task.proposer!r} is unknown; choose one of {', '.join(PROPOSERS)}"
        )
    if task.proposer == "replay" and task.recording is None:
        raise InputError("--proposer replay needs --recording, a proposals.jsonl file")
    if task.proposer == "chat":
        ChatSettings.from_environment()
    if task.preferences not in ("none", "ask"):
        read_preferences(task.preferences)  # a mistake in the file shows before the training
    return None if task.human is None else read_program(task.human)


def claim_folder(task: EurekaTask, human: str | None) -> None:
    """Refuse a folder with another search; write what this one is."""
    import jax

    from jaxrl_rewards.train import record

    values = dataclasses.asdict(task) | {"human": human}
    config = {"kind": "eureka", "task": {k: v for k, v in values.items() if k not in TRANSIENT}}
    facts = record.facts(config, {}, jax.random.key(task.seed), None, False)
    if not task.resume and (task.out / PROPOSALS).exists():
        raise InputError(
            f"{task.out / PROPOSALS} holds a search; go on with it by --resume, or give another "
            "--out"
        )
    record.check_folder(task.out, resume=task.resume, facts=facts)
    record.write(task.out, facts, {"generations": task.generations})


def search_in(task: EurekaTask, room: Any, human: str | None) -> int:
    """The search itself, in a folder that is ours."""
    import jax

    from jaxrl_rewards.core.files import atomic_write_json, atomic_write_text
    from jaxrl_rewards.reward_design.eureka.kept_trainings import KeptTrainings
    from jaxrl_rewards.reward_design.eureka.search import Search, SearchConfig, run_search

    config = SearchConfig(
        candidates=task.candidates, generations=task.generations, seeds=task.seeds, form="tape"
    )
    search = Search(make_proposer(task), room.quantities, config, task=room.text, human=human)
    key = jax.random.key(task.seed)

    def after_generation(search: Search) -> None:
        atomic_write_json(
            task.out / "candidates.json",
            {"counts": search.counts(), "candidates": [c.record() for c in search.archive]},
        )
        best = search.best
        if best is not None:
            atomic_write_text(task.out / "best.txt", best.proposal.text + "\n")
        score = "none" if best is None else f"{best.score:.2f} (candidate {best.number})"
        print(f"generation {search.generation}: {search.counts()}, best {score}", flush=True)
        listen(task, search, room, key)

    trainer = KeptTrainings(room.trainer, task.out / "trainings")
    run_search(search, trainer, key, after_generation)
    if search.best is None:
        print("no candidate could be trained; candidates.json says why")
        return 1
    print("best by its score in the search, which is optimistic; train it anew before quoting:")
    print(search.best.proposal.text)
    return 0


def read_program(path: Path) -> str:
    """A reward program from a text file; InputError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def make_proposer(task: EurekaTask) -> Any:
    """The proposer that the flags name, with its proposals recorded."""
    from jaxrl_rewards.reward_design.eureka.chat import ChatProposer
    from jaxrl_rewards.reward_design.eureka.offline import EvolutionProposer, RandomProposer
    from jaxrl_rewards.reward_design.eureka.recording import RecordingProposer, ReplayProposer
    from jaxrl_rewards.train.chat import ChatClient, ChatSettings, ContinuedChat

    if task.proposer == "replay":
        return ReplayProposer(task.recording)
    if task.proposer == "chat":
        settings = ChatSettings.from_environment(
            timeout=task.timeout, token_budget=task.token_budget, time_budget=task.time_budget
        )
        log = task.out / "chat.jsonl"
        proposer: Any = ChatProposer(
            ContinuedChat(ChatClient(settings, log=log), log),
            samples=task.samples,
            temperature=task.temperature,
            max_tokens=task.max_tokens,
        )
    else:
        kind = EvolutionProposer if task.proposer == "offline" else RandomProposer
        proposer = kind(task.seed)
    return RecordingProposer(proposer, task.out / PROPOSALS, resume=task.resume)


def listen(task: EurekaTask, search: Any, room: Any, key: Any) -> None:
    """Let a person, or their file, choose what the next generation improves on."""
    from jaxrl_rewards.reward_design.eureka import feedback

    if task.preferences == "none" or search.generation >= task.generations:
        return
    if task.preferences != "ask":
        given = feedback.read_preferences(task.preferences)
        own = [p for p in given if p.generation == search.generation]
        feedback.apply_preferences(search, own)
        return
    feedback.apply_preferences(search, ask_person(task, search, room, key))


def ask_person(task: EurekaTask, search: Any, room: Any, key: Any) -> list[Any]:
    """What a person says about pairs of the last generation; what they said before stands."""
    import jax

    from jaxrl_rewards.core.jsonl import JsonlWriter
    from jaxrl_rewards.reward_design.eureka import feedback
    from jaxrl_rewards.reward_design.eureka.search import compile_candidates
    from jaxrl_rewards.studies.eureka.train.render import keydoor_rollout

    path = task.out / "answers.jsonl"
    said = JsonlWriter(path)
    known = feedback.read_preferences(path) if path.exists() else []
    found = [one for one in known if one.generation == search.generation]
    last = [c for c in search.archive if c.generation == search.generation - 1]
    for pair in feedback.pairs_to_ask(last)[len(found) :]:
        shown = []
        for number in pair:
            tape = compile_candidates([search.archive[number]], room.quantities, "tape")
            alone = jax.tree.map(lambda leaf: leaf[0], tape)
            shown.append((number, keydoor_rollout(room, alone, key)))
        answer = feedback.ask_in_terminal(*shown)
        found.append(dataclasses.replace(answer, generation=search.generation))
        said.append([dataclasses.asdict(found[-1])], sync=True)
    return found
