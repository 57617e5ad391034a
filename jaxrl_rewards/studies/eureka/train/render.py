"""Rollouts of trained candidates as text, for a person to compare."""

from __future__ import annotations

import jax
import numpy as np

from jaxrl_rewards.reward_design.programs.reward import ProgramReward
from jaxrl_rewards.reward_design.programs.slots import Slots
from jaxrl_rewards.reward_design.programs.tape import Tape
from jaxrl_rewards.studies.eureka.train.tasks import Task


def keydoor_rollout(task: Task, program: Tape | Slots, key: jax.Array) -> str:
    """Train with a program and draw one episode: the path through the rooms, letter by letter.

    `S` is the start, `K` a key, `D` a door, `>` the stairs, digits and letters the time of the
    last visit (0 early, z late), dots cells never entered; a summary line follows.
    """
    trainer = task.trainer
    env, learner = trainer.env, trainer.learner
    program = jax.tree.map(jax.numpy.asarray, program)
    reward = ProgramReward(program=program, measure=trainer.measure, success=trainer.success)
    hparams = learner.hparams
    params = hparams.env_params.replace(reward=reward)
    hparams = hparams.replace(env_params=params)

    @jax.jit
    def play(key):
        key_train, key_reset, key_act = jax.random.split(key, 3)
        state, _ = jax.lax.scan(
            lambda state, _: (learner.update(state, hparams)[0], None),
            learner.init(key_train, hparams),
            None,
            length=trainer.updates,
        )
        start = env.reset(key_reset, params)

        def step(carry, key):
            world, timestep, done = carry
            action, _ = learner.act(state, timestep.obs, None, key, deterministic=False)
            world, nxt = env.step(key, world, action, params)
            out = (world.cell, world.keys, nxt.info["success"], done)
            return (world, nxt, done | nxt.done), out

        keys = jax.random.split(key_act, env.spec.max_steps)
        _, seen = jax.lax.scan(step, (*start, np.zeros((), bool)), keys)
        return start[0].cell, seen

    first, (cells, keys, success, done) = jax.device_get(play(key))
    live = ~done
    summary = (
        f"{int(live.sum())} steps, {int(keys[live][-1]).bit_count()} keys, "
        f"{'reached the stairs' if success[live].any() else 'did not reach the stairs'}"
    )
    return draw_rooms(env.map, int(first), cells[live].tolist()) + "\n" + summary


def draw_rooms(plan: object, first: int, cells: list[int]) -> str:
    """The rooms side by side with the visits of an episode."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    marks = {int(cell): "K" for cell in plan.key_cells} | {plan.stairs: ">"}
    for time, cell in enumerate(cells):
        marks[cell] = digits[time * len(digits) // max(len(cells), 1)]
    marks[first] = "S"
    lines = []
    for row in range(plan.size):
        parts = [
            " ".join(marks.get(plan.cell(room, row, column), ".") for column in range(plan.size))
            for room in range(plan.rooms)
        ]
        lines.append((" D " if row == 0 else " | ").join(parts))
    return "\n".join(lines)
