"""The blocks of code in the README and in docs/, and how a test runs them.

A block is a ```sh, ```bash or ```python fence. A comment on the line before says what a test does
with it:

    <!-- test: skip because REASON -->   it is read, but not run
    <!-- test: slow -->                  it is run with the slow tests only
    <!-- test: continues -->             it goes on in the names of the Python blocks before it

All blocks of a page share one folder. Sizes are cut down: numbers of updates and steps in Python,
options of commands (see `SMALLER`). Commands with a reader's own in capitals (`MODEL.npz`), and
other commands than ours, are checked, not run.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"(?:^[ \t]*<!--\s*test:(?P<mark>[^>]*)-->[ \t]*\n\s*)?"
    r"^(?P<indent>[ \t]*)```(?P<language>sh|bash|python)[ \t]*\n(?P<text>.*?)^[ \t]*```",
    re.DOTALL | re.MULTILINE,
)
MARKS = re.compile(r"skip because .+|slow|continues")
SMALLER = {
    "train ppo": "--steps 64 --num-envs 4 --unroll-length 8 --num-epochs 1 --num-minibatches 1 "
    "--hidden 8 --evaluation-episodes 2 --chunk 2",
    "train retarget": "--steps 64 --num-envs 4 --unroll 4 --minibatches 1 --evaluation-episodes 4 "
    "--final-episodes 4 --picture-seconds 0 --clone-rounds 0",
    "train language": "--network.width 16 --network.layers 1 --network.heads 2 "
    "--network.kv-heads 1 --network.hidden 16 --warm-start 10 --warm-start-batch 4 --updates 1 "
    "--prompts 2 --answers 2 --evaluation-questions 8 --seed 0",
    "train eureka": "--candidates 2 --generations 1 --seeds 1",
    "evaluate": "--episodes 2",
}
"""Options that replace those of a command, or are added."""


@dataclasses.dataclass(frozen=True)
class Block:
    """One block of code."""

    page: str
    line: int
    language: str
    text: str
    marks: tuple[str, ...]

    @property
    def skipped(self) -> bool:
        """Whether it is not run at all."""
        return any(mark.startswith("skip") for mark in self.marks)


def pages() -> list[str]:
    """The README and every page below docs/, relative to the repository."""
    found = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return [path.relative_to(REPOSITORY).as_posix() for path in found]


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order; ValueError for a mark that means nothing."""
    source = (REPOSITORY / page).read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(source):
        line = source[: match.start("language")].count("\n") + 1
        marks = tuple(part.strip() for part in (match["mark"] or "").split(";") if part.strip())
        for mark in marks:
            if not MARKS.fullmatch(mark):
                raise ValueError(f"{page}:{line}: the mark {mark!r} means nothing to the test")
        indent = len(match["indent"])
        text = "\n".join(row[indent:] for row in match["text"].splitlines()) + "\n"
        language = "python" if match["language"] == "python" else "sh"
        found.append(Block(page, line, language, text, marks))
    return found


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block as words, without comments, variables and redirections."""
    found = []
    for row in re.sub(r"\\\n", " ", text).splitlines():
        lexer = shlex.shlex(row, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        parts: list[list[str]] = [[]]
        for word in lexer:
            if word in (";", "&&", "||"):
                parts.append([])
            else:
                parts[-1].append(word)
        found += [words for part in parts if (words := _one_command(part))]
    return found


def _one_command(words: list[str]) -> list[str]:
    """Its words without variables before it, and without redirections."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    ends = [index for index, word in enumerate(words) if set(word) <= set("<>|")]
    return words[: ends[0]] if ends else words


def has_placeholder(words: list[str]) -> bool:
    """Whether a reader is to put something of theirs in, as in `design MODEL.npz`."""
    return any(re.fullmatch(r"[A-Z][A-Z_]{2,}(\.\w+)?", word) for word in words)


def smaller_command(words: list[str]) -> list[str]:
    """The arguments of one of our commands, cut down for a test."""
    arguments = list(words)
    for name, options in SMALLER.items():
        verbs = name.split()
        if arguments[: len(verbs)] != verbs or arguments[1:2] == ["gui"]:
            continue
        pairs = options.split()
        for option, value in zip(pairs[::2], pairs[1::2], strict=True):
            arguments = _without(arguments, option)
            arguments += [option, value]
    return arguments


def _without(arguments: list[str], option: str) -> list[str]:
    """The arguments without an option and its one value."""
    out, skip = [], False
    for word in arguments:
        if skip or word.startswith(f"{option}="):
            skip = False
        elif word == option:
            skip = True
        else:
            out.append(word)
    return out


def smaller_python(text: str) -> str:
    """The code with numbers of updates and steps cut down."""
    text = re.sub(
        r"\b(total_updates|updates|total_steps|steps)=([\d_]+)",
        lambda match: f"{match[1]}={min(int(match[2]), 4)}",
        text,
    )
    return re.sub(r"\brecipe\.updates\b", "4", text)
