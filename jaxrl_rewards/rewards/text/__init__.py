"""Rewards for text, on the host: strings in, `Scores(total, terms)` out; JAX is not imported.

Each reward is a frozen record that is called with a completion and its row. `jaxrl_rewards.hosts`
turns any of them into the callables of other trainers; `rewards.text.jitted` holds their twins on
arrays, for compiled programs.
"""

from jaxrl_rewards.rewards.text.answers import AnswerReward, NumberReward, answer_reward
from jaxrl_rewards.rewards.text.compare import same_answer
from jaxrl_rewards.rewards.text.extract import extract_answer
from jaxrl_rewards.rewards.text.groups import normalise_groups, sum_normalised, teaching_share
from jaxrl_rewards.rewards.text.gui_g2 import (
    GuiG2Reward,
    answer_of,
    coverage_score,
    format_box,
    format_reward,
    gui_g2_reward,
    parse_box,
    point_score,
    score_completion,
)
from jaxrl_rewards.rewards.text.length import (
    CosineLengthReward,
    OverlongReward,
    cosine_length_reward,
    overlong_reward,
)
from jaxrl_rewards.rewards.text.places import Place, from_resized, read_place, smart_resize
from jaxrl_rewards.rewards.text.repetition import RepetitionReward, repeated_share
from jaxrl_rewards.rewards.text.scores import (
    FunctionTextReward,
    Scores,
    TextReward,
    TextSum,
    as_reward,
    text_of,
)
from jaxrl_rewards.rewards.text.tags import TagsReward, tags_reward

__all__ = [
    "AnswerReward",
    "CosineLengthReward",
    "FunctionTextReward",
    "GuiG2Reward",
    "NumberReward",
    "OverlongReward",
    "Place",
    "RepetitionReward",
    "Scores",
    "TagsReward",
    "TextReward",
    "TextSum",
    "answer_of",
    "answer_reward",
    "as_reward",
    "cosine_length_reward",
    "coverage_score",
    "extract_answer",
    "format_box",
    "format_reward",
    "from_resized",
    "gui_g2_reward",
    "normalise_groups",
    "overlong_reward",
    "parse_box",
    "point_score",
    "read_place",
    "repeated_share",
    "same_answer",
    "score_completion",
    "smart_resize",
    "sum_normalised",
    "tags_reward",
    "teaching_share",
    "text_of",
]
