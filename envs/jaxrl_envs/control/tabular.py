"""Any finite decision process with a known model, as a world."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.control.common import finish_step, start_time, step_limit
from jaxrl_envs.control.tabular_models import chain_model, line_key_model, rooms_model
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
from jaxrl_rewards.core.tabular import TabularModel
from jaxrl_rewards.rewards.base import Reward, RewardTerm, reward_term

OBSERVATIONS = ("one_hot", "state")
MODELS = {"rooms": rooms_model, "line-key": line_key_model, "chain": chain_model}
TIME_LIMITS = {"rooms": 30, "line-key": 30, "chain": 40}


@record
class TabularParams(Record):
    """Numbers of the task."""

    transition: Float[Array, "S A S"]
    """Rows need not be normalised: the next state is drawn in proportion to its entry."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class TabularState(Record):
    """Where the agent is."""

    index: Int[Array, ""]
    time: Int[Array, ""]


def table(
    prev: TabularState, action: Array, nxt: TabularState, values: Float[Array, "S A"]
) -> Float[Array, ""]:
    """`values[s, a]` of the state left and the action taken."""
    return values[prev.index, action]


def table_reward(values: Float[Array, "S A"]) -> RewardTerm:
    """A reward term with one free number per state and action, such as a designed reward."""
    return reward_term(table, values=values)


class TabularWorld:
    """Walk through a finite decision process.

    - Observation, by `observation`: "one_hot" float32 `[S]`, "state" the number of the state,
      int32 in `[0, S)`, for tables.
    - Action: int32 in `[0, A)`; other integers are clipped.
    - Reward terms: `table`, one number per state and action; the model's own by default.
    - Termination: a terminal state of the model. Truncation: after `max_steps`.
    - Source: the model's; see `tabular_models` for the ready ones, `load_tabular_model` for files.

    `model` is a name in `MODELS` (further arguments go to its builder) or a `TabularModel`.
    """

    differentiable = True

    def __init__(
        self,
        model: str | TabularModel = "rooms",
        *,
        observation: str = "one_hot",
        max_steps: int | None = None,
        **options: Any,
    ):
        if observation not in OBSERVATIONS:
            raise InputError(
                f"observation {observation!r} is unknown; choose one of {', '.join(OBSERVATIONS)}"
            )
        if isinstance(model, str):
            if model not in MODELS:
                raise InputError(
                    f"tabular model {model!r} is unknown; choose one of {', '.join(MODELS)}"
                )
            max_steps = TIME_LIMITS[model] if max_steps is None else max_steps
            model = MODELS[model](**options)
        elif options:
            raise InputError(f"options {sorted(options)} go to a named model, not to a ready one")
        self.model = model
        self.deterministic_reset = int(np.sum(model.start > 0)) == 1
        self._observation = observation
        self._max_steps = 100 if max_steps is None else max_steps
        states = model.num_states
        spaces = {"one_hot": Box(0.0, 1.0, (states,)), "state": Discrete(states)}
        self.spec = EnvSpec(
            name=f"tabular-{model.name}",
            observation_space=spaces[observation],
            action_space=Discrete(model.num_actions),
            max_steps=self._max_steps,
            term_names=("table",),
        )

    def default_params(self) -> TabularParams:
        """The model's transitions and reward."""
        return TabularParams(
            transition=jnp.asarray(self.model.transition, jnp.float32),
            max_steps=step_limit(self._max_steps),
            reward=1.0 * table_reward(self.model.reward),
        )

    def reset(self, key: jax.Array, params: TabularParams) -> tuple[TabularState, TimeStep]:
        """A start drawn from the model's distribution."""
        chances = jnp.asarray(self.model.start, jnp.float32)
        state = TabularState(index=_draw(key, chances), time=start_time())
        return state, first_timestep(self.observe(state), params.reward.names, {})

    def step(
        self, key: jax.Array, state: TabularState, action: Int[Array, ""], params: TabularParams
    ) -> tuple[TabularState, TimeStep]:
        """One move."""
        action = jnp.clip(action, 0, self.model.num_actions - 1).astype(jnp.int32)
        nxt = TabularState(
            index=_draw(key, params.transition[state.index, action]), time=state.time + 1
        )
        ended = jnp.asarray(self.model.terminal)[nxt.index]
        return nxt, finish_step(state, action, nxt, self.observe(nxt), ended, params)

    def observe(self, state: TabularState) -> Float[Array, "S"] | Int[Array, ""]:
        """The observation of a state."""
        if self._observation == "state":
            return state.index
        return jax.nn.one_hot(state.index, self.model.num_states, dtype=jnp.float32)

    def transition_tensor(self, params: TabularParams) -> Float[Array, "S A S"]:
        """Exact `P[s, a, s']`, normalised; differentiable."""
        chances = jnp.maximum(params.transition, 0.0)
        return chances / jnp.sum(chances, axis=-1, keepdims=True)

    def reward_matrix(self, params: TabularParams) -> Float[Array, "S A"]:
        """Reward of action `a` in state `s`, 0 in terminal states; for rewards that do not read
        the next state or the time."""
        zero = jnp.zeros((), jnp.int32)

        def score(index: Array, action: Array) -> Array:
            place = TabularState(index=index, time=zero)
            return params.reward.evaluate(place, action, place).total

        states = jnp.arange(self.model.num_states, dtype=jnp.int32)
        actions = jnp.arange(self.model.num_actions, dtype=jnp.int32)
        rewards = jax.vmap(jax.vmap(score, (None, 0)), (0, None))(states, actions)
        return jnp.where(jnp.asarray(self.model.terminal)[:, None], 0.0, rewards)

    def initial_distribution(self) -> Float[Array, "S"]:
        """Probability of each state after `reset`."""
        return jnp.asarray(self.model.start, jnp.float32)

    def terminal_states(self) -> Bool[Array, "S"]:
        """Which states end the episode when entered."""
        return jnp.asarray(self.model.terminal)


def _draw(key: jax.Array, chances: Float[Array, "S"]) -> Int[Array, ""]:
    """A state drawn in proportion to `chances`; none with chance 0 unless all have."""
    cumulative = jnp.cumsum(jnp.maximum(chances, 0.0))
    unit = jax.random.uniform(key, (), dtype=jnp.float32) * cumulative[-1]
    return jnp.argmax(cumulative > unit).astype(jnp.int32)
