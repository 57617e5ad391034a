"""A small roguelike: explore a random dungeon, fetch keys, fight, collect gold, find the stairs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.control.common import finish_step, float_scalar, start_time, step_limit
from jaxrl_envs.control.keydoor_map import MOVES
from jaxrl_envs.roguelike import messages as say
from jaxrl_envs.roguelike.dungeon import (
    DOOR,
    GOLD,
    KEY,
    NOTHING,
    OPEN_DOOR,
    STAIRS,
    WALL,
    DungeonPlan,
    generate,
)
from jaxrl_rewards.core import (
    Box,
    DictSpace,
    Discrete,
    EnvSpec,
    InputError,
    TimeStep,
    first_timestep,
    record,
)
from jaxrl_rewards.rewards.base import Reward, reward_term

WAIT = 4
HIT_POINTS = 10
_PLANES = 8


@record
class RoguelikeParams:
    """Numbers of the task."""

    hit_probability: Float[Array, ""]
    """Chance that the agent's blow lands, in [0, 1]."""
    bite_probability: Float[Array, ""]
    """Chance that a monster beside the agent bites in a step, in [0, 1]."""
    chase_probability: Float[Array, ""]
    """Chance that a monster moves towards the agent instead of at random, in [0, 1]."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class RoguelikeState:
    """The dungeon, the agent, and what the last step did."""

    tiles: Int[Array, "H W"]
    items: Int[Array, "H W"]
    place: Int[Array, "2"]
    monsters: Int[Array, "M 2"]
    strength: Int[Array, "M"]
    """Blows that each monster can still take; 0 for a dead one."""
    hit_points: Int[Array, ""]
    keys: Int[Array, ""]
    """Keys in hand; each opens one door."""
    gold: Int[Array, ""]
    kills: Int[Array, ""]
    at_stairs: Bool[Array, ""]
    message: Int[Array, ""]
    counts: Int[Array, "V"]
    """How often each message occurred in this episode, now included."""
    time: Int[Array, ""]


def stairs(prev: RoguelikeState, action: Array, nxt: RoguelikeState) -> Float[Array, ""]:
    """1 on reaching the stairs."""
    return nxt.at_stairs.astype(jnp.float32)


def gold(prev: RoguelikeState, action: Array, nxt: RoguelikeState) -> Float[Array, ""]:
    """1 per piece of gold picked up."""
    return (nxt.gold - prev.gold).astype(jnp.float32)


def kill(prev: RoguelikeState, action: Array, nxt: RoguelikeState) -> Float[Array, ""]:
    """1 per monster killed."""
    return (nxt.kills - prev.kills).astype(jnp.float32)


def hurt(prev: RoguelikeState, action: Array, nxt: RoguelikeState) -> Float[Array, ""]:
    """Hit points lost in the step."""
    return (prev.hit_points - nxt.hit_points).astype(jnp.float32)


class Roguelike:
    """Find the stairs of a random dungeon whose rooms are locked one from the next.

    - Observation: dict of `view` float32 `[side, side, 8]`, the cells around the agent with planes
      for walls, locked doors, open doors, stairs, keys, gold, monsters, and the floor's limits;
      `status` float32 `[4]`, hit points / 10, keys, gold, time / max_steps; `message` int32, the
      id of what the last step said (`env.texts`).
    - Action: 0 up, 1 right, 2 down, 3 left (into a monster: attack), 4 wait; others are clipped.
    - Reward terms: `stairs` (weight 1), `gold`, `kill`, `hurt` (weight 0: logged).
    - Monsters walk towards the agent or at random, and bite when beside it. 10 hit points.
    - `TimeStep.info`: `message`, `success` (the stairs were reached).
    - Termination: the stairs, or no hit points left. Truncation: after 300 steps.
    - Source: our own, in the manner of the classic games of the kind.
    """

    texts = say.TEXTS

    def __init__(
        self,
        down: int = 2,
        across: int = 3,
        *,
        monsters: int = 4,
        gold: int = 5,
        radius: int = 3,
        max_steps: int = 300,
    ):
        if down < 1 or across < 1 or not 2 <= down * across <= 16:
            raise InputError(f"a dungeon has 2 to 16 rooms, got {down} x {across}")
        rooms = down * across
        # the smallest room has 9 cells: start, key, stairs and what is spread over the rooms
        if not 1 <= monsters <= 3 * (rooms - 1) or not 0 <= gold <= 3 * rooms:
            raise InputError(
                f"{rooms} rooms hold 1 to {3 * (rooms - 1)} monsters and up to {3 * rooms} pieces "
                f"of gold, got {monsters} and {gold}"
            )
        if radius < 1:
            raise InputError(f"radius must be at least 1, got {radius}")
        self.plan = DungeonPlan(down=down, across=across, monsters=monsters, gold=gold)
        self.radius, self._max_steps = radius, max_steps
        side = 2 * radius + 1
        self.spec = EnvSpec(
            name="roguelike",
            observation_space=DictSpace.of(
                view=Box(0.0, 1.0, (side, side, _PLANES)),
                status=Box(0.0, np.inf, (4,)),
                message=Discrete(len(say.TEXTS)),
            ),
            action_space=Discrete(5),
            max_steps=max_steps,
            term_names=("stairs", "gold", "kill", "hurt"),
        )
        self._kinds = np.arange(monsters) % len(say.MONSTERS)

    def default_params(self) -> RoguelikeParams:
        """Reward for the stairs; gold, kills and hurts are logged."""
        terms = [reward_term(fn) for fn in (stairs, gold, kill, hurt)]
        weights = (1.0, 0.0, 0.0, 0.0)
        return RoguelikeParams(
            hit_probability=float_scalar(0.75),
            bite_probability=float_scalar(0.3),
            chase_probability=float_scalar(0.5),
            max_steps=step_limit(self._max_steps),
            reward=sum((w * t for w, t in zip(weights[1:], terms[1:])), weights[0] * terms[0]),
        )

    def reset(self, key: jax.Array, params: RoguelikeParams) -> tuple[RoguelikeState, TimeStep]:
        """A fresh dungeon."""
        dungeon = generate(key, self.plan)
        zero = jnp.zeros((), jnp.int32)
        state = RoguelikeState(
            tiles=dungeon.tiles,
            items=dungeon.items,
            place=dungeon.start,
            monsters=dungeon.monsters,
            strength=jnp.asarray(self._kinds + 1, jnp.int32),
            hit_points=jnp.asarray(HIT_POINTS, jnp.int32),
            keys=zero,
            gold=zero,
            kills=zero,
            at_stairs=jnp.zeros((), bool),
            message=zero,
            counts=jnp.zeros((len(say.TEXTS),), jnp.int32),
            time=start_time(),
        )
        obs = self.observe(state, params)
        return state, first_timestep(obs, params.reward.names, self._info(state))

    def step(
        self,
        key: jax.Array,
        state: RoguelikeState,
        action: Int[Array, ""],
        params: RoguelikeParams,
    ) -> tuple[RoguelikeState, TimeStep]:
        """The agent acts, then the monsters."""
        action = jnp.clip(action, 0, WAIT).astype(jnp.int32)
        unit = jax.random.uniform(key, (1 + 3 * self.plan.monsters,), dtype=jnp.float32)
        acted, message = self._act(state, action, unit[0], params)
        nxt, bitten = self._monsters(acted, unit[1:].reshape(3, -1), params)
        message = jnp.where(bitten > 0, bitten, message)
        dead = nxt.hit_points <= 0
        message = jnp.where(dead, say.DEATH, message)
        message = jnp.where(nxt.at_stairs, say.STAIRS, message).astype(jnp.int32)
        said = (message > 0).astype(jnp.int32)
        nxt = nxt.replace(
            message=message, counts=state.counts.at[message].add(said), time=state.time + 1
        )
        ended = nxt.at_stairs | dead
        timestep = finish_step(state, action, nxt, self.observe(nxt, params), ended, params)
        return nxt, timestep.replace(info=self._info(nxt))

    def observe(self, state: RoguelikeState, params: RoguelikeParams) -> dict[str, Array]:
        """The observation of a state."""
        alive = state.strength > 0
        creature = jnp.zeros(self.plan.shape, bool)
        creature = creature.at[state.monsters[:, 0], state.monsters[:, 1]].max(alive)
        # all planes in the bits of one integer: one window is cut instead of eight
        code = (1 << state.tiles) | (jnp.asarray([0, 32, 64])[state.items])
        code = (code | (creature.astype(jnp.int32) << 7)).astype(jnp.int32)
        padded = jnp.pad(code, self.radius, constant_values=(1 << WALL) | 256)
        side = 2 * self.radius + 1
        window = jax.lax.dynamic_slice(padded, (state.place[0], state.place[1]), (side, side))
        bits = np.asarray([WALL, DOOR, OPEN_DOOR, STAIRS, 5, 6, 7, 8], np.int32)
        numbers = (
            state.hit_points / HIT_POINTS,
            state.keys,
            state.gold,
            state.time / params.max_steps,
        )
        return {
            "view": ((window[..., None] >> bits) & 1).astype(jnp.float32),
            "status": jnp.stack([jnp.asarray(n, jnp.float32) for n in numbers]),
            "message": state.message,
        }

    def _act(
        self, state: RoguelikeState, action: Array, unit: Array, params: RoguelikeParams
    ) -> tuple[RoguelikeState, Array]:
        """What the agent does: `(state, message)`."""
        move = jnp.asarray((*MOVES, (0, 0)), jnp.int32)[action]
        moving = action != WAIT
        limit = np.asarray(self.plan.shape, np.int32) - 1
        target = jnp.clip(state.place + move, 0, limit)
        row, column = target
        tile, item = state.tiles[row, column], state.items[row, column]
        here = jnp.all(state.monsters == target, axis=1) & (state.strength > 0)
        fighting = moving & jnp.any(here)
        foe = jnp.argmax(here)
        landed = fighting & (unit < params.hit_probability)
        strength = state.strength.at[foe].add(-landed.astype(jnp.int32))
        killed = landed & (strength[foe] == 0)
        kind = jnp.asarray(self._kinds, jnp.int32)[foe]

        free = moving & ~fighting
        wall = free & (tile == WALL)
        unlocking = free & (tile == DOOR) & (state.keys > 0)
        locked = free & (tile == DOOR) & (state.keys == 0)
        walking = free & (tile != WALL) & (tile != DOOR)
        found_key, found_gold = walking & (item == KEY), walking & (item == GOLD)
        nxt = state.replace(
            tiles=state.tiles.at[row, column].set(jnp.where(unlocking, OPEN_DOOR, tile)),
            items=state.items.at[row, column].set(jnp.where(walking, NOTHING, item)),
            place=jnp.where(walking, target, state.place),
            strength=strength,
            keys=state.keys + found_key.astype(jnp.int32) - unlocking.astype(jnp.int32),
            gold=state.gold + found_gold.astype(jnp.int32),
            kills=state.kills + killed.astype(jnp.int32),
            at_stairs=walking & (tile == STAIRS),
        )
        message = jnp.zeros((), jnp.int32)
        for condition, text in (
            (~moving, say.SILENCE),
            (fighting & ~landed, say.MISS + kind),
            (landed & ~killed, say.HIT + kind),
            (killed, say.KILL + kind),
            (wall, say.WALL),
            (locked, say.LOCKED),
            (unlocking, say.UNLOCK),
            (found_key, say.KEY),
            (found_gold, say.GOLD),
        ):
            message = jnp.where(condition, text, message)
        return nxt, message

    def _monsters(
        self, state: RoguelikeState, unit: Float[Array, "3 M"], params: RoguelikeParams
    ) -> tuple[RoguelikeState, Array]:
        """Living monsters bite or walk: `(state, message of a bite or 0)`."""
        alive = state.strength > 0
        gap = state.place - state.monsters
        distance = jnp.sum(jnp.abs(gap), axis=1)
        near = alive & (distance == 1) & ~state.at_stairs
        bites = near & (unit[0] < params.bite_probability)
        # towards the agent: along the longer axis
        along_rows = jnp.abs(gap[:, 0]) >= jnp.abs(gap[:, 1])
        axis = jnp.stack([along_rows, ~along_rows], axis=1)
        chase = jnp.where(axis, jnp.sign(gap), 0)
        wander = jnp.asarray(MOVES, jnp.int32)[(unit[1] * 4).astype(jnp.int32)]
        chasing = (unit[2] < params.chase_probability) & (distance <= self.plan.block)
        target = state.monsters + jnp.where(chasing[:, None], chase, wander)
        limit = np.asarray(self.plan.shape, np.int32) - 1
        target = jnp.clip(target, 0, limit)
        tile = state.tiles[target[:, 0], target[:, 1]]
        blocked = (tile == WALL) | (tile == DOOR) | jnp.all(target == state.place, axis=1)
        # nobody steps where another monster stands or wants to stand
        same_goal = jnp.all(target[:, None] == target[None], axis=-1)
        stands = jnp.all(target[:, None] == state.monsters[None], axis=-1)
        others = ~np.eye(self.plan.monsters, dtype=bool) & alive[None]
        blocked |= jnp.any((same_goal | stands) & others, axis=1)
        moves = alive & ~near & ~blocked
        first = jnp.argmax(bites)
        kind = jnp.asarray(self._kinds, jnp.int32)[first]
        message = jnp.where(jnp.any(bites), say.BITE + kind, 0)
        return state.replace(
            monsters=jnp.where(moves[:, None], target, state.monsters).astype(jnp.int32),
            hit_points=state.hit_points - jnp.sum(bites, dtype=jnp.int32),
        ), message

    def _info(self, state: RoguelikeState) -> dict[str, Any]:
        return {"message": state.message, "success": state.at_stairs}
