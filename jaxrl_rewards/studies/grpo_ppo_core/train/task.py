"""What `train language` can be told."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.learners.grpo import ADVANTAGES, LOSSES
from jaxrl_rewards.losses.kl import KINDS


@dataclasses.dataclass(frozen=True)
class Written:
    """A written task."""

    task: str = "arithmetic"
    """arithmetic, modular-chain, countdown, graph-path, planted-sequence or key-tokens."""
    hardest: int | None = None
    """Highest level of difficulty; the task's own choice when not given."""
    easiest: int | None = None
    """Lowest level; the highest when not given."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the decoder."""

    width: int = 64
    """Width of the residual stream."""
    layers: int = 2
    """Layers."""
    heads: int = 4
    """Attention heads."""
    kv_heads: int = 4
    """Heads of keys and values; must divide heads."""
    hidden: int = 192
    """Width inside the feed-forward layers."""


@dataclasses.dataclass(frozen=True)
class LanguageTask:
    """Train a language model to answer."""

    env: Written = Written()  # noqa: RUF009
    """The task."""
    network: Sizes = Sizes()  # noqa: RUF009
    """The decoder, where none is given."""
    data: Path | None = None
    """Questions with answers instead of a written task: JSON lines, JSON or parquet."""
    model: Path | None = None
    """With --data: a Hugging Face directory (Llama, Qwen2, Qwen2.5, Qwen3) to start from."""
    lora: int | None = None
    """With --model: train low-rank adapters of this rank instead of all weights."""
    answer_tokens: int = 64
    """With --data: tokens that an answer may have."""
    prompt_tokens: int | None = None
    """With --data: refuse questions of more tokens than this."""
    out: Path | None = None
    """Folder of the run; runs/language-TASK by default."""
    warm_start: int = 400
    """Optimiser steps on solutions before the reward takes over."""
    warm_start_rate: float = 3e-3
    """Adam's step size in the warm start."""
    warm_start_batch: int = 64
    """Solutions per step of the warm start."""
    updates: int = 200
    """Updates with the reward."""
    prompts: int = 32
    """Questions per update."""
    answers: int = 8
    """Answers to each question."""
    learning_rate: float = 3e-4
    """Adam's step size with the reward."""
    advantage: str = "grpo"
    """How answers of a group are compared: grpo, dr_grpo, rloo, pass_at_k, reinforce_plus_plus."""
    loss: str = "dapo"
    """Policy loss: grpo, dapo, gspo, cispo, sapo, ppo or reinforce."""
    kl: str = "k3"
    """Estimator of the divergence to the policy after the warm start."""
    kl_coefficient: float = 0.0
    """Weight of that divergence in the loss."""
    clip_low: float = 0.2
    """Clip range of the importance ratio, downwards."""
    clip_high: float = 0.28
    """And upwards."""
    temperature: float = 1.0
    """At which training samples."""
    epochs: int = 1
    """Passes over the answers of an update."""
    minibatches: int = 1
    """Parts of a pass; must divide prompts."""
    microbatches: int = 1
    """Parts in which a minibatch is computed, to save memory; must divide its prompts."""
    mixed_only: bool = True
    """Leave out questions whose answers all score alike (dynamic sampling)."""
    reward_weights: str = "{}"
    """New weights of reward terms: --reward.length -0.01, or --reward-weights length=-0.01."""
    evaluation_questions: int = 256
    """Questions of an evaluation, from the part that training never asks."""
    evaluate_every: int | None = None
    """Updates between evaluations; a tenth of the run by default."""
    checkpoint_every: int | None = None
    """Updates between checkpoints; a tenth of the run by default."""
    chunk: int = 10
    """Updates per logged row."""
    seed: int = 0
    """Seed of the random key."""
    resume: bool = False
    """Go on from the newest checkpoint in the folder."""


TRANSIENT = ("out", "resume")
"""Settings that do not change what is learnt."""


COUNTS = ("updates", "prompts", "epochs", "minibatches", "microbatches", "chunk",
          "evaluation_questions", "warm_start_batch", "evaluate_every",
          "checkpoint_every", "answer_tokens", "prompt_tokens", "lora")  # fmt: skip


def check(task: LanguageTask) -> None:
    """InputError for a number out of range or an unknown name."""
    for name in COUNTS:
        value = getattr(task, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if task.warm_start < 0:
        raise InputError(f"--warm-start must be at least 0, got {task.warm_start}")
    if task.answers < 2:
        raise InputError(
            f"--answers must be at least 2, got {task.answers}: answers are compared in groups"
        )
    if task.prompts % task.minibatches:
        raise InputError(f"--minibatches {task.minibatches} must divide --prompts {task.prompts}")
    if task.prompts // task.minibatches % task.microbatches:
        raise InputError(
            f"--microbatches {task.microbatches} must divide a minibatch's "
            f"{task.prompts // task.minibatches} prompts"
        )
    for name in ("learning_rate", "warm_start_rate", "clip_low", "clip_high", "temperature"):
        value = getattr(task, name)
        if not 0 < value < math.inf:
            raise InputError(f"--{name.replace('_', '-')} must be above 0 and finite, got {value}")
    if not 0 <= task.kl_coefficient < math.inf:
        raise InputError(
            f"--kl-coefficient must be at least 0 and finite, got {task.kl_coefficient}"
        )
    if not 0 <= task.seed < 2**32:
        raise InputError(f"--seed must be between 0 and 2**32 - 1, got {task.seed}")
    for name, allowed in (("advantage", ADVANTAGES), ("loss", tuple(LOSSES)), ("kl", KINDS)):
        if getattr(task, name) not in allowed:
            raise InputError(
                f"--{name} is one of {', '.join(allowed)}; got {getattr(task, name)!r}"
            )
