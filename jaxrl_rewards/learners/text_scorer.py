"""A host's reward for text as a scorer: answers are decoded and judged once per batch.

score = text_scorer(AnswerReward(), tokenizer.decode, rows)
make_group(TextWorld(...), config, score=score, ...)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.learners.group import Scorer
from jaxrl_rewards.rewards.base import RewardOutput


def text_scorer(
    reward: Any,
    decode: Callable[[Sequence[int]], str],
    rows: Sequence[Mapping[str, Any]],
    *,
    stop: Sequence[int] = (),
) -> Scorer:
    """`reward(text, row) -> Scores` of every answer, at its last own token.

    Args:
      reward: a `rewards.text.TextReward`, e.g. a `TextSum`. Its `terms` become the terms; where it
        does not apply (NaN) the answer's score is unknown.
      decode: token numbers to text.
      rows: columns of the questions; `played.info["row"]` says which.
      stop: tokens that are left out of the text.

    Runs on the host through `jax.pure_callback`: everything of a batch in one call. What an answer
    is worth besides (the world's own reward) is added.
    """
    names = tuple(reward.terms)

    def judge(action: Any, own: Any, row: Any) -> np.ndarray:
        action, own, row = (np.asarray(value) for value in (action, own, row))
        found = np.full((*own.shape[:-1], 1 + len(names)), np.nan, np.float32)
        for place in np.ndindex(own.shape[:-1]):
            ids = [int(token) for token in action[place][own[place]] if token not in stop]
            columns = {**rows[int(row[place])], "completion_ids": ids}
            scores = reward(decode(ids), columns)
            found[place] = [scores.total, *(scores.terms.get(name, np.nan) for name in names)]
        return found

    def score(played: Trajectories, models: dict[str, Any], hparams: Any):
        lead = played.own.shape[:-1]
        row = played.info["row"][..., 0]
        shape = jax.ShapeDtypeStruct((*lead, 1 + len(names)), jnp.float32)
        found = jax.pure_callback(judge, shape, played.action, played.own, row)
        length = jnp.cumsum(played.own, axis=-1)
        last = played.own & (length == length[..., -1:])

        def placed(values: jax.Array) -> jax.Array:
            return jnp.where(last, values[..., None], 0.0)

        known = {name: jnp.isfinite(found[..., 1 + i]) for i, name in enumerate(names)}
        terms = {name: jnp.nan_to_num(found[..., 1 + i]) for i, name in enumerate(names)}
        output = RewardOutput(
            total=played.reward + placed(found[..., 0]),
            terms={**played.terms, **{name: placed(value) for name, value in terms.items()}},
            applicable={
                **played.applicable,
                **{name: last & value[..., None] for name, value in known.items()},
            },
        )
        return output, jnp.ones(lead[0], bool)

    return score
