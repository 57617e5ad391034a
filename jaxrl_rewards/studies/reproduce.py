"""Run a study: progress, a table of arms with intervals, a JSON file and pictures."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core.files import atomic_path, atomic_write_json, jsonable
from jaxrl_rewards.studies.api import Study, StudyResult, Verdict, bootstrap_interval
from jaxrl_rewards.studies.provenance import provenance


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
    it is printed and saved like a success.
    """
    config = study.config if config is None else config
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    result = _with_progress(study, config, quiet)
    seconds = time.perf_counter() - start
    verdict = study.claim(result, config)
    record = study_record(study, config, result, verdict)
    record |= provenance(command or f"jaxrl-rewards reproduce {study.slug}", seconds)
    paths = {f"study-{study.slug}.json": folder / f"study-{study.slug}.json"}
    atomic_write_json(paths[f"study-{study.slug}.json"], record)
    drawings = {f"{study.slug}.png": lambda figure: draw_curves(figure, result, study.title)}
    drawings |= result.figures
    for name, draw in drawings.items():
        if name == f"{study.slug}.png" and not result.curves:
            continue
        paths[name] = folder / name
        save_figure(draw, paths[name])
    for name, write in result.files.items():
        paths[name] = folder / name
        with atomic_path(paths[name]) as temporary:
            write(temporary)
    if not quiet:
        print_report(study, result, verdict, paths, seconds)
    return verdict, paths


def study_record(
    study: Study, config: Any, result: StudyResult, verdict: Verdict
) -> dict[str, Any]:
    """The JSON content of `study-<slug>.json`, without provenance."""
    arms = {
        arm: {metric: summarise(values) for metric, values in metrics.items()}
        for arm, metrics in result.arms.items()
    }
    return {
        "slug": study.slug,
        "title": study.title,
        "paper": study.paper,
        "claim": list(study.claims),
        "passed": bool(verdict.passed),
        "measured": jsonable(verdict.measured),
        "required": verdict.required,
        "interval": jsonable(verdict.interval),
        "notes": list(verdict.notes),
        "seeds": verdict.seeds,
        "arms": arms,
        "budget": jsonable(result.budget),
        "config": jsonable(config),
    }


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
    from rich.table import Table

    console = Console(width=None if _terminal() else 130)
    metrics = list(dict.fromkeys(name for arm in result.arms.values() for name in arm))
    table = Table(title=f"{study.title}: mean [95 % interval] over {verdict.seeds} seeds")
    table.add_column("arm")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for arm, values in result.arms.items():
        table.add_row(arm, *(_cell(values.get(metric)) for metric in metrics))
    console.print(table)
    checks = Table(title="claim", show_lines=False)
    for column in ("quantity", "measured", "95 % interval", "required"):
        checks.add_column(column, overflow="fold")
    for name in dict.fromkeys([*verdict.measured, *verdict.required]):
        interval = verdict.interval.get(name)
        checks.add_row(
            name,
            _number(verdict.measured.get(name)),
            f"[{_number(interval[0])}, {_number(interval[1])}]".replace("[", "\\[", 1)
            if interval
            else "",
            str(verdict.required.get(name, "")),
        )
    console.print(checks)
    for note in verdict.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    word = (
        "[green]the claim holds[/green]" if verdict.passed else "[red]the claim does NOT hold[/red]"
    )
    console.print(f"{study.slug}: {word} ({seconds:.0f} s)")
    for name, path in paths.items():
        console.print(f"  {name}: {path}", highlight=False, soft_wrap=True)


def draw_curves(figure: Any, result: StudyResult, title: str) -> None:
    """One panel per curve metric: mean and 95 % bootstrap band over seeds of every arm.

    Panels of the same arms share the legend of the last one.
    """
    metrics = list(result.curves)
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    figure.set_size_inches(5.2 * len(metrics), 4.0)
    for axis, metric in zip(axes, metrics, strict=True):
        curves = dict(result.curves[metric])
        x = curves.pop("x", None)
        label = curves.pop("xlabel", "update")
        for arm, values in curves.items():
            data = np.asarray(values, np.float64)
            mean = data.mean(axis=0)
            drawn = np.random.default_rng(0).integers(len(data), size=(400, len(data)))
            low, high = np.percentile(data[drawn].mean(axis=1), [2.5, 97.5], axis=0)
            points = np.arange(data.shape[1]) if x is None else np.asarray(x)
            axis.plot(points, mean, label=arm)
            axis.fill_between(points, low, high, alpha=0.2)
        axis.set_xlabel(label)
        axis.set_ylabel(metric)
        axis.grid(alpha=0.3)
    arms = [set(result.curves[metric]) - {"x", "xlabel"} for metric in metrics]
    for axis, shown in zip(axes, arms, strict=True):
        if shown != arms[-1] or axis is axes[-1]:
            axis.legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()


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
