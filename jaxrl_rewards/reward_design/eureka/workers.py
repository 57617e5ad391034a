"""Candidates over several processes, one core each: what two cores are good for.

XLA runs one program's small kernels on one core whatever the number of threads, so a second core
is of use to a second process only.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design.eureka.trainer import CandidateTrainer, Runs


class CandidateWorkers:
    """`CandidateTrainer.train` over `processes` processes; the same results, in the same order.

    `build(*arguments)` makes the trainer in every process: a function that can be imported by its
    name, with arguments that can be pickled. Each process compiles for itself, all at once, so the
    compile takes as long as one where there is a core per process. Use it as a context: leaving
    it ends the processes. An error in a process is raised here as a RuntimeError.
    """

    def __init__(self, build: Callable[..., CandidateTrainer], *arguments: Any, processes: int = 2):
        if processes < 1:
            raise InputError(f"processes must be at least 1, got {processes}")
        context = multiprocessing.get_context("spawn")
        self._workers = []
        for _ in range(processes):
            here, there = context.Pipe()
            worker = context.Process(target=_serve, args=(there, build, arguments), daemon=True)
            worker.start()
            there.close()
            self._workers.append((worker, here))

    def __enter__(self) -> CandidateWorkers:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def train(
        self, programs: Any, keys: Array, *, success_weight: float | np.ndarray = 0.0
    ) -> Runs:
        """As `CandidateTrainer.train`: `programs` with a leading axis P, `keys` `[P]`, P >= 1."""
        count = keys.shape[0]
        if count < 1:
            raise InputError("there is no candidate to train: keys have shape [0]")
        weights = np.broadcast_to(np.asarray(success_weight, np.float32), (count,))
        programs, data = jax.device_get((programs, jax.random.key_data(keys)))
        shares = np.array_split(np.arange(count), min(len(self._workers), count))
        busy = list(zip(self._workers, shares, strict=False))
        for (_, pipe), share in busy:
            own = jax.tree.map(lambda leaf, share=share: np.asarray(leaf)[share], programs)
            pipe.send((own, data[share], weights[share]))
        parts = [_receive(pipe) for (_, pipe), _ in busy]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def close(self) -> None:
        """End the processes."""
        for worker, pipe in self._workers:
            pipe.close()
            worker.join(timeout=20)
            if worker.is_alive():
                worker.kill()
                worker.join()
        self._workers = []


def _receive(pipe: Connection) -> Runs:
    try:
        answer = pipe.recv()
    except EOFError as error:
        raise RuntimeError("a process that trains candidates ended; see its error above") from error
    if isinstance(answer, str):
        raise RuntimeError(f"training candidates failed in another process: {answer}")
    return answer


def _serve(pipe: Connection, build: Callable[..., CandidateTrainer], arguments: tuple) -> None:
    os.environ["PJRT_NPROC"] = "1"  # read when the first array is made; one core per process
    trainer = build(*arguments)
    while True:
        try:
            programs, data, weights = pipe.recv()
        except EOFError:
            return
        try:
            keys = jax.random.wrap_key_data(data)
            pipe.send(trainer.train(programs, keys, success_weight=weights))
        except Exception as error:  # noqa: BLE001 (told to the process that asked)
            pipe.send(f"{type(error).__name__}: {error}")
