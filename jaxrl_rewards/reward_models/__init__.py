"""Learnt rewards: heads, objectives and the models of text messages."""

from typing import TYPE_CHECKING

from jaxrl_rewards.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxrl_rewards.reward_models import messages
    from jaxrl_rewards.reward_models.implicit import (
        batch_normalise,
        check_outcomes,
        groups,
        implicit_cross_entropy,
        implicit_logits,
        implicit_preference,
        implicit_rewards,
        log_ratios,
        pairwise_accuracy,
    )
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
    from jaxrl_rewards.reward_models.ranking import auc
    from jaxrl_rewards.reward_models.step_metrics import (
        answer_score,
        best_of_n,
        first_error,
        first_error_scores,
        step_f1,
    )

__all__ = [
    "answer_score",
    "best_of_n",
    "first_error",
    "first_error_scores",
    "step_f1",
    "auc",
    "Classifier",
    "MessageReward",
    "Ranker",
    "ScoreMoments",
    "TextModelConfig",
    "TextModelState",
    "TextNetwork",
    "apply_text_network",
    "batch_normalise",
    "check_outcomes",
    "classification_reward",
    "count_penalty",
    "encode_texts",
    "find_classification_label",
    "find_ranking_label",
    "group_messages",
    "groups",
    "implicit_cross_entropy",
    "implicit_logits",
    "implicit_preference",
    "implicit_rewards",
    "init_score_moments",
    "init_text_network",
    "labels_disagree",
    "log_ratios",
    "make_classifier",
    "make_ranker",
    "messages",
    "next_annotation_batch",
    "pairwise_accuracy",
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

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "implicit": (
                "batch_normalise",
                "check_outcomes",
                "groups",
                "implicit_cross_entropy",
                "implicit_logits",
                "implicit_preference",
                "implicit_rewards",
                "log_ratios",
                "pairwise_accuracy",
            ),
            "messages.characters": (
                "TextNetwork",
                "apply_text_network",
                "encode_texts",
                "init_text_network",
            ),
            "messages.models": (
                "Classifier",
                "Ranker",
                "TextModelConfig",
                "TextModelState",
                "make_classifier",
                "make_ranker",
            ),
            "messages.ranking": (
                "ScoreMoments",
                "init_score_moments",
                "ranking_loss",
                "update_score_moments",
            ),
            "messages.reward": (
                "MessageReward",
                "classification_reward",
                "count_penalty",
                "ranking_reward",
                "ranking_score",
                "retrieval_reward",
                "total_reward",
                "unlabelled",
            ),
            "messages.text": (
                "find_classification_label",
                "find_ranking_label",
                "group_messages",
                "labels_disagree",
                "next_annotation_batch",
                "parse_classification_label",
                "parse_ranking_label",
            ),
            "ranking": ("auc",),
            "step_metrics": (
                "answer_score",
                "best_of_n",
                "first_error",
                "first_error_scores",
                "step_f1",
            ),
        },
        submodules=("messages",),
    )
