"""Rewards for text, on the host: strings in, `Scores(total, terms)` out; JAX is not imported.

Each reward is a frozen record that is called with a completion and its row. `jaxrl_rewards.hosts`
turns any of them into the callables of other trainers; `rewards.text.jitted` holds their twins on
arrays, for compiled programs. Names load on first use.
"""

from typing import TYPE_CHECKING

from jaxrl_rewards.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxrl_rewards.rewards.text import (
        answers,
        compare,
        extract,
        groups,
        gui_g2,
        jitted,
        length,
        numbers,
        places,
        repetition,
        scores,
        tags,
        units,
        values,
    )
    from jaxrl_rewards.rewards.text.answers import (
        AnswerReward,
        NumberReward,
        answer_reward,
    )
    from jaxrl_rewards.rewards.text.compare import (
        same_answer,
    )
    from jaxrl_rewards.rewards.text.extract import (
        extract_answer,
    )
    from jaxrl_rewards.rewards.text.groups import (
        normalise_groups,
        sum_normalised,
        teaching_share,
    )
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
    from jaxrl_rewards.rewards.text.places import (
        Place,
        from_resized,
        read_place,
        smart_resize,
    )
    from jaxrl_rewards.rewards.text.repetition import (
        RepetitionReward,
        repeated_share,
    )
    from jaxrl_rewards.rewards.text.scores import (
        FunctionTextReward,
        Scores,
        TextReward,
        TextSum,
        as_reward,
        text_of,
    )
    from jaxrl_rewards.rewards.text.tags import (
        TagsReward,
        tags_reward,
    )

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
    "answers",
    "as_reward",
    "compare",
    "cosine_length_reward",
    "coverage_score",
    "extract",
    "extract_answer",
    "format_box",
    "format_reward",
    "from_resized",
    "groups",
    "gui_g2",
    "gui_g2_reward",
    "jitted",
    "length",
    "normalise_groups",
    "numbers",
    "overlong_reward",
    "parse_box",
    "places",
    "point_score",
    "read_place",
    "repeated_share",
    "repetition",
    "same_answer",
    "score_completion",
    "scores",
    "smart_resize",
    "sum_normalised",
    "tags",
    "tags_reward",
    "teaching_share",
    "text_of",
    "units",
    "values",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "answers": (
                "AnswerReward",
                "NumberReward",
                "answer_reward",
            ),
            "compare": ("same_answer",),
            "extract": ("extract_answer",),
            "groups": (
                "normalise_groups",
                "sum_normalised",
                "teaching_share",
            ),
            "gui_g2": (
                "GuiG2Reward",
                "answer_of",
                "coverage_score",
                "format_box",
                "format_reward",
                "gui_g2_reward",
                "parse_box",
                "point_score",
                "score_completion",
            ),
            "length": (
                "CosineLengthReward",
                "OverlongReward",
                "cosine_length_reward",
                "overlong_reward",
            ),
            "places": (
                "Place",
                "from_resized",
                "read_place",
                "smart_resize",
            ),
            "repetition": (
                "RepetitionReward",
                "repeated_share",
            ),
            "scores": (
                "FunctionTextReward",
                "Scores",
                "TextReward",
                "TextSum",
                "as_reward",
                "text_of",
            ),
            "tags": (
                "TagsReward",
                "tags_reward",
            ),
        },
        submodules=(
            "answers",
            "compare",
            "extract",
            "groups",
            "gui_g2",
            "jitted",
            "length",
            "numbers",
            "places",
            "repetition",
            "scores",
            "tags",
            "units",
            "values",
        ),
    )
