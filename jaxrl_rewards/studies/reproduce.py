"""Run a study: progress, a table of arms with intervals, a JSON file and pictures."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core.files import atomic_path, atomic_write_json, jsonable
from jaxrl_rewards.studies.api import HOLDS, TOO_FEW, Study, StudyResult, Verdict, judge
from jaxrl_rewards.studies.provenance import provenance
from jaxrl_rewards.studies.shared.intervals import bootstrap_interval
from jaxrl_rewards.studies.shared.panels import draw_curves
from jaxrl_rewards.studies.shared.sizes import root_key


def reproduce(
    study: Study,
    config: Any = None,
    *,
    out_dir: str | Path,
    command: str | None = None,
    quiet: bool = False,
) -> tuple[Verdict, dict[str, Path]]:
    """Run `study`; write `study-<slug>.json`, `<slug>.png` and the study's pictures and files.

    Returns the verdict and the written files by name. A failed claim is a result, not an error:
    it is printed and saved like a success. InputError for a bad `root_key`.
    """
    config = study.config if config is None else config
    root_key(config)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    result = _with_progress(study, config, quiet)
    seconds = time.perf_counter() - start
    verdict = judge(study, result, config)
    record = study_record(study, config, result, verdict)
    record |= provenance(command or f"jaxrl-rewards reproduce {study.slug}", seconds)
    paths = {f"study-{study.slug}.json": folder / f"study-{study.slug}.json"}
    atomic_write_json(paths[f"study-{study.slug}.json"], record)
    paths |= write_files(study, result, folder)
    if not quiet:
        print_report(study, result, verdict, paths, seconds)
    return verdict, paths


def write_files(study: Study, result: StudyResult, folder: Path) -> dict[str, Path]:
    """Draw the curves and the study's own pictures, and write its further files."""
    drawings = dict(result.figures)
    if result.curves:
        curves = {
            f"{study.slug}.png": lambda figure: draw_curves(figure, result.curves, study.title)
        }
        drawings = curves | drawings
    for name, draw in drawings.items():
        save_figure(draw, folder / name)
    for name, write in result.files.items():
        with atomic_path(folder / name) as temporary:
            write(temporary)
    return {name: folder / name for name in (*drawings, *result.files)}


def study_record(
    study: Study, config: Any, result: StudyResult, verdict: Verdict
) -> dict[str, Any]:
    """The JSON content of `study-<slug>.json`, without provenance."""
    return {
        "slug": study.slug,
        "title": study.title,
        "paper": study.paper,
        "claim": list(study.claims),
        **judgement(verdict),
        "needs": verdict.needs,
        "root_key": root_key(config),
        "arms": {
            arm: {metric: summarise(values) for metric, values in metrics.items()}
            for arm, metrics in result.arms.items()
        },
        "budget": jsonable(result.budget),
        "config": jsonable(config),
    }


def judgement(verdict: Verdict) -> dict[str, Any]:
    """The fields of a record that a claim decides."""
    return {
        "passed": verdict.state == HOLDS,
        "verdict": verdict.state,
        "missed": list(verdict.missed),
        "measured": jsonable(verdict.measured),
        "required": verdict.required,
        "interval": jsonable(verdict.interval),
        "notes": list(verdict.notes),
        "seeds": verdict.seeds,
    }


SECOND = (
    *("root_key", "passed", "verdict", "missed", "measured", "interval", "seeds", "seconds"),
    *("arms", "budget"),
)


def settings_of(config: Any) -> dict[str, Any]:
    """All settings of a configuration, live or stored, but its root key (`root_seed` once)."""
    given = jsonable(config)
    return {name: value for name, value in given.items() if name not in ("root_key", "root_seed")}


def with_second_key(record: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The record accompanied by what a run on another key measured (`second`, a record too).

    ValueError unless the two are of one study and its same settings, on different keys.
    """
    settings, others = (settings_of(part["config"]) for part in (record, second))
    if record["slug"] != second["slug"] or settings != others:
        raise ValueError(f"{record['slug']}: the second run has other settings than the first")
    used = record["config"].get("root_key", record["config"].get("root_seed"))
    if record.get("root_key", used) == second["root_key"]:
        raise ValueError(f"{record['slug']}: both runs used root key {second['root_key']}")
    return {**record, "second_key": {name: second[name] for name in SECOND}}


def judged_again(study: Study, record: dict[str, Any]) -> dict[str, Any]:
    """A stored record under today's claim: the arms stay as measured, the second key's likewise.

    For claims whose lines have changed while what they look at has not. ValueError where the
    record was made with another number of seeds than the study has now.
    """
    verdict = judge(study, result_of(record), study.config)
    found = judgement(verdict)
    used = {len(summary["values"]) for arm in record["arms"].values() for summary in arm.values()}
    if found["seeds"] not in used:
        raise ValueError(f"{study.slug}: {sorted(used)} seeds are stored, {found['seeds']} needed")
    own = {"claim": list(study.claims), **found, "needs": verdict.needs}
    again = {"root_key": root_key(study.config), **record, **own}
    if "second_key" in record:
        second = judgement(judge(study, result_of(record["second_key"]), study.config))
        kept = {name: second[name] for name in SECOND if name in second}
        again["second_key"] = {**record["second_key"], **kept}
    return again


def result_of(record: dict[str, Any]) -> StudyResult:
    """The arms and budget of a stored record, to be judged again; unknown values become NaN."""
    arms = {
        arm: {
            metric: [math.nan if value is None else value for value in summary["values"]]
            for metric, summary in metrics.items()
        }
        for arm, metrics in record["arms"].items()
    }
    return StudyResult(arms=arms, budget=record["budget"])


def summarise(values: Any) -> dict[str, Any]:
    """Mean over the seeds that have a value, its 95 % bootstrap interval, and the values."""
    data = np.asarray(values, np.float64).reshape(-1)
    known = data[np.isfinite(data)]
    mean = float(known.mean()) if known.size else None
    interval = list(bootstrap_interval(known)) if known.size else None
    return {"mean": mean, "interval": interval, "values": [float(v) for v in data]}


def _with_progress(study: Study, config: Any, quiet: bool) -> StudyResult:
    if quiet:
        return study.run(config, lambda text, fraction: None)
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{study.slug}: starting", total=1.0)

        def report(text: str, fraction: float) -> None:
            progress.update(task, description=f"{study.slug}: {text}", completed=fraction)
            if not console.is_terminal:
                console.print(f"{study.slug}: {100 * fraction:3.0f} %  {text}", highlight=False)

        result = study.run(config, report)
        progress.update(task, completed=1.0, description=f"{study.slug}: done")
    return result


def print_report(
    study: Study, result: StudyResult, verdict: Verdict, paths: dict[str, Path], seconds: float
) -> None:
    """The table of arms, the verdict and where the files are."""
    from rich.console import Console

    console = Console(width=None if _terminal() else 130)
    console.print(_arms_table(study, result, verdict))
    console.print(_claim_table(verdict))
    for note in verdict.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    for name in verdict.missed if verdict.state != TOO_FEW else ():
        text = f"not met: {name} = {_number(verdict.measured[name])}"
        console.print(f"{text}, required {verdict.required[name]}", highlight=False, markup=False)
    if verdict.state == TOO_FEW:
        word = (
            f"[yellow]{TOO_FEW}[/yellow] (it has {verdict.seeds}, the claim needs {verdict.needs})"
        )
    else:
        colour = "green" if verdict.state == HOLDS else "red"
        word = f"[{colour}]the claim {verdict.state}[/{colour}]"
    console.print(f"{study.slug}: {word} ({seconds:.0f} s)")
    for name, path in paths.items():
        console.print(f"  {name}: {path}", highlight=False, soft_wrap=True)


def _arms_table(study: Study, result: StudyResult, verdict: Verdict) -> Any:
    from rich.table import Table

    metrics = list(dict.fromkeys(name for arm in result.arms.values() for name in arm))
    table = Table(title=f"{study.title}: mean [95 % interval] over {verdict.seeds} seeds")
    table.add_column("arm")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for arm, values in result.arms.items():
        table.add_row(arm, *(_cell(values.get(metric)) for metric in metrics))
    return table


def _claim_table(verdict: Verdict) -> Any:
    from rich.table import Table

    checks = Table(title="claim", show_lines=False)
    for column in ("quantity", "measured", "95 % interval", "required"):
        checks.add_column(column, overflow="fold")
    for name in dict.fromkeys([*verdict.measured, *verdict.required]):
        interval = verdict.interval.get(name)
        span = f"\\[{_number(interval[0])}, {_number(interval[1])}]" if interval else ""
        required = str(verdict.required.get(name, ""))
        checks.add_row(name, _number(verdict.measured.get(name)), span, required)
    return checks


def save_figure(draw: Any, path: Path, dpi: int = 110) -> None:
    """Call `draw(figure)` on a new matplotlib figure without a display and write it as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    draw(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png")


def _terminal() -> bool:
    import sys

    return sys.stdout.isatty()


def _cell(values: Any) -> str:
    if values is None:
        return ""
    summary = summarise(values)
    if summary["mean"] is None:
        return "never"
    low, high = summary["interval"]
    missing = sum(not np.isfinite(v) for v in summary["values"])
    note = f" ({missing} never)" if missing else ""
    return f"{_number(summary['mean'])} \\[{_number(low)}, {_number(high)}]{note}"


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(_number(item) for item in value)
    number = float(value)
    if not np.isfinite(number):
        return "never"
    if number == int(number) and abs(number) < 1e6:
        return str(int(number))
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"


def override(config: Any, **changes: Any) -> Any:
    """`dataclasses.replace` that ignores None values."""
    return dataclasses.replace(config, **{k: v for k, v in changes.items() if v is not None})
