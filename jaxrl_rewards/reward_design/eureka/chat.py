"""A language model as proposer: its answers are read as data, and every fault is a record."""

from __future__ import annotations

import contextlib
import math
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_design.eureka.answers import find_program
from jaxrl_rewards.reward_design.eureka.candidates import (
    NO_ANSWER,
    NO_PROGRAM,
    OVER_BUDGET,
    Proposal,
)
from jaxrl_rewards.reward_design.eureka.prompts import messages
from jaxrl_rewards.reward_design.eureka.proposers import Context


class ChatProposer:
    """Asks a chat server, a few samples per request.

    `chat` is a `jaxrl_rewards.train.chat.ChatClient` (or its `ReplayChat`): it retries, waits,
    limits sizes, asks again for what a server left out, keeps to its budgets and logs every
    question. A question that still fails makes its candidates fail, with the reason, and halves the
    samples of the next one; when a budget is spent, nothing more is asked. Models that think
    before they answer need a larger `max_tokens`: their thoughts count.
    """

    def __init__(
        self, chat: Any, *, samples: int = 4, temperature: float = 1.0, max_tokens: int = 1024
    ):
        if samples < 1:
            raise InputError(f"samples per request must be at least 1, got {samples}")
        if max_tokens < 1:
            raise InputError(f"max_tokens must be at least 1, got {max_tokens}")
        if not 0.0 <= temperature < math.inf:
            raise InputError(f"temperature must be finite and not negative, got {temperature}")
        self.chat, self.samples = chat, samples
        self.temperature, self.max_tokens = temperature, max_tokens

    def rehearsing(self) -> contextlib.AbstractContextManager:
        """A context in which nothing is asked that is not on record (`ContinuedChat`)."""
        return getattr(self.chat, "rehearsing", contextlib.nullcontext)()

    def propose(self, context: Context, count: int) -> list[Proposal]:
        """`count` independent answers to the same question, as proposals or failures."""
        question, found, samples = messages(context), [], self.samples
        while len(found) < count:
            wanted = min(samples, count - len(found))
            try:
                answer = self.chat.complete(
                    question,
                    temperature=self.temperature,
                    max_tokens=self.max_tokens,
                    choices=wanted,
                )
                texts = list(answer.texts)[:wanted]
            except Exception as error:  # whatever the connection or the server did
                kind = getattr(error, "kind", type(error).__name__)
                reason = f"{kind}: {error}"[:500]
                if kind == "budget":
                    missing = Proposal(origin="chat", status=OVER_BUDGET, error=reason)
                    return found + [missing] * (count - len(found))
                found += [Proposal(origin="chat", status=NO_ANSWER, error=reason)] * wanted
                if kind != "length":  # fewer samples do not make answers shorter
                    samples = max(1, samples // 2)
                continue
            found += [read_answer(text) for text in texts]
            missing = wanted - len(texts)
            reason = getattr(answer, "missing", "")[:500]
            reason = reason or f"the server gave {len(texts)} of {wanted} answers"
            found += [Proposal(origin="chat", status=NO_ANSWER, error=reason)] * missing
        return found


def read_answer(text: str) -> Proposal:
    """The program in an answer (`find_program`); an answer without one is a failure."""
    block = find_program(text)
    if not block:
        return Proposal(
            origin="chat", status=NO_PROGRAM, error="the answer holds no fenced block with text"
        )
    return Proposal(text=block, origin="chat")
