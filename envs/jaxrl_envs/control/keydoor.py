"""Rooms in a row with keys, locked doors and stairs, with or without text messages."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.control.common import finish_step, float_scalar, start_time, step_limit
from jaxrl_envs.control.keydoor_map import RoomMap
from jaxrl_envs.control.keydoor_messages import FLAVOURS, MessageTable
from jaxrl_rewards.core import (
    Box,
    Discrete,
    EnvSpec,
    InputError,
    Record,
    TimeStep,
    first_timestep,
    record,
)
from jaxrl_rewards.core.quantities import Quantity
from jaxrl_rewards.rewards.base import Reward, reward_term

OBSERVATIONS = ("features", "one_hot", "state")
SEARCH = 4


@record
class KeyDoorParams(Record):
    """Numbers of the task."""

    gold_probability: Float[Array, ""]
    """Chance that a search finds gold, in [0, 1]."""
    flavour_probability: Float[Array, ""]
    """Chance of a meaningless message in a step that has no other, in [0, 1]."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class KeyDoorState(Record):
    """Where the agent is, what it has, and what the last step did."""

    cell: Int[Array, ""]
    keys: Int[Array, ""]
    """Bit set of the keys held; bit i is the key of room i."""
    doors: Int[Array, ""]
    """Bit set of the doors opened so far."""
    at_stairs: Bool[Array, ""]
    quantities: dict[str, Float[Array, ""]]
    """The world's named quantities after the last step; see `KeyDoor.quantities`."""
    message: Int[Array, ""]
    """Id of the last step's message; 0 for none."""
    counts: Int[Array, "V"]
    """How often each id occurred in this episode, now included; `V = 0` without messages."""
    time: Int[Array, ""]


def stairs(prev: KeyDoorState, action: Array, nxt: KeyDoorState) -> Float[Array, ""]:
    """1 on reaching the stairs, else 0."""
    return nxt.at_stairs.astype(jnp.float32)


QUANTITIES: dict[str, Quantity] = {
    "d_stairs": Quantity((), "moves", 10.0, -1, "Moves to the stairs if all doors were open."),
    "d_key": Quantity((), "moves", 3.0, -1, "Moves to this room's key; 0 once it is held."),
    "has_key": Quantity((), "flag", 1.0, 1, "1 if this room's key is held or none is needed."),
    "doors_open": Quantity((), "doors", 1.0, 1, "Number of doors opened in this episode."),
    "new_key": Quantity((), "flag", 1.0, 1, "1 in the step that picks up a key."),
    "new_door": Quantity((), "flag", 1.0, 1, "1 in the step that opens a door."),
    "bump": Quantity((), "flag", 1.0, -1, "1 if the move ran into a wall or a locked door."),
    "progress": Quantity((), "moves", 1.0, 1, "Moves by which the stairs came nearer."),
    "searching": Quantity((), "flag", 1.0, 0, "1 if the action was to search."),
    "gold": Quantity((), "flag", 1.0, 1, "1 if a search found gold."),
}
"""Named quantities of a step, all float32 scalars. Whether the stairs were reached is not one."""


class KeyDoor:
    """Fetch each room's key, open its door, reach the stairs of the last room.

    - Observation, by `observation`: "features" float32 `[cells + 2·(rooms - 1)]`, one-hot cell,
      then a flag per key and per opened door; "one_hot" float32 `[S]` over cell x key set;
      "state" the same as an int32 number in `[0, S)`, `S = cells · 2^(rooms - 1)`, for tables.
    - Action: 0 up, 1 right, 2 down, 3 left, 4 search; other integers are clipped.
    - Reward terms: `stairs`, 1 on reaching the stairs.
    - Quantities: `KeyDoor.quantities`; their values are in `state.quantities` and in
      `TimeStep.info["quantities"]`. `TimeStep.info["success"]` says whether the stairs were
      reached; it is no quantity, so that a reward program cannot copy it.
    - Messages (`messages=True`): `TimeStep.info["message"]` is the id of what the step says, 0
      for nothing; `env.table.texts` are the texts. A step speaks of the stairs, a key, a door, a
      lock, a wall or gold, and else, with a small chance, of nothing that matters. Searching
      finds gold again and again: a helpful message that leads nowhere.
    - Termination: the stairs. Truncation: after 100 steps.
    - `door_row` says how far the doors are from the keys, which lie in the lowest row: the nearer,
      the more often a random walk passes a door.
    - Source: our own, after the text games that Zheng et al. 2024 (arXiv 2410.23022) learn in.
    """

    quantities = QUANTITIES

    def __init__(
        self,
        rooms: int = 3,
        *,
        size: int = 4,
        door_row: int = 0,
        messages: bool = False,
        numbered: bool = False,
        observation: str = "features",
        max_steps: int = 100,
    ):
        if not 2 <= rooms <= 12:
            raise InputError(f"rooms must lie in 2 ... 12, got {rooms}")
        if size < 2:
            raise InputError(f"size must be at least 2 cells, got {size}")
        if not 0 <= door_row < size:
            raise InputError(f"door_row must lie in 0 ... {size - 1}, got {door_row}")
        if observation not in OBSERVATIONS:
            raise InputError(
                f"observation {observation!r} is unknown; choose one of {', '.join(OBSERVATIONS)}"
            )
        if numbered and not messages:
            raise InputError("numbered=True needs messages=True, for there is nothing to number")
        self.map = RoomMap(rooms, size, door_row)
        self.table = MessageTable(rooms, numbered) if messages else None
        self.num_states = self.map.num_cells * 2 ** (rooms - 1)
        self._observation, self._max_steps = observation, max_steps
        spaces = {
            "features": Box(0.0, 1.0, (self.map.num_cells + 2 * (rooms - 1),)),
            "one_hot": Box(0.0, 1.0, (self.num_states,)),
            "state": Discrete(self.num_states),
        }
        self.spec = EnvSpec(
            name="keydoor_text" if messages else "keydoor",
            observation_space=spaces[observation],
            action_space=Discrete(5),
            max_steps=max_steps,
            term_names=("stairs",),
        )

    def default_params(self) -> KeyDoorParams:
        """Gold in 30 % of searches, idle talk in 15 % of silent steps, reward for the stairs."""
        return KeyDoorParams(
            gold_probability=float_scalar(0.3),
            flavour_probability=float_scalar(0.15),
            max_steps=step_limit(self._max_steps),
            reward=1.0 * reward_term(stairs),
        )

    def reset(self, key: jax.Array, params: KeyDoorParams) -> tuple[KeyDoorState, TimeStep]:
        """A start drawn uniformly from the first room."""
        start = jax.random.choice(key, jnp.asarray(self.map.starts, jnp.int32))
        none, zero = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32)
        state = KeyDoorState(
            cell=start,
            keys=none,
            doors=none,
            at_stairs=jnp.zeros((), bool),
            quantities=self._place_quantities(start, none, none)
            | dict.fromkeys(("new_key", "new_door", "bump", "progress", "searching", "gold"), zero),
            message=none,
            counts=jnp.zeros((self.table.size if self.table else 0,), jnp.int32),
            time=start_time(),
        )
        return state, first_timestep(self.observe(state), params.reward.names, self._info(state))

    def step(
        self, key: jax.Array, state: KeyDoorState, action: Int[Array, ""], params: KeyDoorParams
    ) -> tuple[KeyDoorState, TimeStep]:
        """One move or search."""
        plan = self.map
        action = jnp.clip(action, 0, SEARCH).astype(jnp.int32)
        unit = jax.random.uniform(key, (4,), dtype=jnp.float32)
        searching = action == SEARCH
        move = jnp.minimum(action, 3)
        target = jnp.asarray(plan.target)[state.cell, move]
        door = jnp.asarray(plan.door)[state.cell, move]
        at_door = ~searching & (door >= 0)
        door_bit = jnp.where(at_door, 1 << jnp.maximum(door, 0), 0).astype(jnp.int32)
        locked = (door_bit & ~state.keys) != 0
        wall = ~searching & (target == state.cell)
        cell = jnp.where(searching | locked, state.cell, target)
        opened = ~locked & ((door_bit & ~state.doors) != 0)
        found_key = jnp.asarray(plan.key_bit)[cell] & ~state.keys
        gold = searching & (unit[0] < params.gold_probability)
        keys = state.keys | found_key
        doors = jnp.where(opened, state.doors | door_bit, state.doors)
        distance = jnp.asarray(plan.stairs_distance)
        flags = {
            "new_key": found_key != 0,
            "new_door": opened,
            "bump": wall | locked,
            "searching": searching,
            "gold": gold,
        }
        nxt = state.replace(
            cell=cell,
            keys=keys,
            doors=doors,
            at_stairs=cell == plan.stairs,
            quantities=self._place_quantities(cell, keys, doors)
            | {name: flag.astype(jnp.float32) for name, flag in flags.items()}
            | {"progress": distance[state.cell] - distance[cell]},
            time=state.time + 1,
        )
        if self.table is not None:
            message = self._message(nxt, door, wall, locked, unit, params)
            said = (message > 0).astype(jnp.int32)
            nxt = nxt.replace(message=message, counts=state.counts.at[message].add(said))
        timestep = finish_step(state, action, nxt, self.observe(nxt), nxt.at_stairs, params)
        return nxt, timestep.replace(info=self._info(nxt))

    def observe(self, state: KeyDoorState) -> Any:
        """The observation of a state."""
        doors = self.map.rooms - 1
        if self._observation == "features":
            bits = jnp.arange(doors, dtype=jnp.int32)
            return jnp.concatenate(
                [
                    jax.nn.one_hot(state.cell, self.map.num_cells, dtype=jnp.float32),
                    ((state.keys >> bits) & 1).astype(jnp.float32),
                    ((state.doors >> bits) & 1).astype(jnp.float32),
                ]
            )
        number = state.cell * 2**doors + state.keys
        if self._observation == "state":
            return number
        return jax.nn.one_hot(number, self.num_states, dtype=jnp.float32)

    def _place_quantities(
        self, cell: Int[Array, ""], keys: Int[Array, ""], doors: Int[Array, ""]
    ) -> dict[str, Float[Array, ""]]:
        plan = self.map
        room = cell // plan.size**2
        held = ((keys >> room) & 1 == 1) | (room == plan.rooms - 1)
        return {
            "d_stairs": jnp.asarray(plan.stairs_distance)[cell],
            "d_key": jnp.where(held, 0.0, jnp.asarray(plan.key_distance)[cell]),
            "has_key": held.astype(jnp.float32),
            "doors_open": jax.lax.population_count(doors).astype(jnp.float32),
        }

    def _message(
        self,
        nxt: KeyDoorState,
        door: Int[Array, ""],
        wall: Bool[Array, ""],
        locked: Bool[Array, ""],
        unit: Float[Array, "4"],
        params: KeyDoorParams,
    ) -> Int[Array, ""]:
        """Id of what the step says; `unit` are uniform numbers in [0, 1)."""
        table = self.table
        number = (unit[3] * table.per_event).astype(jnp.int32)
        room = nxt.cell // self.map.size**2
        flavour = table.first_flavour + (unit[2] * len(FLAVOURS)).astype(jnp.int32)
        said = nxt.quantities
        choices = (
            (nxt.at_stairs, table.stairs),
            (said["new_key"] > 0, table.first_key + room * table.per_event + number),
            (said["new_door"] > 0, table.first_door + door * table.per_event + number),
            (locked, table.locked),
            (wall, table.wall),
            (said["gold"] > 0, table.gold),
            (unit[1] < params.flavour_probability, flavour),
        )
        message = jnp.zeros((), jnp.int32)
        for condition, value in reversed(choices):
            message = jnp.where(condition, value, message).astype(jnp.int32)
        return message

    def _info(self, state: KeyDoorState) -> dict[str, Any]:
        info = {"quantities": state.quantities, "success": state.at_stairs}
        return info | ({"message": state.message} if self.table is not None else {})
