"""Completions/s of the text rewards on the host, one call per completion.

    python -m benchmarks.throughput.bench_text_rewards [--math-verify PYTHON] [--out FILE]

GUI-G²'s reward stands beside the array functions called for each answer, which was the way until
now; comparing answers stands beside math-verify, where `--math-verify` names an interpreter that
has it. The other rewards have no peer. One process, sides in turn; values are checked first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from jaxrl_rewards.rewards import spatial, text
from jaxrl_rewards.rewards.text import compare

PAIRS = report.ROOT / "tests" / "hosts" / "answer_pairs.json"
ARRAYS = "array functions, one answer per call"
NOTES = (
    "Ratios above 1 are better than the peer. Ours reads every answer anew: the memory of gold "
    "answers is switched off for the comparison with math-verify.",
)
MATH_VERIFY = """
import json, logging, sys, time
logging.disable(50)
from math_verify import parse, verify
boxed = "\\\\boxed{%s}"
pairs = [(boxed % p["gold"], boxed % p["answer"]) for p in json.load(open(sys.argv[1]))]
rates = []
for _ in range(int(sys.argv[2]) + 1):
    start = time.perf_counter()
    for gold, answer in pairs:
        verify(parse(gold), parse(answer))
    rates.append(len(pairs) / (time.perf_counter() - start))
print(json.dumps(rates[1:]))
"""


def rates(run: Callable[[], Any], repetitions: int, seconds: float, count: int = 1) -> list[float]:
    """Completions per second, `repetitions` times; `count` completions per call."""
    run()
    start = time.perf_counter()
    run()
    calls = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))
    found = []
    for _ in range(repetitions):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        found.append(count * calls / (time.perf_counter() - start))
    return found


def by_arrays(answer: str, box: Sequence[float]) -> float:
    """GUI-G²'s reward of one answer by the functions for arrays."""
    pred, gt = np.float32(text.parse_box(answer)), np.float32(box)
    point = spatial.gaussian_point_reward(pred, gt)
    return float(point) + float(spatial.gaussian_coverage_reward_safe(pred, gt))


def gui_row(options: Any) -> dict[str, Any]:
    """GUI-G²'s reward of one answer."""
    reward, answer, row = text.GuiG2Reward(), "[104,202,144,222]", {"bbox": [100, 200, 140, 220]}
    np.testing.assert_allclose(reward(answer, row).total, by_arrays(answer, row["bbox"]), rtol=1e-6)
    ours, peer = [], []
    for _ in range(options.repetitions):
        ours += rates(lambda: reward(answer, row), 1, options.seconds)
        peer += rates(lambda: by_arrays(answer, row["bbox"]), 1, options.seconds)
    return _row("GUI-G2 reward of one answer", ours, peer, ARRAYS, required=134.0)


def other_rows(options: Any) -> list[dict[str, Any]]:
    """The other rewards on a completion of about 1,200 characters."""
    thoughts = "We add the numbers and carry one to the next place. " * 22
    completion = f"<think>{thoughts}</think>\n<answer>so \\boxed{{\\frac{{3}}{{4}}}}</answer>"
    row = {"answer": "0.75", "completion_ids": list(range(300)), "bbox": [0, 0, 2, 2]}
    rewards = [
        (text.AnswerReward(), "right or wrong, LaTeX"),
        (text.NumberReward(), "the last number"),
        (text.TagsReward(), "tags"),
        (text.OverlongReward(), "over-long"),
        (text.CosineLengthReward(), "cosine over the length, with the answer"),
        (text.RepetitionReward(), "repeated words"),
        (text.RepetitionReward(unit="tokens"), "repeated tokens, 300 of them"),
    ]
    return [
        _row(
            f"{what}, completion of {len(completion)} characters",
            rates(
                lambda reward=reward: reward(completion, row), options.repetitions, options.seconds
            ),
            [],
            "none",
        )
        for reward, what in rewards
    ]


def answer_row(options: Any) -> dict[str, Any]:
    """Comparing two answers, each read anew, over the written pairs."""
    pairs = json.loads(PAIRS.read_text(encoding="utf-8"))
    memory, compare._value = compare._value, compare.read_value

    def run() -> None:
        for pair in pairs:
            text.same_answer(pair["answer"], pair["gold"])

    ours = rates(run, options.repetitions, options.seconds, len(pairs))
    compare._value = memory
    peer: list[float] = []
    if options.math_verify:
        command = [options.math_verify, "-c", MATH_VERIFY, str(PAIRS), str(options.repetitions)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
        peer = json.loads(done.stdout)
    return _row(f"two answers compared, {len(pairs)} pairs", ours, peer, "math-verify")


def _row(what: str, ours: list[float], peer: list[float], name: str, **extra: Any) -> dict:
    microseconds = round(1e6 / float(np.median(ours)), 2)
    return report.timed_row(
        what,
        ours,
        peer,
        name if peer else "none",
        "completions/s",
        microseconds_each=microseconds,
        **extra,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=9, help="per side, at least 5 to quote")
    parser.add_argument("--seconds", type=float, default=0.3, help="per repetition and side")
    parser.add_argument("--math-verify", help="a Python interpreter that has math-verify")
    parser.add_argument("--out", type=Path, help="file to write; by default beside the results")
    options = parser.parse_args(arguments)
    start, loads = time.perf_counter(), [report.load()]
    rows = [gui_row(options), answer_row(options), *other_rows(options)]
    loads.append(report.load())
    report.print_rows(rows)
    for row in rows:
        print(f"{row['microseconds_each']:10.1f} us  {row['what']}")
    path = report.write_benchmark(
        options.out or report.results_folder() / "bench-text-rewards.json",
        "text_rewards",
        rows,
        command="python -m benchmarks.throughput.bench_text_rewards --math-verify PYTHON",
        seconds=time.perf_counter() - start,
        load=loads,
        settings={"dtype": "float64", "repetitions": options.repetitions},
        notes=NOTES,
    )
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
