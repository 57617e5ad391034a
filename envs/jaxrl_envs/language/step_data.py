"""Solutions whose steps are labelled, from data sets as they are: JSON lines, JSON and parquet.

Known are the rows of ProcessBench (`problem, steps, label`), PRMBench (`modified_process,
error_steps`), PRM800K (`question, label` with the steps' completions), Math-Shepherd (`input,
label` with a mark behind every step) and TRL's stepwise rows (`prompt, completions, labels`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxrl_envs.language.data import rows_of
from jaxrl_rewards.core.errors import InputError

MARK = "\u043a\u0438"
"""What stands behind every step of a Math-Shepherd row."""


@dataclasses.dataclass(frozen=True)
class StepRow:
    """One solution."""

    problem: str
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    """Per step: 1 right, 0 wrong, .5 neutral; None where the row does not say."""
    layout: str

    @property
    def first_error(self) -> int:
        """Number of the first wrong step, from 0; -1 for none."""
        return next((i for i, label in enumerate(self.labels) if label == 0), -1)


def read_steps(path: str | Path, *, limit: int | None = None) -> list[StepRow]:
    """The rows of a file, or of the files in a folder; `limit` stops after so many.

    InputError, one sentence with file and row, for what cannot be used.
    """
    found: list[StepRow] = []
    for where, row in rows_of(path):
        if limit is not None and len(found) >= limit:
            break
        found.append(_step_row(row, where))
    if not found and limit != 0:
        raise InputError(f"{path} holds no rows; check that it is the right file")
    return found


def _step_row(row: Mapping[str, Any], where: str) -> StepRow:
    for columns, read in LAYOUTS:
        if all(name in row for name in columns):
            problem, steps, labels = read(row, where)
            if not steps:
                raise InputError(f"{where} has no steps; leave the row out")
            if len(steps) != len(labels):
                raise InputError(
                    f"{where} has {len(steps)} steps and {len(labels)} labels; give one each"
                )
            return StepRow(problem, tuple(steps), tuple(labels), read.__name__.strip("_"))
    known = "; ".join(", ".join(columns) for columns, _ in LAYOUTS)
    raise InputError(f"{where} has the columns {', '.join(sorted(row)[:12])}; known are: {known}")


def _process_bench(row: Mapping[str, Any], where: str) -> tuple[str, list[str], list]:
    steps = _texts(row["steps"], f"{where}: steps")
    label = _whole(row["label"], f"{where}: label")
    if not -1 <= label < len(steps):
        raise InputError(f"{where}: label {label} is no step of {len(steps)}, nor -1; correct it")
    wrong = len(steps) if label < 0 else label
    labels = [1.0 if i < wrong else 0.0 if i == wrong else None for i in range(len(steps))]
    return _text(row["problem"], f"{where}: problem"), steps, labels


def _prm_bench(row: Mapping[str, Any], where: str) -> tuple[str, list[str], list]:
    steps = _texts(row["modified_process"], f"{where}: modified_process")
    errors = row["error_steps"]
    if not isinstance(errors, list):
        raise InputError(f"{where}: error_steps must be a list of numbers from 1; correct it")
    wrong = {_whole(number, f"{where}: error_steps") for number in errors}
    if wrong and not 1 <= min(wrong) <= max(wrong) <= len(steps):
        raise InputError(f"{where}: error_steps must lie between 1 and {len(steps)}; correct it")
    problem = row.get("modified_question", row.get("question", ""))
    labels = [0.0 if i + 1 in wrong else 1.0 for i in range(len(steps))]
    return _text(problem, f"{where}: question"), steps, labels


def _prm800k(row: Mapping[str, Any], where: str) -> tuple[str, list[str], list]:
    question, told = row["question"], row["label"]
    if not isinstance(question, Mapping) or not isinstance(told, Mapping):
        raise InputError(f"{where}: question and label must be objects; correct them")
    steps, labels = [], []
    for number, step in enumerate(_list(told.get("steps"), f"{where}: label.steps")):
        at = f"{where}: label.steps[{number}]"
        chosen = _chosen(step, at)
        if chosen is None:
            break
        rating = chosen.get("rating")
        if rating not in (-1, 0, 1, None):
            raise InputError(f"{at} has the rating {rating!r}; it must be -1, 0 or 1")
        steps.append(_text(chosen.get("text"), f"{at}: text"))
        labels.append(None if rating is None else (rating + 1) / 2)
    return _text(question.get("problem"), f"{where}: question.problem"), steps, labels


def _chosen(step: Any, where: str) -> Mapping[str, Any] | None:
    """The completion that the solution went on with; a person's own counts as right, and where it
    ended with none, the first that was rated as wrong."""
    if not isinstance(step, Mapping):
        raise InputError(f"{where} must be an object; correct it")
    written = step.get("human_completion")
    if isinstance(written, Mapping):
        return {"rating": 1, **written}
    choices = step.get("completions") or []
    if not isinstance(choices, list) or not all(isinstance(c, Mapping) for c in choices):
        raise InputError(f"{where}: completions must be a list of objects; correct it")
    number = step.get("chosen_completion")
    if number is None:
        return next((c for c in choices if c.get("rating") == -1), None)
    if type(number) is not int or not 0 <= number < len(choices):
        raise InputError(f"{where}: chosen_completion {number!r} is none of {len(choices)}")
    return choices[number]


def _math_shepherd(row: Mapping[str, Any], where: str) -> tuple[str, list[str], list]:
    given = _text(row["input"], f"{where}: input")
    told = _text(row["label"], f"{where}: label")
    pieces = given.split(MARK)
    labels, place = [], 0
    for piece in pieces[:-1]:
        place += len(piece)
        mark = told[place : place + 1]
        if mark not in ("+", "-"):
            raise InputError(
                f"{where}: label has {mark!r} where input has the mark {MARK}; it must be + or -"
            )
        labels.append(float(mark == "+"))
        place += 1
    begin = pieces[0].find("Step 1:")
    problem = pieces[0][: max(begin, 0)].strip()
    steps = [pieces[0][max(begin, 0) :].strip(), *(piece.strip() for piece in pieces[1:-1])]
    return problem, steps[: len(labels)], labels


def _trl_stepwise(row: Mapping[str, Any], where: str) -> tuple[str, list[str], list]:
    steps = _texts(row["completions"], f"{where}: completions")
    labels = _list(row["labels"], f"{where}: labels")
    if not all(isinstance(label, bool | int | float) and 0 <= label <= 1 for label in labels):
        raise InputError(f"{where}: labels must be true, false, or from 0 to 1; correct them")
    return _text(row["prompt"], f"{where}: prompt"), steps, [float(label) for label in labels]


LAYOUTS: tuple[tuple[tuple[str, ...], Callable], ...] = (
    (("problem", "steps", "label"), _process_bench),
    (("modified_process", "error_steps"), _prm_bench),
    (("prompt", "completions", "labels"), _trl_stepwise),
    (("input", "label"), _math_shepherd),
    (("question", "label"), _prm800k),
)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where} must be a list, got {type(value).__name__}; correct it")
    return value


def _texts(value: Any, where: str) -> list[str]:
    return [_text(one, where) for one in _list(value, where)]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} must be text, got {type(value).__name__}; correct it")
    return value


def _whole(value: Any, where: str) -> int:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not float(value).is_integer():
        raise InputError(f"{where} must be a whole number, got {str(value)[:40]!r}; correct it")
    return int(value)
