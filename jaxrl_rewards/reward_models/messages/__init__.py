"""Reward models over text messages, learnt from labels that arrive during training."""

from jaxrl_rewards.reward_models.messages.characters import (
    TextNetwork,
    apply_text_network,
    encode_texts,
    init_text_network,
)
from jaxrl_rewards.reward_models.messages.models import (
    Classifier,
    Ranker,
    TextModelConfig,
    TextModelState,
    make_classifier,
    make_ranker,
)
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
    find_classification_label,
    find_ranking_label,
    group_messages,
    labels_disagree,
    next_annotation_batch,
    parse_classification_label,
    parse_ranking_label,
)

__all__ = [
    "Classifier",
    "MessageReward",
    "Ranker",
    "ScoreMoments",
    "TextModelConfig",
    "TextModelState",
    "TextNetwork",
    "apply_text_network",
    "classification_reward",
    "count_penalty",
    "encode_texts",
    "find_classification_label",
    "find_ranking_label",
    "group_messages",
    "init_score_moments",
    "init_text_network",
    "labels_disagree",
    "make_classifier",
    "make_ranker",
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
