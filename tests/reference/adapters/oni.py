"""Names, shapes and conventions of the vectors of rewards from annotated messages."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.reward_models.messages import ranking, reward, text
from tests.reference.vectors import number_array


def _f32(value: Any) -> Any:
    return jnp.asarray(number_array(value), jnp.float32)


def _moments(x):
    moments = ranking.init_score_moments(x["epsilon"])
    for batch in x["batches"]:
        moments = ranking.update_score_moments(moments, _f32(batch))
    return {"mean": moments.mean[None], "var": moments.var[None], "count": moments.count}


def _ranking_loss(x):
    loss, accuracy = ranking.ranking_loss(_f32(x["rewards"]), np.asarray(x["labels"], np.int32))
    return {"loss": loss, "accuracy": accuracy}


def _retrieval(x):
    """Texts become ids on the host; a text outside the table gets an id without a label."""
    texts = ["", *x["label_table"]]
    ids = [texts.index(m) if m in texts else len(texts) for m in x["messages"]]
    labels = _f32([0.0, *x["label_table"].values(), 0.0])
    known = jnp.asarray([False, *[True] * len(x["label_table"]), False])
    intrinsic = reward.retrieval_reward(
        labels, known, jnp.asarray(ids), _f32(x["episodic_counts"]), x["beta"]
    )
    total = reward.total_reward(
        _f32(x["extrinsic"]), intrinsic, x["extrinsic_coef"], x["intrinsic_coef"]
    )
    return {"reward": total}


def _classification(x):
    value, probability = reward.classification_reward(_f32(x["logits"]), x["threshold"])
    return {"reward": value, "prob": probability}


def _ranking(x):
    value = reward.ranking_reward(
        _f32(x["raw"]),
        x["mean"],
        x["var"],
        x["threshold"],
        _f32(x["episodic_counts"]),
        x["beta"],
    )
    return {"intrinsic": value}


ADAPTERS = {
    "parse_classification_label": lambda x: {
        "label": text.parse_classification_label(x["response"])
    },
    "parse_ranking_label": lambda x: {"label": text.parse_ranking_label(x["response"])},
    "group_messages": lambda x: text.group_messages(x["messages"]),
    "next_annotation_batch": lambda x: text.next_annotation_batch(x["queue"], x["batch_size"]),
    "running_mean_std": _moments,
    "ranking_loss": _ranking_loss,
    "classification_reward": _classification,
    "ranking_reward": _ranking,
    "retrieval_reward": _retrieval,
}
