"""Parts of a study side by side in processes of their own.

One XLA thread per process is the rule on small CPU machines, so a second core is used by a second
process. Each starts fresh (no fork of a process that runs jax).
"""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from jaxrl_envs.physics import THREADS_VARIABLE

from jaxrl_rewards.train.compilation import usable_cores

_PROGRESS: Any = None


def run_jobs(
    work: Callable[..., Any],
    jobs: Sequence[tuple],
    processes: int,
    report: Callable[[str, float], None],
) -> list[Any]:
    """`work(*job, report)` for each job, in at most `processes` processes; results in order.

    `work` and its results must be picklable. With one process the jobs run here, one by one. The
    CPUs that this process may use are shared out to the physics threads of the workers.
    """
    shares = [0.0] * len(jobs)

    def show(index: int, text: str, fraction: float) -> None:
        shares[index] = fraction
        report(text, sum(shares) / len(jobs))

    if processes <= 1 or len(jobs) == 1:
        return [
            work(*job, lambda text, fraction, index=index: show(index, text, fraction))
            for index, job in enumerate(jobs)
        ]
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    threads = max(1, usable_cores() // processes)
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start, initargs=(messages, threads)
    ) as pool:
        futures = [pool.submit(_run_one, work, index, job) for index, job in enumerate(jobs)]
        while not all(future.done() for future in futures):
            try:
                show(*messages.get(timeout=0.5))
            except queue.Empty:
                continue
        return [future.result() for future in futures]


def _start(messages: Any, threads: int) -> None:
    global _PROGRESS
    _PROGRESS = messages
    os.environ.setdefault(THREADS_VARIABLE, str(threads))


def _run_one(work: Callable[..., Any], index: int, job: tuple) -> Any:
    return work(*job, lambda text, fraction: _PROGRESS.put((index, text, fraction)))
