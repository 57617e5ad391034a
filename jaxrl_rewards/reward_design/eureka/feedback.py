"""A person's judgement: words in place of the reflection, and which of two rollouts is better."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import parse_json
from jaxrl_rewards.reward_design.eureka.candidates import TRAINED, Candidate
from jaxrl_rewards.reward_design.eureka.search import Search

CHOICES = ("first", "second", "tie")
_KEYS = {"1": "first", "2": "second", "0": "tie", "=": "tie"}


@dataclasses.dataclass(frozen=True)
class Preference:
    """Which of two candidates' rollouts a person found better."""

    first: int
    second: int
    choice: str
    words: str = ""
    """What the person said about it; shown to the proposer."""
    generation: int = 1
    """How many generations were closed when it was said."""

    def __post_init__(self):
        if self.choice not in CHOICES:
            raise InputError(f"choice {self.choice!r} is unknown; choose one of {CHOICES}")


def ask_in_terminal(
    first: tuple[int, str],
    second: tuple[int, str],
    *,
    read: Callable[[str], str] = input,
    write: Callable[[str], None] = print,
) -> Preference:
    """Show two rendered rollouts (candidate number and text) and ask which is better.

    Answers: 1, 2, or = for a tie; anything else is asked again. A second line may hold words.
    At the end of the input the answer is a tie.
    """
    for place, (number, picture) in enumerate((first, second), 1):
        write(f"--- rollout {place} (candidate {number})\n{picture}")
    try:
        while (choice := _KEYS.get(read("better: 1, 2, or = ? ").strip())) is None:
            write("please answer 1, 2 or =")
        words = read("in words (may be empty): ").strip()
    except EOFError:
        choice, words = "tie", ""
    return Preference(first[0], second[0], choice, words)


def read_preferences(path: str | Path) -> list[Preference]:
    """Preferences of a JSONL file: `{"first": 3, "second": 7, "choice": "first", "words": ""}`.

    `words` and `generation` (1 unless given) may be missing. InputError names the file and the
    line that is no preference.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = parse_json(line, "it", dict)
            found.append(
                Preference(
                    int(entry["first"]),
                    int(entry["second"]),
                    entry["choice"],
                    str(entry.get("words", "")),
                    int(entry.get("generation", 1)),
                )
            )
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise InputError(f"{path}, line {number} holds no preference: {error}") from error
    return found


def apply_preferences(search: Search, preferences: Iterable[Preference]) -> Candidate | None:
    """Let the most preferred candidate be the one that the next context shows.

    A win counts 1, a tie ½ for both; ties in wins go to the better fitness, then to the smaller
    number. Words replace the reflection. Returns the candidate, or None where nobody preferred
    any. InputError for a candidate that does not exist or was not trained.
    """
    wins: dict[int, float] = {}
    words: list[str] = []
    for preference in preferences:
        for number in (preference.first, preference.second):
            if not 0 <= number < len(search.archive):
                raise InputError(f"there is no candidate {number} to prefer")
            if search.archive[number].status != TRAINED:
                raise InputError(f"candidate {number} was not trained and has no rollout")
            wins.setdefault(number, 0.0)
        if preference.choice == "tie":
            wins[preference.first] += 0.5
            wins[preference.second] += 0.5
        else:
            winner = preference.first if preference.choice == "first" else preference.second
            wins[winner] += 1.0
        if preference.words:
            words.append(preference.words)
    if not wins:
        return None
    best = min(wins, key=lambda n: (-wins[n], -search.archive[n].score, n))
    search.shown = search.archive[best]
    search.feedback = tuple(words) if words else None
    return search.shown


def pairs_to_ask(candidates: Sequence[Candidate], most: int = 1) -> list[tuple[int, int]]:
    """Numbers of neighbouring candidates in order of fitness: where a person can tell most."""
    ranked = sorted(
        (c for c in candidates if c.status == TRAINED), key=lambda c: (-c.score, c.number)
    )
    return [(one.number, two.number) for one, two in zip(ranked, ranked[1:])][:most]
