"""Labels of messages in a JSONL file: to edit by hand, to merge, to replay without a server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.jsonl import JsonlWriter, read_jsonl

CLASSES, RANKING_CLASSES = (0, 1), (0, 1, 2)


@dataclasses.dataclass(frozen=True)
class Label:
    """One line: a message, what it was judged to be, and by whom."""

    message: str
    label: int
    """0 unhelpful, 1 helpful; of a pair: 0 the first is better, 1 the second, 2 neither."""
    model: str = ""
    prompt_version: str = ""
    raw: str = ""
    """The judge's whole answer."""

    def __post_init__(self):
        if not isinstance(self.message, str) or not self.message:
            raise InputError(f"a label's message must be a non-empty text, got {self.message!r}")
        if isinstance(self.label, bool) or self.label not in RANKING_CLASSES:
            raise InputError(f"the label of {self.message!r} must be 0, 1 or 2, got {self.label!r}")


def read_labels(*paths: str | Path) -> dict[str, Label]:
    """Labels by message; the first label of a message wins, within a file and between files.

    InputError names the file and the entry with a bad label or without a message.
    """
    labels: dict[str, Label] = {}
    names = {field.name for field in dataclasses.fields(Label)}
    for path in paths:
        for number, entry in enumerate(read_jsonl(path), start=1):
            try:
                label = Label(**{name: value for name, value in entry.items() if name in names})
            except (InputError, TypeError) as error:
                raise InputError(f"{path}, entry {number}: {error}") from error
            labels.setdefault(label.message, label)
    return labels


class LabelFile:
    """Appends labels, a line each, written at once; a crash costs at most the last line.

    Labels for which a full disk has no room are kept and written with the next ones
    (`JsonlWriter`)."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._writer = JsonlWriter(path)

    def append(self, labels: Iterable[Label]) -> None:
        """Write labels at the end of the file; WriteError where they have to wait."""
        self._writer.append(map(dataclasses.asdict, labels))
