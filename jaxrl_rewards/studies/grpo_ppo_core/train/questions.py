"""What a policy is asked: worlds with their prompts, what answers are worth, and solutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import parse_json
from jaxrl_rewards.learners.group import Scorer, outcome
from jaxrl_rewards.learners.texts import Texts
from jaxrl_rewards.studies.grpo_ppo_core.train.task import LanguageTask


class Questions(NamedTuple):
    """Questions of a kind."""

    env: Any
    """The world that asks those of the training part, token by token."""
    test: Any
    """The world that asks the others."""
    params: Any
    """Of the training world."""
    vocabulary: int
    prompt_width: int
    """Tokens of the longest prompt."""
    show: Callable[[Any], str]
    """Tokens as text."""
    score: Scorer = outcome
    solutions: Callable[[jax.Array, int, Any], Texts] | None = None
    """`(key, count, lessons) -> Texts` of the training part, jittable; None without solutions."""
    lessons: Any = ()
    """What solutions are drawn from."""
    test_params: Any = None
    """Of the test world; those of the training world when None."""
    test_score: Scorer | None = None

    @property
    def asked(self) -> Any:
        """Params of the test world."""
        return self.params if self.test_params is None else self.test_params


def make_questions(task: LanguageTask) -> Questions:
    """Those that a task names."""
    if task.data is None:
        if task.model is not None:
            raise InputError("--model answers the questions of a file; give one with --data FILE")
        return written(task)
    from jaxrl_rewards.studies.grpo_ppo_core.train.data import from_file

    if task.model is None:
        return from_file(task)
    from jaxrl_rewards.studies.grpo_ppo_core.train.model import tokeniser_of

    return from_file(task, tokeniser_of(task.model))


def written(task: LanguageTask) -> Questions:
    """Those of a written task (`jaxrl_envs.language`)."""
    from jaxrl_envs.language import TASKS, TokenWorld
    from jaxrl_envs.language.parts import has_parts

    asked = task.env
    if asked.task not in TASKS:
        raise InputError(f"--env.task is one of {', '.join(TASKS)}; got {asked.task!r}")
    rules = TASKS[asked.task]
    rules = rules() if asked.hardest is None else _of_level(rules, asked.hardest)
    easiest = rules.max_level if asked.easiest is None else asked.easiest
    if not 1 <= easiest <= rules.max_level:
        raise InputError(f"--env.easiest must be between 1 and {rules.max_level}, got {easiest}")
    parts = ("train", "test") if has_parts(rules) else (None, None)
    env, test = (TokenWorld(rules, part=part) for part in parts)
    params = env.default_params().replace(easiest=jnp.asarray(easiest, jnp.int32))
    try:
        weights = parse_json(task.reward_weights, "it", dict)
        params = params.replace(reward=params.reward.with_weights(weights))
    except ValueError as error:
        raise InputError(f"--reward-weights: {error}") from None
    return Questions(
        env=env,
        test=test,
        params=params,
        vocabulary=rules.vocabulary.size,
        prompt_width=rules.prompt_size,
        show=rules.vocabulary.decode,
        solutions=lambda key, count, lessons: solved(env, key, count, lessons),
        lessons=params,
    )


def _of_level(rules: Any, level: int) -> Any:
    try:
        return rules(max_level=level)
    except TypeError:
        raise InputError(f"{rules.name} has no levels; leave --env.hardest out") from None


def solved(env: Any, key: jax.Array, count: int, params: Any) -> Texts:
    """`count` prompts of a written task with right answers behind them, padded on the right."""
    rules = env.task
    state, _ = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(key, count), params)
    answers = jax.vmap(rules.solution)(state.problem)
    return jax.vmap(_behind, in_axes=(0, 0, 0, None))(
        state.tokens, state.prompt_length, answers, rules.vocabulary.pad
    )


def _behind(prompt: Array, length: Array, answer: Array, pad: int) -> Texts:
    """One prompt (in a row wide enough for both) and its answer."""
    place = length + jnp.arange(answer.shape[0])
    text = prompt.at[place].set(answer.astype(prompt.dtype), mode="drop")
    written = jnp.sum(answer != pad)
    position = jnp.arange(text.shape[0])
    own = (position >= length) & (position < length + written)
    return Texts(
        tokens=text[:-1],
        follows=text[1:],
        own=own[1:],
        ends=(position == length + written - 1)[1:],
    )
