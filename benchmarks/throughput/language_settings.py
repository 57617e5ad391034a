"""What both sides of the comparison of language trainers are told; imports nothing of either."""

from __future__ import annotations

import dataclasses
import string

CHARACTERS = string.ascii_letters + string.digits + string.punctuation + " "
"""Tokens are single characters; token 0 is padding, token 1 ends an answer."""
PROMPT = "What is 12 + 34?"


@dataclasses.dataclass(frozen=True)
class LanguageSettings:
    """A GRPO step on a tiny Qwen2: 2 layers, width 64."""

    prompts: int = 32
    answers: int = 8
    tokens: int = 32
    """Of every answer: nothing stops one early, on both sides."""
    width: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    hidden: int = 176
    learning_rate: float = 1e-5
    kl_coefficient: float = 0.04
    steps: int = 8
    """Steps in one measurement."""

    @property
    def completion_tokens(self) -> int:
        """Of one step."""
        return self.prompts * self.answers * self.tokens

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> LanguageSettings:
        """`PROMPTS ANSWERS TOKENS STEPS`."""
        prompts, answers, tokens, steps = map(int, arguments)
        return cls(prompts=prompts, answers=answers, tokens=tokens, steps=steps)


def reward_of(text: str) -> float:
    """The share of digits: the same plain function for both sides."""
    return sum(character.isdigit() for character in text) / max(len(text), 1)
