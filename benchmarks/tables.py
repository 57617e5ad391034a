"""The tables of README and documentation, generated from the result files.

    python -m benchmarks.tables            # rewrite README.md and the pages that hold tables
    python -m benchmarks.tables --check    # exit code 1 when a table is out of date

A table stands between `<!-- table:NAME -->` and `<!-- /table:NAME -->`; names are `overview`,
`studies`, `study SLUG`, `claims SLUG`, `notes SLUG`, `searches`, `pointing`, `reference`,
`returns`, `environments` and `benchmarks [NAME ...]`. The files are `study-*.json`,
`gui-pointing*.json`, `parity-*.json` and `bench-*.json` in the folders of `benchmarks/results/`,
one per machine.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_text

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "pages"
MARKER = re.compile(r"<!-- (/?)table:([\w-]+(?: [\w-]+)*) -->")
Record = dict[str, Any]
RETURNS = "reference-returns"


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite or check the files; 1 when one is stale, 2 when a file cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 when out of date")
    parser.add_argument("--files", type=Path, nargs="+", help="files with tables (default: all)")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    stale = 0
    try:
        for path in options.files or documents():
            if not path.is_file():
                raise InputError(f"{path} does not exist; name existing files with --files")
            before = path.read_text(encoding="utf-8")
            after, changed = fill(before, options.results)
            stale += bool(changed)
            if changed and not options.check:
                atomic_write_text(path, after)
            print(f"{path.name}: {_told(changed, options.check)}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if stale and options.check else 0


def documents() -> list[Path]:
    """README and every page that holds a table."""
    pages = [path for path in sorted(PAGES.rglob("*.md")) if MARKER.search(path.read_text("utf-8"))]
    return [ROOT / "README.md", *pages]


def _told(changed: Sequence[str], check: bool) -> str:
    if not changed:
        return "up to date"
    names = ", ".join(changed)
    return f"out of date: {names}; run make tables" if check else f"rewrote {names}"


def fill(text: str, results: Path) -> tuple[str, list[str]]:
    """`text` with every marked table made anew, and the names of those that changed.

    InputError for an unknown name, a marker without its partner, and a broken result file.
    """
    changed, parts, place, opened = [], [], 0, None
    for mark in MARKER.finditer(text):
        closing, name = mark.group(1) == "/", mark.group(2)
        kind, _, argument = name.partition(" ")
        if kind not in TABLES:
            raise InputError(f"no table is called {kind!r}; choose among {', '.join(TABLES)}")
        if closing != (opened is not None) or (closing and opened != name):
            raise InputError(f"the marker {mark.group(0)} has no partner; markers come in pairs")
        if not closing:
            parts.append(text[place : mark.end()])
            place, opened = mark.end(), name
            continue
        body = f"\n{TABLES[kind](results, *argument.split()).strip()}\n"
        if body != text[place : mark.start()]:
            changed.append(name)
        parts.append(body)
        place, opened = mark.start(), None
    if opened is not None:
        raise InputError(f"the marker <!-- table:{opened} --> is never closed")
    return "".join([*parts, text[place:]]), changed


def read_results(results: Path, pattern: str) -> list[tuple[str, Record]]:
    """`(machine, record)` of all files that match, sorted by machine and name."""
    found = []
    for path in sorted(results.glob(f"*/{pattern}")) if results.is_dir() else []:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is not readable JSON ({error}); measure it again") from error
        if not isinstance(record, dict):
            raise InputError(f"{path} holds no JSON object; measure it again")
        record["_file"] = path.name
        found.append((path.parent.name, record))
    return found


# ---------------------------------------------------------------- the tables


def overview(results: Path) -> str:
    """One row per study: title, whether its claim held on both random keys, seeds, minutes."""
    records = read_results(results, "study-*.json")
    if not records:
        return _missing("jaxrl-rewards reproduce STUDY")
    rows = []
    for machine, record in records:
        slug, seconds = record.get("slug", record["_file"]), record.get("seconds")
        second = record.get("second_key")
        rows.append(
            [
                f"[`{slug}`](docs/pages/studies/{slug}.md)",
                record.get("title", ""),
                _holds(record),
                "" if second is None else _holds(second),
                number(record.get("seeds")),
                "" if seconds is None else f"{max(seconds / 60, 0.1):.1f}",
                f"{machine}, {record.get('date', '')}",
            ]
        )
    titles = ["study", "what is compared", "claim holds", "on a second random key", "seeds"]
    return table([*titles, "minutes", "machine, date"], rows, "llllrrl")


def studies(results: Path) -> str:
    """Every study's table under its name."""
    records = read_results(results, "study-*.json")
    if not records:
        return _missing("jaxrl-rewards reproduce STUDY")
    blocks = []
    for machine, record in records:
        slug = record.get("slug", record["_file"])
        blocks.append(f"## {slug}\n\n{_study(machine, record)}")
    return "\n\n".join(blocks)


def study(results: Path, slug: str) -> str:
    """One study's measured quantities, its verdict and its notes."""
    records = read_results(results, f"study-{slug}.json")
    if not records:
        return _missing(f"jaxrl-rewards reproduce {slug}")
    return "\n\n".join(_study(machine, record) for machine, record in records)


def claims(results: Path, slug: str) -> str:
    """What a study compares, its paper, what it claims, and the command that runs it."""
    from jaxrl_rewards.studies import get

    records = read_results(results, f"study-{slug}.json")
    found = get(slug)
    listed = "\n".join(f"{place}. {text}" for place, text in enumerate(found.claims, 1))
    time = _minutes(records[0][1].get("seconds")) if records else "some time"
    return (
        f"**{found.title}.** {found.paper}\n\n{listed}\n\n"
        "<!-- test: skip because it is a whole study -->\n"
        f"```sh\njaxrl-rewards reproduce {slug} --out runs/{slug}\n```\n\n"
        f"It takes {time} on two cores; `--quick` is a first look."
    )


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "some time"
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def notes(results: Path, slug: str) -> str:
    """What a study's run reports beside its claim."""
    records = read_results(results, f"study-{slug}.json")
    if not records:
        return _missing(f"jaxrl-rewards reproduce {slug}")
    return "\n".join(f"- {note}" for note in records[0][1].get("notes", [])) or "Nothing."


def _study(machine: str, record: Record) -> str:
    """Per quantity that decides: measured, interval, required, and what a second key gave."""
    measured, required = record.get("measured") or {}, record.get("required") or {}
    intervals, second = record.get("interval") or {}, record.get("second_key") or {}
    names = [name for name in measured if name in required] or list(measured)
    names += [name for name in required if name not in measured]
    rows = []
    for name in names:
        cells = [
            name.replace("_", " "),
            number(measured.get(name)),
            span(intervals.get(name)),
            str(required.get(name, "")),
        ]
        if second:
            found = (second.get(part) or {} for part in ("measured", "interval"))
            value, around = (part.get(name) for part in found)
            cells.insert(3, f"{number(value)} {span(around)}".strip())
        rows.append(cells)
    titles = ["quantity", "measured", "95 % interval", "required"]
    if second:
        titles.insert(3, "on a second random key")
    verdict = f"The claim {_said(record)}"
    verdict += f"; on a second random key it {_said(second)}." if second else "."
    facts = [
        f"{number(record.get('seeds'))} seeds",
        f"{number(record.get('seconds'))} s",
        machine,
        record.get("date", ""),
        f"`{record.get('command', '')}`",
    ]
    body = table(titles, rows, "l" + "r" * (len(titles) - 1))
    return f"**{verdict}**\n\n{body}\n\n<sub>{'; '.join(facts)}</sub>"


def _said(record: Record) -> str:
    held = {"yes": "holds", "**no**": "does not hold"}
    found = _holds(record)
    return held.get(found, f"cannot be judged: {found}")


def _holds(record: Record) -> str:
    if record.get("verdict", "").startswith("too few"):
        return record["verdict"]
    return "yes" if record.get("passed") else "**no**"


def searches(results: Path) -> str:
    """Per task, each reward's success rate in new trainings and its standard deviation.

    From the arms `TASK: REWARD` of `study-eureka.json`.
    """
    records = read_results(results, "study-eureka.json")
    if not records:
        return _missing("jaxrl-rewards reproduce eureka")
    blocks = []
    for machine, record in records:
        arms = {name.partition(": ")[::2]: arm for name, arm in (record.get("arms") or {}).items()}
        tasks = list(dict.fromkeys(task for task, _ in arms))
        rows = []
        for reward in dict.fromkeys(name for _, name in arms):
            cells = [reward]
            for task in tasks:
                arm = arms.get((task, reward)) or {}
                success, noise = arm.get("success") or {}, arm.get("seed_noise") or {}
                share = f"{number(success.get('mean'))} {span(success.get('interval'))}".strip()
                deviation = number(noise.get("mean"))
                cells.append(f"{share}, {deviation}" if deviation else share)
            rows.append(cells)
        titles = ["reward", *(f"{task}: success rate, standard deviation" for task in tasks)]
        note = f"{machine}, {record.get('date', '')}; {number(record.get('seeds'))} searches each"
        blocks.append(f"{table(titles, rows, 'l' + 'r' * len(tasks))}\n\n<sub>{note}</sub>")
    return "\n\n".join(blocks)


def pointing(results: Path) -> str:
    """Click accuracy of readers and controls, from `gui-pointing*.json`.

    A file holds `rows` as a benchmark does, several seeds long (with `interval_over_families` per
    seed, or `gaussian_minus_binary`), or what `jaxrl-rewards evaluate gui` measures (`overall`,
    `unseen`); and in both cases `controls`.
    """
    records = read_results(results, "gui-pointing*.json")
    if not records:
        return _missing("jaxrl-rewards evaluate gui --data FOLDER")
    blocks = []
    for machine, record in records:
        seconds = record.get("seconds")
        note = f"`{record['_file'].removesuffix('.json')}` ({machine}, {record.get('date', '')}"
        note += f", {number(seconds)} s)" if seconds is not None else ")"
        rows = [_pointing_row(row) for row in record.get("rows") or []]
        if "overall" in record:
            for name, label in (("overall", "all instructions"), ("unseen", "unseen in training")):
                part = record.get(name) or {}
                rows.append([f"trained, {label}", *_share(part), "", "", "", ""])
        for name, part in (record.get("controls") or {}).items():
            rows.append([f"control: {name}", *_share(part), "", "", "", ""])
            if part.get("unseen") is not None:
                rows.append([f"control: {name}, unseen", number(part["unseen"]), *[""] * 5])
        titles = [
            "",
            "measured",
            "95 % interval",
            "compared with",
            "its figure",
            "difference",
            "required",
        ]
        blocks.append(f"{note}\n\n{table(titles, rows, 'lrrlrrr')}")
    return "\n\n".join(blocks)


def _pointing_row(row: Record) -> list[str]:
    """The interval is the widest over seeds of those over page families."""
    pairs = row.get("interval_over_families") or []
    widest = [min(low for low, _ in pairs), max(high for _, high in pairs)] if pairs else None
    required = row.get("required")
    return [
        row.get("what", "").replace("_", " "),
        f"{number(row.get('ours'))} {row.get('unit', '')}".strip().removesuffix(" share"),
        span(widest),
        row.get("peer_name") or "",
        number(row.get("peer")),
        span(row.get("gaussian_minus_binary")),
        "" if required is None else number(required),
    ]


def reference(results: Path) -> str:
    """Reference vectors that hold and the largest errors, from `parity-*.json`."""
    records = read_results(results, "parity-*.json")
    if not records:
        return _missing("python -m tests.reference.report --out FILE")
    rows = []
    for machine, record in records:
        for entry in record.get("rows", []):
            error = entry.get("max_error")
            rows.append(
                [
                    f"`{entry.get('system', '')}`",
                    f"{entry.get('passed', '?')} of {entry.get('cases', '?')}",
                    "" if error is None else f"{error:.1e}",
                    number(record.get("required")),
                    f"{machine}, {record.get('date', '')}",
                ]
            )
    titles = ["reference values of", "agree", "largest error", "allowed", "machine, date"]
    return table(titles, rows, "lrrrl")


def returns(results: Path) -> str:
    """Per environment with a preset: the trained policies' return beside the reference."""
    records = read_results(results, f"bench-{RETURNS}.json")
    if not records:
        return _missing("python -m benchmarks.learning.reference_returns")
    blocks = []
    for machine, record in records:
        rows = []
        for entry in record.get("rows", []):
            ours, wanted = entry.get("ours"), entry.get("required")
            known = ours is not None and wanted is not None
            rows.append(
                [
                    f"`{entry.get('what', '')}`",
                    number(ours),
                    number(entry.get("worst_seed")),
                    number(wanted),
                    ("yes" if ours >= wanted else "**no**") if known else "",
                    number(entry.get("steps")),
                    number(entry.get("seeds")),
                    number(entry.get("seconds")),
                    entry.get("source", ""),
                ]
            )
        titles = (
            "environment|return|worst seed|reference|reached|steps|seeds|seconds|reference from"
        )
        blocks.append(
            f"{table(titles.split('|'), rows, 'lrrrlrrrl')}\n\n{_source(machine, record)}"
        )
    return "\n\n".join(blocks)


def benchmarks(results: Path, *only: str) -> str:
    """Benchmarks' rows (of those named), with their commands, versions and what else ran."""
    records = [
        (machine, record)
        for machine, record in read_results(results, "bench-*.json")
        if (record.get("name") in only if only else record.get("name") != RETURNS)
    ]
    if not records:
        return _missing("make bench")
    blocks = []
    for machine, record in records:
        rows = []
        for entry in record.get("rows", []):
            best = entry.get("ratio_best")
            ratio = "" if entry.get("ratio") is None else f"{number(entry['ratio'])}"
            ratio += f" (best {number(best)})" if best is not None else ""
            required = entry.get("required")
            rows.append(
                [
                    entry.get("what", ""),
                    f"{number(entry.get('ours'))} {entry.get('unit', '')}".strip(),
                    "" if entry.get("peer_name") == "none" else entry.get("peer_name", ""),
                    number(entry.get("peer")),
                    ratio,
                    "" if required is None else number(required),
                ]
            )
        titles = ["what", "measured", "compared with", "its figure", "ratio", "required"]
        blocks.append(f"{table(titles, rows, 'lrlrrr')}\n\n{_source(machine, record)}")
    return "\n\n".join(blocks)


def _source(machine: str, record: Record) -> str:
    hardware, versions = record.get("hardware") or {}, record.get("versions") or {}
    shown = [name for name in ("python", "jax", "rejax", "brax", "numpy") if name in versions]
    parts = [
        f"`{record.get('command', '')}`",
        f"{machine} ({hardware.get('device', 'unknown')})",
        ", ".join(f"{name} {versions[name]}" for name in shown),
        record.get("date", ""),
    ]
    text = "; ".join(part for part in parts if part)
    loads, cores = record.get("load") or [], hardware.get("cores") or 0
    if loads and cores and max(loads[1:] or loads) > cores:
        text += f"; **other programs ran** (load up to {max(loads):g} on {cores} cores)"
    return f"<sub>{text}</sub>"


def environments(results: Path) -> str:
    """The registered environments; see `benchmarks.environments`."""
    from benchmarks import environments as page

    return page.environments(results)


TABLES: dict[str, Callable[..., str]] = {
    "environments": environments,
    "overview": overview,
    "studies": studies,
    "study": study,
    "claims": claims,
    "notes": notes,
    "searches": searches,
    "pointing": pointing,
    "reference": reference,
    "returns": returns,
    "benchmarks": benchmarks,
}


# ---------------------------------------------------------------- text


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A Markdown table; `align` holds `l` or `r` per column."""
    marks = {"l": "---", "r": "---:"}
    align = align or "l" * len(titles)
    lines = [_line(titles), _line(marks[letter] for letter in align)]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def number(value: Any) -> str:
    """A number with three significant digits, thousands apart; other values as text."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ", ".join(map(number, value)) if isinstance(value, (list, tuple)) else str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def span(interval: Any) -> str:
    """`[low, high]`, or nothing."""
    if not isinstance(interval, (list, tuple)) or len(interval) != 2:
        return ""
    return f"[{number(interval[0])}, {number(interval[1])}]"


def _share(part: Record) -> list[str]:
    accuracy = part.get("accuracy")
    return ["" if accuracy is None else f"{accuracy:.3f}", span(part.get("interval"))]


def _line(cells: Iterable[Any]) -> str:
    texts = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(texts)} |"


def _missing(command: str) -> str:
    return f"*Not measured yet: `{command}`.*"


if __name__ == "__main__":
    sys.exit(main())
