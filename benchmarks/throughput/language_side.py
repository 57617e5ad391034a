"""Our GRPO on a tiny Qwen2 directory: a whole step and its parts, measured on request.

    python -m benchmarks.throughput.language_side FOLDER PROMPTS ANSWERS TOKENS STEPS

Every answer holds completion tokens per second of `step`, and of `generate`, `reference`, `learn`
and `score` alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxrl_envs.language.text_world import TextWorld

from benchmarks.throughput.language_settings import (
    CHARACTERS,
    PROMPT,
    LanguageSettings,
    reward_of,
)
from benchmarks.throughput.process import serve
from jaxrl_rewards.core.compiling import jit_program
from jaxrl_rewards.learners import GroupConfig, GroupHParams, make_group
from jaxrl_rewards.learners.acting import actor_policy
from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.learners.group import GroupBatch, Objective, log_probs, passes_over_answers
from jaxrl_rewards.learners.optimise import adam
from jaxrl_rewards.learners.text_scorer import text_scorer
from jaxrl_rewards.networks.hugging_face import load_model
from jaxrl_rewards.networks.language_policy import decoder_actor_critic, init_value_head
from jaxrl_rewards.rewards.text import FunctionTextReward
from jaxrl_rewards.rollout.generate import token_answers


def decode(ids: list[int]) -> str:
    """Tokens as text; padding and end are left out."""
    return "".join(CHARACTERS[i - 2] for i in ids if i >= 2)


class Trainer:
    """The learner, its parts, and the state that they move."""

    def __init__(self, folder: str, settings: LanguageSettings):
        """Load, build, compile."""
        self.settings = settings
        prompt = [CHARACTERS.index(character) + 2 for character in PROMPT]
        self.world = TextWorld(
            vocabulary=len(CHARACTERS) + 2,
            prompt_size=len(prompt),
            answer_size=settings.tokens,
            stop=(len(CHARACTERS) + 5,),  # outside the vocabulary: nothing stops
        )
        self.params = self.world.params([prompt] * 64, [len(prompt)] * 64)
        found = load_model(folder, max_length=self.world.spec.max_steps + 1)
        self.network = decoder_actor_critic(found.config)
        start = {"decoder": found.params, "value": init_value_head(found.config)}
        self.head = action_head(self.world.spec.action_space)
        self.sample = token_answers(
            self.world, settings.prompts, settings.answers, prompt_width=len(prompt)
        )
        reward = FunctionTextReward(function=lambda text, row: reward_of(text), name="digits")
        self.score = text_scorer(reward, decode, [{}] * 64)
        self.config = GroupConfig(num_prompts=settings.prompts, group_size=settings.answers)
        self.hparams = GroupHParams(
            env_params=self.params,
            learning_rate=settings.learning_rate,
            kl_coefficient=settings.kl_coefficient,
            initial_params=start,
        )
        self.learner = make_group(
            self.world,
            self.config,
            network=self.network,
            sample=self.sample,
            score=self.score,
            hparams=self.hparams,
        )
        self.state = jax.jit(self.learner.init)(jax.random.key(0), self.hparams)
        self.update = jit_program(self.learner.update)
        self.parts = self._parts()

    def _parts(self) -> dict[str, Callable[[], Any]]:
        """The parts of a step, each compiled for itself."""
        state, now, key = self.state, self.hparams, jax.random.key(1)
        policy_of = self._policy

        def generate(params: Any) -> Any:
            return self.sample(key, policy_of(params), self.params)

        def reference(params: Any, played: Any) -> Any:
            return log_probs(params, self.network, self.head, played, jnp.float32(1.0))

        learn = passes_over_answers(self.config, self.network, self.head, Objective(), adam(1e-8))
        generate, reference = jit_program(generate), jit_program(reference)
        score = jit_program(lambda played: self.score(played, {}, now))
        played = generate(state.params)
        batch = GroupBatch(
            played=played,
            advantage=jnp.ones(played.own.shape, jnp.float32),
            keep=jnp.ones(played.own.shape[0], bool),
            reference=reference(state.params, played),
        )
        taught = jit_program(lambda state, batch: learn(key, state, batch, now)[0])
        return {
            "generate": lambda: generate(state.params),
            "score": lambda: score(played),
            "reference": lambda: reference(state.params, played),
            "learn": lambda: taught(state, batch),
        }

    def _policy(self, params: Any) -> Any:
        return actor_policy(params, self.network, self.head, self.world.spec, jnp.float32(1.0))

    def step(self) -> Any:
        """One whole step."""
        self.state, metrics = self.update(self.state, self.hparams)
        return metrics

    def seconds(self, call: Callable[[], Any]) -> float:
        """Seconds of one call, the mean over the settings' steps."""
        jax.block_until_ready(call())
        began = time.perf_counter()
        for _ in range(self.settings.steps):
            last = call()
        jax.block_until_ready(last)
        return (time.perf_counter() - began) / self.settings.steps

    def measure(self) -> dict[str, float]:
        """Completion tokens per second."""
        tokens = self.settings.completion_tokens
        found = {"step": tokens / self.seconds(self.step)}
        return found | {name: tokens / self.seconds(part) for name, part in self.parts.items()}


def main() -> None:
    """Serve."""
    began = time.perf_counter()
    trainer = Trainer(sys.argv[1], LanguageSettings.from_arguments(sys.argv[2:]))
    jax.block_until_ready(trainer.step())
    serve({"compile_seconds": time.perf_counter() - began}, trainer.measure)


if __name__ == "__main__":
    main()
