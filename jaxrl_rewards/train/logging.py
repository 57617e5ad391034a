"""What a run says: JSONL rows, TensorBoard scalars, a progress bar or plain lines."""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from jaxrl_rewards.core.errors import InputError, WriteError
from jaxrl_rewards.core.extras import require_package
from jaxrl_rewards.core.files import atomic_write_bytes, jsonable, writing
from jaxrl_rewards.core.json_files import parse_json
from jaxrl_rewards.core.jsonl import JsonlWriter
from jaxrl_rewards.core.output import SteadyStream

Row = dict[str, Any]
"""One logged line: numbers, or lists of numbers over seeds."""

BOOKKEEPING = ("update", "samples", "seconds", "samples_per_second", "skipped_total")
PREFERRED = (
    "evaluation/return",
    "evaluation/success",
    "episode_return",
    "return",
    "score",
    "success",
    "accuracy",
    "reward",
    "loss",
)
PLAIN_INTERVAL_SECONDS = 10.0


class JsonlLog:
    """A file of one JSON object per line, written whole lines at a time.

    Rows for which there is no room are kept and written with the next ones; a warning says so.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, position: int = 0, update: int | None = None
    ):
        """Open for appending after `position` bytes, where the last row is that of `update`; what
        stands beyond is cut off. A file that is missing, shorter or damaged is made anew of the
        rows that can be read, with a warning; InputError where it cannot be written."""
        self.path = Path(path)
        self.rows: list[Row] = []
        """The rows that stand in the file already."""
        with writing(self.path):
            self._open(position, update)
        self._writer, self._warned = JsonlWriter(self.path), False

    def _open(self, position: int, update: int | None) -> None:
        data = self.path.read_bytes() if self.path.exists() else b""
        self.rows = sound_rows(data[:position], update)
        known = self.rows[-1]["update"] if self.rows else 0
        whole = not position or update in (known, None)
        if whole and len(data) >= position and data[:position].count(b"\n") == len(self.rows):
            with open(self.path, "ab") as stream:
                stream.truncate(position)
            return
        self.rows = sound_rows(data, update)
        lines = "".join(_line(row) for row in self.rows)
        atomic_write_bytes(self.path, lines.encode("utf-8"))
        known = self.rows[-1]["update"] if self.rows else 0
        warnings.warn(
            f"{self.path} is damaged, or shorter than the {position} bytes of its checkpoint: "
            f"{len(self.rows)} rows up to update {known} are kept, the others are lost",
            RuntimeWarning,
            stacklevel=4,
        )

    def write(self, row: Row) -> None:
        """Append one row; NaN and infinities become null."""
        try:
            self._writer.append([jsonable(row)])
        except WriteError as error:
            if not self._warned:
                warnings.warn(f"{error}; rows wait until then", RuntimeWarning, stacklevel=2)
            self._warned = True

    def position(self) -> int:
        """Bytes written so far, all of them on the disk; InputError where they cannot be."""
        return self._writer.flush()

    def close(self) -> None:
        """Have everything on the disk; a last failure is a warning."""
        try:
            self._writer.flush()
        except WriteError as error:
            warnings.warn(f"{error}; the last rows are lost", RuntimeWarning, stacklevel=2)


def sound_rows(data: bytes, update: int | None) -> list[Row]:
    """The rows of a log that can be used, each later than the one before, up to `update`."""
    rows: list[Row] = []
    last, end = 0, math.inf if update is None else update
    for line in data.split(b"\n"):
        try:
            row = parse_json(line, "the line", dict, needs=("update",))
        except InputError:
            continue
        number = row["update"]
        if isinstance(number, int) and last < number <= end and all(map(_sound, row.values())):
            rows.append(row)
            last = number
    return rows


def _sound(value: Any) -> bool:
    """Whether it is what a row holds: a number, nothing, or a list of these."""
    values = value if isinstance(value, list) else [value]
    return all(one is None or isinstance(one, (int, float)) for one in values)


def _line(row: Row) -> str:
    return json.dumps(row, allow_nan=False, separators=(",", ":")) + "\n"


def history(rows: list[Row]) -> dict[str, np.ndarray]:
    """Columns of the rows as float64 arrays `[rows]` or `[rows, seeds]`; NaN where absent."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, np.ndarray] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        width = max((len(value) for value in values if isinstance(value, list)), default=None)
        shape = (len(rows),) if width is None else (len(rows), width)
        column = np.full(shape, np.nan)
        for index, value in enumerate(values):
            if value is not None:
                column[index] = np.asarray(value, np.float64)
        columns[name] = column
    return columns


class TensorBoardLog:
    """Scalars for TensorBoard, written by tensorboardX; seeds as their mean."""

    def __init__(self, folder: str | os.PathLike[str], *, from_update: int = 0):
        """Write to `folder`; events of updates from `from_update` on are marked as replaced."""
        require_package("tensorboardX", "the log 'tensorboard'")
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(os.fspath(folder), purge_step=from_update or None)

    def write(self, row: Row) -> None:
        """Write every number of `row` at its update."""
        for name, value in row.items():
            if name != "update" and (number := mean(value)) is not None:
                self._writer.add_scalar(name, number, row["update"])

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class Progress:
    """A live bar on a terminal, a plain line now and then elsewhere, or nothing.

    Whatever becomes of the terminal or pipe (see `SteadyStream`), the work goes on.
    """

    def __init__(
        self,
        total: int,
        done: int,
        *,
        enabled: bool = True,
        title: str = "training",
        show: tuple[str, ...] = (),
        stream: TextIO | None = None,
    ):
        self._total, self._start, self._enabled, self._show = total, done, enabled, show
        self._stream = SteadyStream(stream or sys.stderr)
        self._began = time.monotonic()
        self._last_line = -math.inf
        self._title = title
        self._bar: Any = None
        if enabled and self._stream.isatty():
            self._bar = _rich_bar(self._stream)
            self._task = self._bar.add_task(
                title, total=total, completed=done, rate="compiling", metrics=""
            )
            self._bar.start()

    def update(self, row: Row) -> None:
        """Show the state after `row`."""
        if not self._enabled:
            return
        done, rate = row["update"], f"{si(row.get('samples_per_second'))} samples/s"
        text = describe(row, self._show)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, rate=rate, metrics=text)
            return
        now = time.monotonic()
        if now - self._last_line < PLAIN_INTERVAL_SECONDS and done < self._total:
            return
        self._last_line = now
        made = done - self._start
        left = (now - self._began) * (self._total - done) / made if made else math.nan
        parts = [f"{self._title} {done}/{self._total}", rate, f"{duration(left)} left", text]
        self.note("  ".join(part for part in parts if part))

    def note(self, text: str) -> None:
        """Print a line of its own."""
        if not self._enabled:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Leave the last state on the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def mean(value: Any) -> float | None:
    """Mean over seeds of a row's entry, without missing ones; None where there is none."""
    if isinstance(value, str):
        return None
    values = value if isinstance(value, list) else [value]
    numbers = [float(item) for item in values if item is not None and math.isfinite(item)]
    return sum(numbers) / len(numbers) if numbers else None


def describe(row: Mapping[str, Any], show: tuple[str, ...] = (), limit: int = 3) -> str:
    """The chosen (or else the most telling) metrics of a row, as short text."""
    names = [name for name in (show or PREFERRED) if name in row]
    if not names:
        names = [name for name in row if name not in BOOKKEEPING]
    parts = [
        f"{name.removeprefix('evaluation/')} {number:.4g}"
        for name in names
        if (number := mean(row[name])) is not None
    ]
    return "  ".join(parts[: len(show) or limit])


def si(value: float | None) -> str:
    """A number with a k, M or G: 1234567 is 1.23M."""
    if value is None or not math.isfinite(value):
        return "-"
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{suffix}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    if not math.isfinite(seconds):
        return "-:--"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _rich_bar(stream: Any) -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
        console=Console(file=stream),
        refresh_per_second=4,
    )
