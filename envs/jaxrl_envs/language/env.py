"""A token task as a world: a token is an action."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_envs.language.parts import prompt_of_part
from jaxrl_envs.language.task import Reader, TokenTask
from jaxrl_rewards.core import (
    Box,
    Discrete,
    EnvSpec,
    InputError,
    TimeStep,
    Trajectories,
    first_timestep,
    record,
)
from jaxrl_rewards.rewards.base import Reward, reward_term

OBSERVATIONS = ("token", "context")


@record
class TokenParams:
    """Numbers of the task."""

    easiest: Int[Array, ""]
    hardest: Int[Array, ""]
    """Levels are drawn uniformly from `easiest` to `hardest`, clipped to what the task has."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class TokenState:
    """The problem, and what was written."""

    problem: Any
    tokens: Int[Array, "P+T"]
    """The prompt and the answer so far, then padding."""
    prompt_length: Int[Array, ""]
    shown: Int[Array, ""]
    """Tokens of `tokens` that the policy has seen."""
    reader: Reader
    time: Int[Array, ""]


def correct(prev: TokenState, action: Array, nxt: TokenState) -> Float[Array, ""]:
    """1 when an answer ends that the verifier accepts, else 0."""
    return (nxt.reader.correct & ~prev.reader.ended).astype(jnp.float32)


def sound_step(prev: TokenState, action: Array, nxt: TokenState) -> Float[Array, ""]:
    """1 when a step ends that is right, as all before it, else 0: the exact oracle."""
    wrote = nxt.reader.length > prev.reader.length
    return (nxt.reader.sound & wrote).astype(jnp.float32)


def length(prev: TokenState, action: Array, nxt: TokenState) -> Float[Array, ""]:
    """1 for every token that the policy chose."""
    return (nxt.reader.length > prev.reader.length).astype(jnp.float32)


class TokenWorld:
    """Answer a prompt, one token per step.

    - Observation, by `observation`: "token", the last token, int32 scalar: the prompt is spelt out
      by the world, one forced token per step (`TimeStep.chosen` is false there), so that a
      recurrent policy or one with a cache reads it; "context", int32 `[prompt + answer]`, all
      tokens so far, then padding: the prompt is there at reset, every step is the policy's own.
    - Action: a token of the task's vocabulary.
    - Reward terms: `correct` (the verifier, weight 1), and with weight 0 `sound_step` (the exact
      oracle of steps) and `length`.
    - Termination: the end token, or where answers have full length their last token. Truncation:
      `max_steps` (prompt included where it is spelt out), or an answer of `task.answer_size` tokens
      without an end.
    - `part`: "train" or "test" asks only problems of that part (`language.parts`).
    - `info["step"]`: number of the step that the token just written belongs to, -1 in prompts; see
      `turns`.
    """

    def __init__(self, task: TokenTask, *, observation: str = "token", part: str | None = None):
        if observation not in OBSERVATIONS:
            raise InputError(
                f"observation {observation!r} is unknown; choose one of {OBSERVATIONS}"
            )
        self.task, self.observation, self.part = task, observation, part
        size, words = task.prompt_size + task.answer_size, task.vocabulary
        spelt = observation == "token"
        self.deterministic_reset = isinstance(task.prompt_size, int) and task.prompt_size == 1
        self.spec = EnvSpec(
            name=f"language-{task.name}",
            observation_space=(
                Discrete(words.size) if spelt else Box(0, words.size - 1, (size,), jnp.int32)
            ),
            action_space=Discrete(words.size),
            max_steps=size - 1 if spelt else task.answer_size,
            term_names=("correct", "sound_step", "length"),
        )

    def default_params(self) -> TokenParams:
        """The highest level; the outcome alone is rewarded."""
        level = jnp.asarray(self.task.max_level, jnp.int32)
        return TokenParams(
            easiest=level,
            hardest=level,
            max_steps=jnp.asarray(self.spec.max_steps, jnp.int32),
            reward=reward_term(correct) + 0.0 * reward_term(sound_step) + 0.0 * reward_term(length),
        )

    def reset(self, key: jax.Array, params: TokenParams) -> tuple[TokenState, TimeStep]:
        """A problem of a random level."""
        key_level, key_problem = jax.random.split(key)
        level = jax.random.randint(
            key_level, (), params.easiest, jnp.maximum(params.hardest, params.easiest) + 1
        )
        level = jnp.clip(level, 1, self.task.max_level)
        return self.start(prompt_of_part(self.task, key_problem, level, self.part), params)

    def start(self, prompt: Any, params: TokenParams) -> tuple[TokenState, TimeStep]:
        """An episode on a given problem (unbatched `Prompts`)."""
        task = self.task
        answer = jnp.full((task.answer_size,), task.vocabulary.pad, jnp.int32)
        state = TokenState(
            problem=prompt.problem,
            tokens=jnp.concatenate([prompt.tokens, answer]),
            prompt_length=prompt.length,
            shown=jnp.ones((), jnp.int32) if self.observation == "token" else prompt.length,
            reader=task.open(prompt.problem),
            time=jnp.zeros((), jnp.int32),
        )
        info = {"step": jnp.full((), -1, jnp.int32)}
        return state, first_timestep(self.observe(state), params.reward.names, info)

    def step(
        self, key: jax.Array, state: TokenState, action: Int[Array, ""], params: TokenParams
    ) -> tuple[TokenState, TimeStep]:
        """One token."""
        words = self.task.vocabulary
        action = jnp.clip(action, 0, words.size - 1).astype(jnp.int32)
        forced = state.shown < state.prompt_length
        token = jnp.where(forced, state.tokens[state.shown], action)
        read = self.task.read(state.problem, state.reader, token)
        reader = jax.tree.map(lambda old, new: jnp.where(forced, old, new), state.reader, read)
        nxt = state.replace(
            tokens=state.tokens.at[state.shown].set(token, mode="drop"),
            shown=jnp.minimum(state.shown + 1, state.tokens.shape[0]),
            reader=reader,
            time=state.time + 1,
        )
        out = params.reward.evaluate(state, action, nxt)
        obs = self.observe(nxt)
        inside = ~forced & ~state.reader.ended
        return nxt, TimeStep(
            obs=obs,
            reward=out.total,
            terms=out.terms,
            applicable=out.applicable,
            terminated=reader.ended,
            truncated=(nxt.time >= params.max_steps) | (reader.length >= self.task.answer_size),
            final_obs=obs,
            info={"step": jnp.where(inside, state.reader.step, -1)},
            chosen=~forced,
        )

    def observe(self, state: TokenState) -> Int[Array, "..."]:
        """The observation of a state."""
        if self.observation == "token":
            return state.tokens[jnp.minimum(state.shown - 1, state.tokens.shape[0] - 1)]
        return state.tokens


def turns(played: Trajectories) -> Int[Array, "*lead T"]:
    """Decision units are the written steps: for samplers, `independent(..., turns=turns)`."""
    return jnp.where(played.alive, played.info["step"], -1)
