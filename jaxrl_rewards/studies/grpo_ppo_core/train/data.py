"""Questions of a data set, in the tokens of a model's directory or in the file's own characters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import parse_json
from jaxrl_rewards.learners.fit import rows
from jaxrl_rewards.learners.text_scorer import text_scorer
from jaxrl_rewards.learners.texts import pack_texts
from jaxrl_rewards.studies.grpo_ppo_core.train.questions import Questions
from jaxrl_rewards.studies.grpo_ppo_core.train.task import LanguageTask

TEST_SHARE = 10
"""One question in so many is held back."""
ASK, END = "\x02", "\x03"
"""Characters after a question and after an answer, where there is no chat template."""


class Tokeniser(NamedTuple):
    """Text to tokens and back."""

    ask: Callable[[Sequence[dict[str, str]]], list[int]]
    """A chat up to the question as the tokens that a model answers."""
    encode: Callable[[str], list[int]]
    """An answer, without its end."""
    decode: Callable[[Sequence[int]], str]
    stop: tuple[int, ...]
    """Tokens that end an answer; the first is the one that solutions end with."""
    vocabulary: int


def characters(texts: Sequence[str]) -> Tokeniser:
    """One token per character of the texts; others are left out."""
    symbols = [END, ASK, *sorted(set("".join(texts)) - {END, ASK})]
    number = {symbol: index for index, symbol in enumerate(symbols)}

    def encode(text: str) -> list[int]:
        return [number[symbol] for symbol in text if symbol in number]

    def decode(ids: Sequence[int]) -> str:
        return "".join(symbols[i] for i in ids if 0 <= i < len(symbols))

    return Tokeniser(
        ask=lambda messages: encode("\n".join(m["content"] for m in messages) + ASK),
        encode=encode,
        decode=decode,
        stop=(0,),
        vocabulary=len(symbols),
    )


def from_file(task: LanguageTask, tokeniser: Tokeniser | None = None) -> Questions:
    """The questions of `task.data`; `tokeniser` is a model's, the file's characters when None."""
    from jaxrl_envs.language.data import read_questions
    from jaxrl_envs.language.text_world import TextWorld

    asked = read_questions(task.data)
    if tokeniser is None:
        texts = [m["content"] for q in asked for m in q.messages]
        tokeniser = characters([*texts, *(solved(q) for q in asked)])
    parts = split(asked)
    tokens = {name: [tokeniser.ask(q.messages) for q in part] for name, part in parts.items()}
    longest = max(len(ids) for part in tokens.values() for ids in part)
    if task.prompt_tokens is not None and longest > task.prompt_tokens:
        raise InputError(
            f"a question of {task.data} has {longest} tokens, --prompt-tokens is "
            f"{task.prompt_tokens}; raise it or shorten the question"
        )
    world = TextWorld(
        vocabulary=tokeniser.vocabulary,
        prompt_size=longest,
        answer_size=task.answer_tokens,
        stop=tokeniser.stop,
    )
    params = {name: world.params(*table(part, longest)) for name, part in tokens.items()}
    reward = named_reward(task)
    score = {
        name: text_scorer(reward, tokeniser.decode, [q.row for q in part], stop=tokeniser.stop)
        for name, part in parts.items()
    }
    lessons = lessons_of(parts["train"], tokens["train"], tokeniser, world)
    return Questions(
        env=world,
        test=world,
        params=params["train"],
        test_params=params["test"],
        vocabulary=tokeniser.vocabulary,
        prompt_width=longest,
        show=lambda ids: tokeniser.decode([int(i) for i in ids]),
        score=score["train"],
        test_score=score["test"],
        solutions=None if lessons is None else drawn,
        lessons=lessons,
    )


def split(questions: Sequence[Any]) -> dict[str, list[Any]]:
    """Questions of the training part and of the test part: a tenth of the different texts, those
    whose hashes are the smallest. InputError for fewer than 2."""
    texts = sorted({q.text for q in questions}, key=lambda t: hashlib.sha256(t.encode()).digest())
    if len(texts) < 2:
        raise InputError("there is one question only; give at least 2, of which one is held back")
    held = set(texts[: max(1, len(texts) // TEST_SHARE)])
    return {
        "train": [question for question in questions if question.text not in held],
        "test": [question for question in questions if question.text in held],
    }


def table(tokens: Sequence[Sequence[int]], width: int) -> tuple[np.ndarray, np.ndarray]:
    """`(prompts [N, width], lengths [N])`, padded on the right."""
    prompts = np.zeros((len(tokens), width), np.int32)
    for row, ids in enumerate(tokens):
        prompts[row, : len(ids)] = ids
    return prompts, np.asarray([len(ids) for ids in tokens], np.int32)


def solved(question: Any) -> str:
    """What a right answer says: the worked solution where there is one."""
    return question.solution or question.answer


def lessons_of(
    questions: Sequence[Any], tokens: Sequence[list[int]], tokeniser: Tokeniser, world: Any
) -> Any:
    """Right answers behind their questions, packed; those that are too long are left out."""
    width, texts = world.spec.max_steps, []
    for question, ids in zip(questions, tokens):
        answer = [*tokeniser.encode(solved(question)), tokeniser.stop[0]]
        if len(answer) <= world.answer_size and len(ids) + len(answer) <= width + 1:
            own = [False] * len(ids) + [True] * len(answer)
            texts.append((np.asarray([*ids, *answer]), np.asarray(own)))
    return pack_texts(texts, width) if texts else None


def drawn(key: jax.Array, count: int, lessons: Any) -> Any:
    """`count` rows of the lessons."""
    return rows(count)(key, lessons, None)


def named_reward(task: LanguageTask) -> Any:
    """The text rewards that `--reward-weights` names, summed; `correct` alone by default."""
    from jaxrl_rewards.rewards.text import (
        AnswerReward,
        OverlongReward,
        RepetitionReward,
        TagsReward,
        TextSum,
    )

    known = {
        "correct": AnswerReward(name="correct"),
        "format": TagsReward(name="format", partial=True),
        "repetition": RepetitionReward(name="repetition"),
        "overlong": OverlongReward(
            name="overlong",
            longest=task.answer_tokens,
            buffer=max(1, task.answer_tokens // 4),
        ),
    }
    weights = {"correct": 1.0, **parse_json(task.reward_weights, "--reward-weights", dict)}
    unknown = sorted(set(weights) - set(known))
    if unknown:
        raise InputError(
            f"--reward-weights: there is no reward {unknown[0]!r} for text; use {', '.join(known)}"
        )
    return TextSum(
        rewards=tuple(known[name] for name in weights),
        weights=tuple(float(weight) for weight in weights.values()),
    )


def fingerprint(path: Path) -> str:
    """A hash of a data file, or of the files in a folder: a run goes on with the same data only."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{file} cannot be read: {reason}; check the path") from None
    return digest.hexdigest()


__all__ = ["Tokeniser", "characters", "fingerprint", "from_file", "named_reward", "split"]
