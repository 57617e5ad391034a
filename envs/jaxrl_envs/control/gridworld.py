"""Grid worlds on static maps: walls, goals, pits, keys, doors and slippery cells."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_envs.control import gridworld_model
from jaxrl_envs.control.common import finish_step, float_scalar, start_time, step_limit
from jaxrl_envs.control.gridworld_records import GridWorldParams, GridWorldState
from jaxrl_envs.control.layouts import LAYOUTS, Layout, parse_layout
from jaxrl_rewards.core import Box, Discrete, EnvSpec, InputError, TimeStep, first_timestep
from jaxrl_rewards.rewards.base import RewardTerm, reward_term

OBSERVATIONS = ("index", "coordinates", "local")


def goal(prev: GridWorldState, action: Array, nxt: GridWorldState) -> Float[Array, ""]:
    """1 on entering a goal, else 0."""
    return nxt.at_goal.astype(jnp.float32)


def pit(prev: GridWorldState, action: Array, nxt: GridWorldState) -> Float[Array, ""]:
    """1 on entering a pit, else 0."""
    return nxt.fell.astype(jnp.float32)


def step(prev: GridWorldState, action: Array, nxt: GridWorldState) -> Float[Array, ""]:
    """1 for every step taken."""
    return jnp.ones((), jnp.float32)


def key(prev: GridWorldState, action: Array, nxt: GridWorldState) -> Float[Array, ""]:
    """1 on picking up a key, else 0."""
    return (nxt.keys != prev.keys).astype(jnp.float32)


def cell(
    prev: GridWorldState, action: Array, nxt: GridWorldState, table: Float[Array, "N"]
) -> Float[Array, ""]:
    """`table[entered]`: one number per cell of the map."""
    return table[nxt.entered]


def cell_reward(table: Float[Array, "N"]) -> RewardTerm:
    """A reward term with one free number per cell (row by row, `N = height * width`)."""
    return reward_term(cell, table=table)


class GridWorld:
    """Walk to the goal on a map.

    - Observation, by `observation`: "index" float32 one-hot `[S]` over all (free cell, key set)
      states; "coordinates" float32 `[2 + K]`, row and column in [0, 1] and a flag per key;
      "local" float32 `[(2·radius+1)²·4 + K]`, the window around the agent with planes for what
      blocks (walls, shut doors), goals, pits, keys still lying, and a flag per key.
    - Action: 0 up, 1 right, 2 down, 3 left; other integers are clipped.
    - Reward terms: `goal`, `pit`, `step`, `key`, `cell` (a table over cells); weights from the
      map. They must not read `time` if the tabular model is to be exact.
    - Termination: entering a goal, or a pit where the map says that pits end the episode.
      Truncation: the map's `max_steps`.
    - Source: our own; see `layouts` for where the ready maps come from. The slip rule is that of
      the frozen-lake family.

    `layout` is a name in `LAYOUTS`, a map as text, or a `Layout`. With `random_start` an episode
    starts on any plain cell instead of those marked S.
    """

    differentiable = True

    def __init__(
        self,
        layout: str | Layout = "four-rooms",
        *,
        observation: str = "index",
        random_start: bool = False,
        slip: float = 0.0,
        slip_on_ice: float = 2.0 / 3.0,
        radius: int = 2,
        max_steps: int | None = None,
    ):
        self.layout, label = _find_layout(layout)
        if observation not in OBSERVATIONS:
            raise InputError(
                f"observation {observation!r} is unknown; choose one of {OBSERVATIONS}"
            )
        for name, value in (("slip", slip), ("slip_on_ice", slip_on_ice)):
            if not 0.0 <= value <= 1.0:
                raise InputError(f"{name} must lie in [0, 1], got {value}")
        if radius < 1:
            raise InputError(f"radius must be at least 1, got {radius}")
        tables = self.layout.tables
        self.starts = tables.plain if random_start else tables.starts
        self.deterministic_reset = len(self.starts) == 1
        self.num_states = int(np.sum(~tables.wall)) * 2**tables.num_keys
        self._observation, self._radius = observation, radius
        self._slip, self._slip_on_ice = slip, slip_on_ice
        self._max_steps = self.layout.max_steps if max_steps is None else max_steps
        window = (2 * radius + 1) ** 2 * 4
        size = {"index": self.num_states, "coordinates": 2, "local": window}[observation]
        size += 0 if observation == "index" else tables.num_keys
        self.spec = EnvSpec(
            name=label,
            observation_space=Box(0.0, 1.0, (size,)),
            action_space=Discrete(4),
            max_steps=self._max_steps,
            term_names=("goal", "pit", "step", "key", "cell"),
        )

    def default_params(self) -> GridWorldParams:
        """The constructor's slip probabilities and the map's reward weights."""
        weights = dict(self.layout.weights)
        table = jnp.zeros((self.layout.height * self.layout.width,), jnp.float32)
        terms = (*(reward_term(fn) for fn in (goal, pit, step, key)), cell_reward(table))
        parts = [weights.get(t.name, 1.0 if t.name == "cell" else 0.0) * t for t in terms]
        return GridWorldParams(
            slip=float_scalar(self._slip),
            slip_on_ice=float_scalar(self._slip_on_ice),
            max_steps=step_limit(self._max_steps),
            reward=sum(parts[1:], parts[0]),
        )

    def reset(self, key: jax.Array, params: GridWorldParams) -> tuple[GridWorldState, TimeStep]:
        """A start drawn uniformly."""
        start = self._draw_start(jax.random.uniform(key, (), dtype=jnp.float32))
        state = GridWorldState(
            cell=start,
            keys=jnp.zeros((), jnp.int32),
            entered=start,
            at_goal=jnp.zeros((), bool),
            fell=jnp.zeros((), bool),
            time=start_time(),
        )
        return state, first_timestep(self.observe(state), params.reward.names, {})

    def step(
        self, key: jax.Array, state: GridWorldState, action: Int[Array, ""], params: GridWorldParams
    ) -> tuple[GridWorldState, TimeStep]:
        """One move."""
        tables = self.layout.tables
        action = jnp.clip(action, 0, 3).astype(jnp.int32)
        unit = jax.random.uniform(key, (2,), dtype=jnp.float32)
        slip = jnp.where(_lookup(tables.slippery, state.cell), params.slip_on_ice, params.slip)
        turn = jnp.where(unit[0] < 0.5 * slip, 1, jnp.where(unit[0] < slip, 3, 0))
        target = _lookup(tables.move, state.cell)[(action + turn) % 4]
        locked = (_lookup(tables.door_bit, target) & ~state.keys) != 0
        target = jnp.where(locked, state.cell, target)
        at_goal, fell = _lookup(tables.goal, target), _lookup(tables.pit, target)
        place, terminated = target, at_goal | fell
        if not self.layout.pit_ends:
            place, terminated = jnp.where(fell, self._draw_start(unit[1]), target), at_goal
        nxt = GridWorldState(
            cell=place,
            keys=state.keys | _lookup(tables.key_bit, target),
            entered=target,
            at_goal=at_goal,
            fell=fell,
            time=state.time + 1,
        )
        return nxt, finish_step(state, action, nxt, self.observe(nxt), terminated, params)

    def observe(self, state: GridWorldState) -> Float[Array, "D"]:
        """The observation of a state."""
        layout = self.layout
        tables = layout.tables
        held = ((state.keys >> np.arange(tables.num_keys)) & 1).astype(jnp.float32)
        if self._observation == "index":
            return jax.nn.one_hot(self.state_index(state), self.num_states, dtype=jnp.float32)
        row, column = state.cell // layout.width, state.cell % layout.width
        if self._observation == "coordinates":
            height, width = max(layout.height - 1, 1), max(layout.width - 1, 1)
            place = jnp.stack([row / height, column / width]).astype(jnp.float32)
            return jnp.concatenate([place, held])
        shut = tables.wall | ((tables.door_bit & ~state.keys) != 0)
        lying = (tables.key_bit & ~state.keys) != 0
        planes = jnp.stack([shut, jnp.asarray(tables.goal), jnp.asarray(tables.pit), lying], -1)
        planes = planes.reshape(layout.height, layout.width, 4).astype(jnp.float32)
        pad = ((self._radius, self._radius), (self._radius, self._radius))
        planes = jnp.concatenate(
            [
                jnp.pad(planes[..., :1], (*pad, (0, 0)), constant_values=1.0),
                jnp.pad(planes[..., 1:], (*pad, (0, 0))),
            ],
            axis=-1,
        )
        side = 2 * self._radius + 1
        window = jax.lax.dynamic_slice(planes, (row, column, 0), (side, side, 4))
        return jnp.concatenate([window.reshape(-1), held])

    def state_index(self, state: GridWorldState) -> Int[Array, ""]:
        """Number of a state in the tabular model, `free cell * 2^K + keys`."""
        tables = self.layout.tables
        return _lookup(tables.free_index, state.cell) * 2**tables.num_keys + state.keys

    def transition_tensor(self, params: GridWorldParams) -> Float[Array, "S A S"]:
        """Exact `P[s, a, s']`; differentiable in the slip probabilities. Terminal states stay."""
        return gridworld_model.transition_tensor(self, params)

    def reward_matrix(self, params: GridWorldParams) -> Float[Array, "S A"]:
        """Exact expected reward of action `a` in `s`; 0 in terminal states; differentiable."""
        return gridworld_model.reward_matrix(self, params)

    def initial_distribution(self) -> Float[Array, "S"]:
        """Probability of each state after `reset`."""
        return jnp.asarray(gridworld_model.start_distribution(self, 0), jnp.float32)

    def terminal_states(self) -> Bool[Array, "S"]:
        """Which states end the episode when entered."""
        return jnp.asarray(gridworld_model.outcomes(self).terminal)

    def _draw_start(self, unit: Float[Array, ""]) -> Int[Array, ""]:
        """The start that a uniform number in [0, 1) stands for."""
        count = len(self.starts)
        index = jnp.minimum((unit * count).astype(jnp.int32), count - 1)
        return jnp.asarray(self.starts)[index]


def _lookup(table: np.ndarray, index: Int[Array, ""]) -> Array:
    return jnp.asarray(table)[index]


def _find_layout(layout: str | Layout) -> tuple[Layout, str]:
    """The layout and the name of a world on it."""
    if isinstance(layout, Layout):
        known = [name for name, value in LAYOUTS.items() if value == layout]
        return layout, f"gridworld-{known[0]}" if known else "gridworld"
    if layout in LAYOUTS:
        return LAYOUTS[layout], f"gridworld-{layout}"
    if "S" in layout or "\n" in layout.strip():
        return parse_layout(layout), "gridworld"
    known = ", ".join(sorted(LAYOUTS))
    raise InputError(f"grid layout {layout!r} is unknown; choose one of {known} or give a map")
