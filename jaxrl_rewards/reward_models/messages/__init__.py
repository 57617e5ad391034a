"""Reward models over text messages, learnt from labels that arrive during training."""

from jaxrl_rewards.reward_models.messages.ranking import (
    ScoreMoments,
    init_score_moments,
    ranking_loss,
    update_score_moments,
)
from jaxrl_rewards.reward_models.messages.reward import (
    MessageReward,
    classification_reward,
    count_penalty,
    ranking_reward,
    ranking_score,
    retrieval_reward,
    total_reward,
    unlabelled,
)
from jaxrl_rewards.reward_models.messages.text import (
    group_messages,
    next_annotation_batch,
    parse_classification_label,
    parse_ranking_label,
)

__all__ = [
    "MessageReward",
    "ScoreMoments",
    "classification_reward",
    "count_penalty",
    "group_messages",
    "init_score_moments",
    "next_annotation_batch",
    "parse_classification_label",
    "parse_ranking_label",
    "ranking_loss",
    "ranking_reward",
    "ranking_score",
    "retrieval_reward",
    "total_reward",
    "unlabelled",
    "update_score_moments",
]
