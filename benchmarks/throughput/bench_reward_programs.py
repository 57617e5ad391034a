"""Candidate rewards trained per minute: under one vmap, one after the other, compiled one by one.

    python -m benchmarks.throughput.bench_reward_design --sections programs

The world is the key-door one, the learner PPO with a table. Compiling and running are timed apart;
sides run in turn on one XLA thread without a compilation cache. Sides that share a training give
the same fitness, which is checked first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import report
from jaxrl_rewards.core import record, static_field
from jaxrl_rewards.reward_design.eureka.offline import RandomProposer
from jaxrl_rewards.reward_design.programs.direct import evaluate_program
from jaxrl_rewards.reward_design.programs.expression import Program
from jaxrl_rewards.reward_design.programs.parser import parse_program
from jaxrl_rewards.reward_design.programs.reward import ProgramReward
from jaxrl_rewards.reward_design.programs.slots import compile_slots, run_slots, slots_of
from jaxrl_rewards.reward_design.programs.tape import compile_tape, run_tape
from jaxrl_rewards.rewards.base import RewardOutput
from jaxrl_rewards.studies.eureka.study import EurekaConfig
from jaxrl_rewards.studies.eureka.train.tasks import EXPERT, at_stairs, keydoor_task

SIZES = {
    "32 environments x 64 steps x 10 updates": ({}, 64, None),
    "2 environments x 16 steps x 10 updates": ({"envs": 2, "steps": 16, "episodes": 2}, 64, 10.0),
    "1 environment x 16 steps x 10 updates": ({"envs": 1, "steps": 16, "episodes": 1}, 256, 10.0),
}
"""Sizes of a training, how many at once, and how often faster than one after the other is asked."""


def rows(options: Any) -> list[dict[str, Any]]:
    """The rows of training, then those of evaluating programs."""
    quick, found = options.quick, []
    for name, (sizes, width, required) in list(SIZES.items())[: 1 if quick else None]:
        width = 8 if quick else width
        found += training_rows(name, sizes, width, options.repetitions, required)
    states = 256 if quick else 2048
    return found + evaluation_rows(8 if quick else 64, states, options.repetitions)


UNIT = "candidates/min"


def training_rows(
    name: str, sizes: dict[str, int], width: int, repetitions: int, required: float | None
) -> list[dict[str, Any]]:
    """Candidates per minute at one size of training."""
    quantities = keydoor_task(EurekaConfig(width=1, **sizes)).quantities
    programs = random_programs(quantities, width)
    slots = stack([compile_slots(slots_of(p), quantities) for p in programs])
    tapes = stack([compile_tape(p, quantities) for p in programs])
    keys = jax.random.split(jax.random.key(0), width)
    vmapped, single, tape = "slots, one vmap", "one after the other, one compile", "tape, one vmap"
    lanes = {vmapped: (width, slots), single: (1, slots), tape: (width, tapes)}
    made = {side: _compiled(sizes, *what, keys) for side, what in lanes.items()}
    sides = {side: run for side, (run, _) in made.items()}
    seconds = {side: round(spent, 1) for side, (_, spent) in made.items()}
    compiled = {side: spent for side, (_, spent) in made.items()}
    fitness = {side: run() for side, run in sides.items()}
    if not np.array_equal(fitness[vmapped], fitness[single]):
        raise SystemExit("the sides train different policies; nothing was timed")
    rates = _rates_in_turn(sides, width, repetitions)
    again = recompile_seconds(sizes, programs[: 2 if repetitions > 1 else 1], keys)
    what = f"reward programs trained, {name}, {width} at once"
    return [
        report.timed_row(
            what,
            rates[vmapped],
            rates[single],
            single,
            UNIT,
            required=required,
            compile_seconds=seconds[vmapped],
            peer_compile_seconds=seconds[single],
        ),
        report.timed_row(
            what,
            rates[vmapped],
            [60.0 / second for second in again],
            "one after the other, each compiled",
            UNIT,
            required=10.0,
            compile_seconds=seconds[vmapped],
        ),
        report.timed_row(
            f"{what}, compiling included, a search of 80 x 4",
            [60.0 * 320 / (compiled[vmapped] + 320 * 60.0 / rate) for rate in rates[vmapped]],
            [60.0 * 320 / (compiled[single] + 320 * 60.0 / rate) for rate in rates[single]],
            single,
            UNIT,
        ),
        report.timed_row(
            f"{what}: tape against slots",
            rates[tape],
            rates[vmapped],
            vmapped,
            UNIT,
            compile_seconds=seconds[tape],
        ),
    ]


def _compiled(
    sizes: dict[str, int], lanes: int, population: Any, keys: Any
) -> tuple[Callable[[], np.ndarray], float]:
    """A training of the population, `lanes` candidates at a time, and seconds to compile it."""
    trainer = keydoor_task(EurekaConfig(width=lanes, **sizes)).trainer
    start = time.perf_counter()
    trainer.train(jax.tree.map(lambda x: x[:lanes], population), keys[:lanes])
    return lambda: trainer.train(population, keys).fitness, time.perf_counter() - start


def _rates_in_turn(
    sides: dict[str, Callable[[], Any]], width: int, repetitions: int
) -> dict[str, list[float]]:
    """Candidates per minute of every side, the sides taking turns."""
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repetitions):
        for side, run in sides.items():
            start = time.perf_counter()
            run()
            rates[side].append(60.0 * width / (time.perf_counter() - start))
    return rates


@record
class CompiledReward(ProgramReward):
    """A program that is part of the compiled code, as it is where rewards are source code."""

    source: Program = static_field()

    def evaluate(self, prev: Any, action: Any, nxt: Any) -> RewardOutput:
        """Score one step."""
        out = super().evaluate(prev, action, nxt)
        total, _ = evaluate_program(self.source, nxt.quantities)
        return out.replace(total=total)


def recompile_seconds(sizes: dict[str, int], programs: list[Program], keys: Any) -> list[float]:
    """Seconds per candidate where every program is compiled into its own training."""
    found = []
    for number, program in enumerate(programs):
        task = keydoor_task(EurekaConfig(width=1, **sizes))
        trainer, learner = task.trainer, task.trainer.learner
        empty = jax.tree.map(jnp.asarray, compile_slots((), task.quantities))
        reward = CompiledReward(
            program=empty,
            measure=trainer.measure,
            success=at_stairs,
            source=program,
        )
        params = learner.hparams.env_params.replace(reward=reward)
        hparams = learner.hparams.replace(env_params=params)

        @jax.jit
        def train(key, learner=learner, hparams=hparams, updates=trainer.updates):
            step = lambda state, _: (learner.update(state, hparams)[0], None)  # noqa: E731
            return jax.lax.scan(step, learner.init(key, hparams), None, length=updates)[0].params

        start = time.perf_counter()
        jax.block_until_ready(train(keys[number]))
        found.append(time.perf_counter() - start)
    return found


def evaluation_rows(width: int, states: int, repetitions: int) -> list[dict[str, Any]]:
    """Rewards per second of both forms, programs x states."""
    quantities = keydoor_task(EurekaConfig(width=1)).quantities
    programs = random_programs(quantities, width)
    values = jax.random.normal(jax.random.key(1), (states, len(quantities), 1), dtype=jnp.float32)
    sides = {}
    for side, run, population in (
        ("slots", run_slots, [compile_slots(slots_of(p), quantities) for p in programs]),
        ("tape", run_tape, [compile_tape(p, quantities) for p in programs]),
    ):
        function = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))
        sides[side] = (function, jax.tree.map(jnp.asarray, stack(population)))
    totals = {side: np.asarray(f(p, values)).sum(-1) for side, (f, p) in sides.items()}
    np.testing.assert_allclose(totals["slots"], totals["tape"], rtol=1e-4, atol=1e-4)
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repetitions):
        for side, (function, population) in sides.items():
            start = time.perf_counter()
            jax.block_until_ready(function(population, values))
            rates[side].append(width * states / (time.perf_counter() - start))
    what = f"rewards of {width} programs x {states} states: tape against slots"
    return [report.timed_row(what, rates["tape"], rates["slots"], "slots", "rewards/s")]


def random_programs(quantities: Any, count: int) -> list[Program]:
    """The expert reward and random ones."""
    proposer = RandomProposer(0)
    texts = [EXPERT, *(proposer.fresh(quantities).text for _ in range(count - 1))]
    return [parse_program(text, quantities) for text in texts]


def stack(population: list[Any]) -> Any:
    """Programs as one population."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *population)
