"""What annotation costs the learner: updates beside a slow annotator against updates alone.

    python -m benchmarks.throughput.bench_oni [--repetitions 15]

The learner is that of the study of annotated messages, one seed, in the world with numbered texts,
so that the annotator has work throughout. "With" hands in messages and picks up labels in every
update, while the compiled program runs, and two threads ask an annotator that takes a while per
call and is at times unreadable; "without" runs the same program on the same labels. Blocks of
updates alternate in one process, and which comes first alternates too.
The table is the hard case: its update takes milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["PJRT_NPROC"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
if __package__ in (None, ""):
    _root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_root), str(_root / "envs")]

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import report
from jaxrl_rewards.learners import seed_axes
from jaxrl_rewards.studies.oni.arms import POLICIES, Arm, OniConfig
from jaxrl_rewards.studies.oni.training import make_world
from jaxrl_rewards.train.annotation import (
    AnnotationService,
    AnnotationSettings,
    LabelTable,
    ScriptedAnnotator,
)

REQUIRED = 0.98
"""Share of the throughput that must remain."""
LATENCY, GARBAGE, BATCH = 0.2, 0.1, 4
NOTES = (
    f"The annotator takes {LATENCY} s per call of {BATCH} texts, {GARBAGE:.0%} of its answers "
    "cannot be read, and two threads ask it. The ratio of the row is that of the medians; "
    "`ratio_paired` is the median of the ratios of neighbouring blocks.",
)


def measure(policy: str, repetitions: int, seconds: float) -> dict[str, Any]:
    """Alternate blocks of about `seconds`; the row, with labels per second as extra."""
    learning = _Learning(policy)
    learning.without(3)
    rate = learning.without(5)
    learning.beside(3, 0)
    updates = max(2, round(seconds * rate / learning.steps))
    ours, peer, labelled = [], [], []
    for repetition in range(repetitions):
        for side in ("with", "without") if repetition % 2 else ("without", "with"):
            if side == "without":
                peer.append(learning.without(updates))
            else:
                rate, share = learning.beside(updates, repetition)
                ours.append(rate)
                labelled.append(share)
    return report.timed_row(
        f"learning beside a slow annotator, {policy} policy",
        ours,
        peer,
        "without annotation",
        "steps/s",
        required=REQUIRED,
        ratio_paired=round(statistics.median(a / b for a, b in zip(ours, peer, strict=True)), 4),
        labels_per_second=round(statistics.median(labelled), 2),
        updates_per_block=updates,
        traces=learning.program._cache_size(),
    )


class _Learning:
    """A learner that goes on, block by block, with an annotator beside it or without."""

    def __init__(self, policy: str):
        config = OniConfig(seeds=1)
        world = make_world(config, rooms=4, numbered=True, policy=policy)
        self.table, self.learner = world.env.table, world.learner
        self.hparams = world.hparams(Arm(policy=policy))
        self.steps = config.num_envs * config.unroll_length
        self.helpful = dict(zip(self.table.texts, self.table.helpful, strict=True))
        start = jax.vmap(self.learner.init, (0, None), out_axes=seed_axes())
        self.state = jax.jit(start)(jax.random.split(jax.random.key(0), 1), self.hparams)
        update = jax.vmap(self.learner.update, (seed_axes(), None), out_axes=(seed_axes(), 0))
        self.program = jax.jit(update, donate_argnums=0)
        size = self.table.size
        self.alone = (jnp.zeros((1, size), jnp.float32), jnp.zeros((1, size), bool))

    def step(self, given: tuple[Any, Any]) -> None:
        """One update with these labels."""
        # copies: the program takes the state's buffers over
        given = tuple(jnp.array(array) for array in given)
        self.state = self.program(self.learner.receive(self.state, given), self.hparams)[0]

    def without(self, updates: int) -> float:
        """Steps per second without labels."""
        start = time.perf_counter()
        for _ in range(updates):
            self.step(self.alone)
            jax.block_until_ready(self.state.summary)
        return updates * self.steps / (time.perf_counter() - start)

    def beside(self, updates: int, seed: int) -> tuple[float, float]:
        """Steps and labels per second beside an annotator."""
        annotator = ScriptedAnnotator(self.helpful, garbage=GARBAGE, latency=LATENCY, seed=seed)
        with AnnotationService(annotator, AnnotationSettings(batch_size=BATCH)) as service:
            labels, arrays = LabelTable(self.table.texts, service), self.alone
            start = time.perf_counter()
            heard = np.zeros((self.table.size,), np.int32)
            for _ in range(updates):
                self.step(arrays)
                # while the program runs: the host's work on what the update before has heard
                exchanged = labels.exchange(heard)
                arrays = tuple(array[None] for array in exchanged)
                heard = np.array(self.state.summary)[0]
            passed = time.perf_counter() - start
            if not service.health()["pending"]:
                raise RuntimeError("the annotator ran out of work; shorten the blocks")
        return updates * self.steps / passed, float(labels.known.sum()) / passed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=15, help="at least 5 to quote")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a block")
    parser.add_argument("--out", type=Path, help="file to write; by default beside the results")
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else list(arguments)
    start, before = time.perf_counter(), report.load()
    rows = [measure(policy, options.repetitions, options.seconds) for policy in POLICIES]
    report.print_rows(rows)
    path = report.write_benchmark(
        options.out or report.results_folder() / "bench-oni.json",
        "oni",
        rows,
        command=report.command_line("benchmarks.throughput.bench_oni", given),
        seconds=time.perf_counter() - start,
        load=[before, report.load()],
        settings={"xla_threads": 1, "latency": LATENCY, "garbage": GARBAGE, "batch_size": BATCH},
        notes=NOTES,
    )
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
