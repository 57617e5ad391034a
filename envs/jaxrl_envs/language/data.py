"""Questions with answers from data sets as they are: JSON lines, JSON and parquet.

Known are the rows of GSM8K (`question`, `answer` that ends in `#### 18`), of MATH (`problem`,
`solution` with a `\\boxed{}`), of TRL (`prompt` as text or chat messages, the answer in a column
`answer`, `solution`, `ground_truth`, `target` or `completion`), of chats (`messages`), and of verl
and Eurus-2 (`prompt` as chat messages, `reward_model` with its `ground_truth`, `data_source`,
`extra_info`). Parquet needs the `llm` extra.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import parse_json, read_json
from jaxrl_rewards.rewards.text.extract import after_hashes, boxed
from jaxrl_rewards.rewards.text.scores import target_of

SUFFIXES = (".jsonl", ".json", ".parquet")
QUESTIONS = ("question", "problem", "prompt", "messages", "input", "query", "instruction")
ANSWERS = ("ground_truth", "answer", "final_answer", "solution", "target", "completion", "output")
LONGEST_FILE = 1 << 28
"""Bytes of a JSON file; JSON lines and parquet are read piece by piece and may be larger."""
LONGEST_LINE = 1 << 24


@dataclasses.dataclass(frozen=True)
class Question:
    """One row: what is asked, and what is right."""

    messages: tuple[dict[str, str], ...]
    """The chat up to the question: mappings with `role` and `content`; the last is the user's."""
    answer: str
    """The final answer, taken from the solution where the row holds no other; "" for none."""
    solution: str = ""
    """The worked solution, or ""."""
    source: str = ""
    """The data set that the row names, or ""."""
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """All columns of the row, for rewards that need others."""

    @property
    def text(self) -> str:
        """What the user asks."""
        return self.messages[-1]["content"]

    @property
    def row(self) -> dict[str, Any]:
        """The columns, and the answer as `ground_truth` where rewards would find none in them."""
        found = target_of(self.columns) is not None
        return dict(self.columns) if found else {**self.columns, "ground_truth": self.answer}


def read_questions(
    path: str | Path,
    *,
    question: str | None = None,
    answer: str | None = None,
    needs_answer: bool = True,
    limit: int | None = None,
) -> list[Question]:
    """The questions of a file, or of the files in a folder in the order of their names.

    `question` and `answer` name columns where the usual ones are not meant; `limit` stops after so
    many rows. InputError, one sentence with file and row, for a file or row that cannot be used;
    a row without an answer is one unless `needs_answer` is false.
    """
    questions: list[Question] = []
    for where, row in rows_of(path):
        if limit is not None and len(questions) >= limit:
            return questions
        questions.append(_question(row, where, question, answer, needs_answer))
    if not questions and limit != 0:
        raise InputError(f"{path} holds no rows; check that it is the right file")
    return questions


def rows_of(path: str | Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """`(file and row for messages, row)` of a file, or of the files in a folder by name."""
    for file in _files(Path(path)):
        for number, row in enumerate(_rows(file), 1):
            yield f"{file}, row {number}", row


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and p.is_file())
        if not found:
            raise InputError(f"{path} holds no {', '.join(SUFFIXES)} file; give a file or another")
        return found
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} is none of {', '.join(SUFFIXES)}; convert it to one of them")
    return [path]


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    return _json_lines(path) if path.suffix == ".jsonl" else _json_rows(path)


def _json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with open(path, "rb") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE + 1), b""), 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    text = line.removeprefix(b"\xef\xbb\xbf")
                    yield parse_json(text, where, dict, finite=False, limit_bytes=LONGEST_LINE)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be read: {reason}; check the path") from None


def _json_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    rows = read_json(path, finite=False, limit_bytes=LONGEST_FILE)
    if isinstance(rows, dict):
        lists = [value for value in rows.values() if isinstance(value, list)]
        rows = lists[0] if len(lists) == 1 else [rows]
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number} is no JSON object; correct it")
        yield row


def _parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of a parquet file, without columns of bytes (images)."""
    try:
        from pyarrow import ArrowException, types
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise InputError(
            f'{path} is parquet, which needs pyarrow: pip install "jaxrl-rewards[llm]"'
        ) from None
    try:
        with ParquetFile(path) as file:
            fields = file.schema_arrow
            names = [field.name for field in fields if not _holds_bytes(field.type, types)]
            for batch in file.iter_batches(batch_size=256, columns=names):
                yield from batch.to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read as parquet ({reason}); check the file") from None


def _holds_bytes(kind: Any, types: Any) -> bool:
    if types.is_list(kind) or types.is_large_list(kind):
        return _holds_bytes(kind.value_type, types)
    if types.is_struct(kind):
        return any(_holds_bytes(field.type, types) for field in kind)
    return types.is_binary(kind) or types.is_large_binary(kind)


# ---------------------------------------------------------------- one row


def _question(
    row: Mapping[str, Any], where: str, question: str | None, answer: str | None, needs: bool
) -> Question:
    messages, replied = _asked(row, where, question)
    told = _told(row, where, answer) or replied
    final = _final(told)
    if needs and not final:
        usual = answer or f"one of {', '.join(ANSWERS)}, or reward_model.ground_truth"
        raise InputError(f"{where} has no answer ({usual}); add it, or name its column")
    solution = row.get("solution") if isinstance(row.get("solution"), str) else ""
    worked = solution or (told if told != final else "")
    return Question(messages, final, worked, str(row.get("data_source") or ""), dict(row))


def _asked(
    row: Mapping[str, Any], where: str, column: str | None
) -> tuple[tuple[dict[str, str], ...], str]:
    """The chat up to the last question, and what the assistant replies to it in the row."""
    name = column or next((name for name in QUESTIONS if row.get(name) not in (None, "")), None)
    value = row.get(name) if name else None
    if value in (None, "", []):
        wanted, found = column or ", ".join(QUESTIONS), ", ".join(sorted(row)[:12])
        raise InputError(
            f"{where} has no question ({wanted}) among its columns {found}; name its column"
        )
    if isinstance(value, str):
        return ({"role": "user", "content": value},), ""
    if not isinstance(value, list) or not all(map(_is_message, value)):
        raise InputError(
            f"{where}: {name} must be text or a list of messages with role and content; correct it"
        )
    chat = [{"role": m["role"], "content": m["content"]} for m in value]
    last = max((i for i, m in enumerate(chat) if m["role"] == "user"), default=-1)
    if last < 0:
        raise InputError(f"{where}: {name} holds no message of role user; add the question")
    replies = [m["content"] for m in chat[last + 1 :] if m["role"] == "assistant"]
    return tuple(chat[: last + 1]), replies[-1] if replies else ""


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(value.get(name), str) for name in ("role", "content")
    )


def _told(row: Mapping[str, Any], where: str, column: str | None) -> str:
    """What the row says is right, as text."""
    if column is not None:
        return _text(row.get(column), f"{where}: {column}")
    inner = row.get("reward_model")
    if isinstance(inner, Mapping) and _text(inner.get("ground_truth"), where):
        return _text(inner["ground_truth"], f"{where}: reward_model.ground_truth")
    for name in ANSWERS:
        if text := _text(row.get(name), f"{where}: {name}"):
            return text
    return ""


def _text(value: Any, where: str) -> str:
    """An answer as text: a string, a number, the first of a list, the reply of a chat."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    if isinstance(value, (bool, int, float)):
        return str(value)
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        values = list(value)
        if values and all(map(_is_message, values)):
            return values[-1]["content"].strip()
        return _text(values[0], where) if values else ""
    raise InputError(f"{where} holds {type(value).__name__}, not an answer; name another column")


def _final(text: str) -> str:
    """The final answer of a solution, or the text where it is no solution."""
    if "####" in text:
        return after_hashes(text) or ""
    if "\\boxed" in text or "\\fbox" in text:
        return boxed(text) or ""
    return text
