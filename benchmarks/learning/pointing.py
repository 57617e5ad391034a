"""Pointing at text on held-out pages: the choice among candidates against fuzzy matching.

    python -m benchmarks.learning.pointing SET [SET ...] --large SET4K [...] --cache DIR

A SET is a ScreenSpot folder of one page family that `python -m jaxrl_envs.gui.collect` wrote, from
pages that no training saw. Everybody gets the same reading (RapidOCR, the extra `ocr`, kept in
DIR). Peers, nothing learnt: the line most like the text (difflib's ratio) and its middle, and the
most like part of a line (as in partial ratios) and that part's middle. Measured: exact texts, five
patterns of sentences, made-up texts and texts of other pages ("not found"), native 4K. Intervals
of differences: bootstrap over pages. A "not found" to what is there is a miss.
"""

from __future__ import annotations

import argparse
import difflib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxrl_envs.gui.asking import SENTENCES, nonsense, sentence
from jaxrl_envs.gui.read_text import ReadingCache, rapid_engine
from jaxrl_envs.gui.screen_text import ScreenText
from jaxrl_envs.gui.screenspot import load_screenspot
from jaxrl_envs.gui.text_match import codes_of, find, letters, pack

from benchmarks import report
from jaxrl_rewards.studies.gui_g2.train.choice_predict import TextPointer
from jaxrl_rewards.studies.gui_g2.train.metrics import inside

REQUIRED = {
    "exact text, pooled": 0.93, "exact text, mean over pages": 0.92, "sentences": 0.90,
    "native 4K, exact text": 0.90, "not found on nonsense": 0.90,
}  # fmt: skip


PEERS = {
    "line": "RapidOCR + most similar line, its middle",
    "part": "RapidOCR + most similar part of a line, its middle",
}
NOTES = (
    "text only: elements that show no text (icons) are left out",
    "English only: instructions in other scripts are read by nobody here and count as misses",
    "page families of the sets were not in the training of the shipped choice",
)


def line_match(text: str, read: ScreenText) -> tuple[float, float]:
    """The middle of the line most like a text."""
    wanted = text.casefold()
    best, where = -1.0, (0.0, 0.0)
    for line in read.lines:
        ratio = difflib.SequenceMatcher(None, line.text.casefold(), wanted).ratio()
        if ratio > best:
            best, where = ratio, _middle(line.box)
    return where


def part_match(text: str, read: ScreenText) -> tuple[float, float]:
    """The middle of the most like part of a line, as long as the text, or the line if shorter.

    As usual for partial ratios, parts begin where a block of equal letters would put the text.
    """
    wanted = text.casefold()
    best, where = -1.0, (0.0, 0.0)
    for line in read.lines:
        low = line.text.casefold()
        low = low if len(low) == len(line.text) else line.text
        blocks = difflib.SequenceMatcher(None, low, wanted, autojunk=False).get_matching_blocks()
        last = max(0, len(low) - len(wanted))
        for start in {min(max(block.a - block.b, 0), last) for block in blocks}:
            part = low[start : start + len(wanted)]
            matcher = difflib.SequenceMatcher(None, part, wanted, autojunk=False)
            ratio = matcher.ratio() if matcher.quick_ratio() > best else -1.0
            if ratio > best:
                best, where = ratio, _middle(line.part(start, start + len(part)).box)
    return where


def _middle(box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def measure_set(folder: Path, pointer: TextPointer, read, others: Sequence[str]) -> list[dict]:
    """One dict per instruction: page, kind of instruction, and who was right."""
    shots = load_screenspot(folder)
    generator = np.random.default_rng(len(str(folder.name)))
    rows = []
    for records in shots.by_image().values():
        records = [r for r in records if str(r.extra.get("text_source", "text")) == "text"]
        if not records:
            continue
        image = shots.image(records[0])
        text = read(image)
        page = f"{folder.name}/{records[0].image_name}"
        asked = [(r.instruction, "exact", r.box) for r in records]
        for index, record in enumerate(records):
            pattern = SENTENCES[index % len(SENTENCES)]
            element = str(record.extra.get("element", ""))
            asked.append((sentence(pattern, record.instruction, element), "sentence", record.box))
        asked += [(nonsense(generator), "nonsense", None) for _ in range(10)]
        asked += [(name, "elsewhere", None) for name in _absent(others, text, records, generator)]
        answers = pointer.answer(image, [item[0] for item in asked])
        for (instruction, kind, box), answer in zip(asked, answers, strict=True):
            row = {"page": page, "family": folder.name, "kind": kind, "asked": instruction}
            row["found"] = answer.found
            if box is not None:
                row["ours"] = answer.found and inside(answer.point, box)
                row["guess"] = inside(answer.point, box)
                row["reachable"] = answer.box is not None
            if kind == "exact":
                row["line"] = inside(line_match(instruction, text), box)
                row["part"] = inside(part_match(instruction, text), box)
            rows.append(row)
    return rows


def _absent(others: Sequence[str], text: ScreenText, records, generator) -> list[str]:
    """Up to ten texts of other pages that, by edit distance, are not on this one."""
    shown = [letters(line.text)[0] for line in text.lines]
    shown += [letters(record.instruction)[0] for record in records]
    packed = pack([codes_of(plain) for plain in shown if plain])
    found = []
    for index in generator.permutation(len(others))[:200]:
        plain = letters(others[index])[0]
        if len(plain) >= 4 and not find(codes_of(plain), packed, worst=0.34):
            found.append(others[index])
        if len(found) == 10:
            break
    return found


def page_shares(rows: list[dict], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Hits and counts of each page, in one order for all keys."""
    pages = sorted({row["page"] for row in rows})
    place = {page: i for i, page in enumerate(pages)}
    index = np.array([place[row["page"]] for row in rows])
    hits = np.bincount(index, weights=[float(row[key]) for row in rows], minlength=len(pages))
    return hits, np.bincount(index, minlength=len(pages)).astype(float)


def interval(rows: list[dict], key: str, other: str | None = None) -> list[float]:
    """95 % of a share, or of the difference of two, over pages drawn again."""
    hits, counts = page_shares(rows, key)
    if other is not None:
        hits = hits - page_shares(rows, other)[0]
    picks = np.random.default_rng(0).integers(len(counts), size=(4000, len(counts)))
    low, high = np.quantile(hits[picks].sum(1) / counts[picks].sum(1), [0.025, 0.975])
    return [float(low), float(high)]


def share(rows: list[dict], key: str) -> float:
    """Pooled share."""
    return float(np.mean([row[key] for row in rows])) if rows else float("nan")


def page_share(rows: list[dict], key: str) -> float:
    """Mean over pages."""
    hits, counts = page_shares(rows, key)
    return float(np.mean(hits / counts))


def table(rows: list[dict], large: list[dict]) -> list[dict]:
    """The rows of the result file."""
    exact = [row for row in rows if row["kind"] == "exact"]
    peer = max(PEERS, key=lambda name: share(exact, name))
    found = []

    def add(what: str, ours: float, other: float | None = None, named: str = "", **more) -> None:
        name = "none" if other is None else PEERS[named or peer]
        found.append(
            report.row(what, ours, other, name, "share", required=REQUIRED.get(what), **more)
        )

    def part(what: str, rows: list[dict]) -> None:
        add(what, share(rows, "ours"), share(rows, peer), interval=interval(rows, "ours"),
            difference=interval(rows, "ours", peer), instructions=len(rows),
            pages=len({row["page"] for row in rows}))  # fmt: skip

    part("exact text, pooled", exact)
    for name in set(PEERS) - {peer}:
        add("exact text, pooled", share(exact, "ours"), share(exact, name), name,
            difference=interval(exact, "ours", name))  # fmt: skip
    add("exact text, mean over pages", page_share(exact, "ours"), page_share(exact, peer))
    for family in sorted({row["family"] for row in exact}):
        part(f"exact text, {family}", [row for row in exact if row["family"] == family])
    add("exact text, best guess", share(exact, "guess"), share(exact, peer))
    said = [row for row in rows if row["kind"] == "sentence"]
    add("sentences", share(said, "ours"), interval=interval(said, "ours"), instructions=len(said))
    add("false alarms", 1 - share(exact, "found"))
    for kind, what in (("nonsense", "not found on nonsense"), ("elsewhere", "not found elsewhere")):
        asked = [row for row in rows if row["kind"] == kind]
        add(what, 1 - share(asked, "found"), instructions=len(asked))
    if large:
        part("native 4K, exact text", [row for row in large if row["kind"] == "exact"])
        said = [row for row in large if row["kind"] == "sentence"]
        add("native 4K, sentences", share(said, "ours"), instructions=len(said))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--large", nargs="*", type=Path, default=[])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--choice", type=Path, help="checkpoint (default: the shipped one)")
    parser.add_argument("--out", type=Path, help="file of the result")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    begun = time.perf_counter()
    read = ReadingCache(options.cache, rapid_engine(options.threads)).read
    pointer = TextPointer.load(options.choice, read)
    names = {
        folder: [r.instruction for r in load_screenspot(folder).records] for folder in options.sets
    }

    def rows_of(folders: list[Path]) -> list[dict]:
        rows = []
        for folder in folders:
            others = [t for other, texts in names.items() if other.name != folder.name
                      for t in texts]  # fmt: skip
            rows += measure_set(folder, pointer, read, others)
        return rows

    rows, large = rows_of(options.sets), rows_of(options.large)
    result = table(rows, large)
    report.print_rows(result)
    for row in result:
        if "difference" in row:
            print(f"{row['what']}: difference {row['difference']}")
    for row in rows + large:
        if "ours" in row and not row["ours"]:
            print("miss:", row["kind"], row["page"], repr(row["asked"][:60]), row["found"])
    sets = {"sets": [f.name for f in options.sets], "large": [f.name for f in options.large]}
    report.write_benchmark(
        options.out or report.results_folder() / "gui-pages.json",
        "gui-pages",
        result,
        command="python -m benchmarks.learning.pointing SETS --large SETS --cache DIR",
        seconds=time.perf_counter() - begun,
        load=[report.load()],
        settings=sets,
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
