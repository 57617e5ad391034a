"""`jaxrl-rewards train eureka`: search a reward program, offline, by chat or from a recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.train.arguments import parse


@dataclasses.dataclass(frozen=True)
class EurekaTask:
    """Search a reward program."""

    world: str = "keydoor"
    """keydoor, swing-up or ball (needs mujoco)."""
    proposer: str = "offline"
    """offline (evolution), random, chat, or replay (of proposals on file)."""
    out: Path = Path("runs") / "eureka"
    """Folder for candidates.json, proposals.jsonl, chat.jsonl and best.txt."""
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
    """Search as `task` says; records are written after every generation."""
    import jax

    from jaxrl_rewards.core.files import atomic_write_json, atomic_write_text
    from jaxrl_rewards.reward_design.eureka.feedback import read_preferences
    from jaxrl_rewards.reward_design.eureka.search import Search, SearchConfig, run_search
    from jaxrl_rewards.studies.eureka.study import EurekaConfig
    from jaxrl_rewards.studies.eureka.train.tasks import TASKS

    if task.world not in TASKS:
        raise InputError(f"there is no world {task.world!r} to search in; choose from {[*TASKS]}")
    if task.preferences == "ask" and task.world != "keydoor":
        raise InputError("rollouts can be drawn for --world keydoor only")
    if task.seed < 0:
        raise InputError(f"--seed must not be negative, got {task.seed}")
    if task.preferences not in ("none", "ask"):
        read_preferences(task.preferences)  # a mistake in the file shows before the training
    room = TASKS[task.world](EurekaConfig())
    config = SearchConfig(
        candidates=task.candidates, generations=task.generations, seeds=task.seeds, form="tape"
    )
    human = None if task.human is None else read_program(task.human)
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

    run_search(search, room.trainer, key, after_generation)
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
    from jaxrl_rewards.train.chat import ChatClient, ChatSettings

    if task.proposer == "replay":
        if task.recording is None:
            raise InputError("--proposer replay needs --recording, a proposals.jsonl file")
        return ReplayProposer(task.recording)
    if task.proposer == "chat":
        settings = ChatSettings.from_environment(
            timeout=task.timeout, token_budget=task.token_budget, time_budget=task.time_budget
        )
        proposer: Any = ChatProposer(
            ChatClient(settings, log=task.out / "chat.jsonl"),
            samples=task.samples,
            temperature=task.temperature,
            max_tokens=task.max_tokens,
        )
    elif task.proposer in ("offline", "random"):
        kind = EvolutionProposer if task.proposer == "offline" else RandomProposer
        proposer = kind(task.seed)
    else:
        raise InputError(
            f"proposer {task.proposer!r} is unknown; choose offline, random, chat or replay"
        )
    recording = task.out / "proposals.jsonl"
    if recording.exists():
        raise InputError(f"{recording} holds another search; give another --out or move it away")
    return RecordingProposer(proposer, recording)


def listen(task: EurekaTask, search: Any, room: Any, key: Any) -> None:
    """Let a person, or their file, choose what the next generation improves on."""
    import jax

    from jaxrl_rewards.reward_design.eureka import feedback
    from jaxrl_rewards.reward_design.eureka.search import compile_candidates
    from jaxrl_rewards.studies.eureka.train.render import keydoor_rollout

    if task.preferences == "none" or search.generation >= task.generations:
        return
    if task.preferences != "ask":
        given = feedback.read_preferences(task.preferences)
        own = [p for p in given if p.generation == search.generation]
        feedback.apply_preferences(search, own)
        return
    last = [c for c in search.archive if c.generation == search.generation - 1]
    found = []
    for pair in feedback.pairs_to_ask(last):
        shown = []
        for number in pair:
            tape = compile_candidates([search.archive[number]], room.quantities, "tape")
            alone = jax.tree.map(lambda leaf: leaf[0], tape)
            shown.append((number, keydoor_rollout(room, alone, key)))
        found.append(feedback.ask_in_terminal(*shown))
    feedback.apply_preferences(search, found)
