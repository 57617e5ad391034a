"""Questions of a data set as a world: a token is an action, whatever the vocabulary."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import Discrete, EnvSpec, InputError, TimeStep, first_timestep, record
from jaxrl_rewards.rewards.base import Reward, reward_term


@record
class TextParams:
    """The questions."""

    prompts: Int[Array, "N W"]
    """Padded on the right."""
    lengths: Int[Array, "N"]
    reward: Reward


@record
class TextState:
    """The question, and what was written."""

    row: Int[Array, ""]
    shown: Int[Array, ""]
    """Tokens of the prompt that the policy has seen."""
    token: Int[Array, ""]
    """The text's last token."""
    written: Int[Array, ""]
    ended: Bool[Array, ""]


def length(prev: TextState, action: Array, nxt: TextState) -> Float[Array, ""]:
    """1 for every token that the policy chose."""
    return (nxt.written > prev.written).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class TextWorld:
    """Answer a question drawn from a table.

    - Observation: the last token, int32; the prompt is spelt out by the world, one forced token per
      step (`TimeStep.chosen` is false there).
    - Action: a token.
    - Reward: none of its own but `length` (weight 0): what a text is worth is for a scorer to say
      (`learners.text_scorer`).
    - Termination: a stop token. Truncation: `answer_size` tokens without one.
    - `info["row"]`: number of the question in the table.
    """

    vocabulary: int
    prompt_size: int
    """Columns of the table."""
    answer_size: int
    stop: tuple[int, ...]

    def __post_init__(self):
        for name in ("vocabulary", "prompt_size", "answer_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def spec(self) -> EnvSpec:
        """What policies see and do."""
        return EnvSpec(
            name="language-text",
            observation_space=Discrete(self.vocabulary),
            action_space=Discrete(self.vocabulary),
            max_steps=self.prompt_size + self.answer_size - 1,
            term_names=("length",),
        )

    def params(self, prompts: Any, lengths: Any) -> TextParams:
        """The questions of a table; InputError where it does not fit."""
        prompts, lengths = jnp.asarray(prompts, jnp.int32), jnp.asarray(lengths, jnp.int32)
        if prompts.ndim != 2 or prompts.shape[1] != self.prompt_size or not prompts.shape[0]:
            raise InputError(
                f"prompts must be [questions, {self.prompt_size}], got {list(prompts.shape)}"
            )
        return TextParams(
            prompts=prompts,
            lengths=jnp.clip(lengths, 1, self.prompt_size),
            reward=0.0 * reward_term(length),
        )

    def default_params(self) -> TextParams:
        """One question of a single token."""
        return self.params(jnp.zeros((1, self.prompt_size), jnp.int32), jnp.ones((1,), jnp.int32))

    def reset(self, key: jax.Array, params: TextParams) -> tuple[TextState, TimeStep]:
        """A question of the table."""
        row = jax.random.randint(key, (), 0, params.prompts.shape[0], jnp.int32)
        one, zero = jnp.ones((), jnp.int32), jnp.zeros((), jnp.int32)
        state = TextState(
            row=row,
            shown=one,
            token=params.prompts[row, 0],
            written=zero,
            ended=jnp.zeros((), bool),
        )
        return state, first_timestep(state.token, params.reward.names, {"row": row})

    def step(
        self, key: jax.Array, state: TextState, action: Int[Array, ""], params: TextParams
    ) -> tuple[TextState, TimeStep]:
        """One token."""
        forced = state.shown < params.lengths[state.row]
        action = jnp.clip(action, 0, self.vocabulary - 1).astype(jnp.int32)
        token = jnp.where(forced, params.prompts[state.row, state.shown], action)
        stopped = ~forced & jnp.isin(token, jnp.asarray(self.stop, jnp.int32))
        nxt = state.replace(
            shown=state.shown + forced,
            token=token,
            written=state.written + ~forced,
            ended=state.ended | stopped,
        )
        out = params.reward.evaluate(state, action, nxt)
        return nxt, TimeStep(
            obs=token,
            reward=out.total,
            terms=out.terms,
            applicable=out.applicable,
            terminated=nxt.ended,
            truncated=~nxt.ended & (nxt.written >= self.answer_size),
            final_obs=token,
            info={"row": state.row},
            chosen=~forced,
        )
