"""Rewards for text, on the host: strings in, `Scores(total, terms)` out; JAX is not imported.

Each reward is a frozen record that is called with a completion and its row. `jaxrl_rewards.hosts`
turns any of them into the callables of other trainers; `rewards.text.jitted` holds their twins on
arrays, for compiled programs.
"""

from typing import TYPE_CHECKING

from jaxrl_rewards.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxrl_rewards.rewards.text import jitted
    from jaxrl_rewards.rewards.text.answers import (
        AnswerReward,
        NumberReward,
        answer_reward,
        find_number,
    )
    from jaxrl_rewards.rewards.text.compare import same_answer
    from jaxrl_rewards.rewards.text.extract import (
        after_hashes,
        after_phrase,
        boxed,
        extract_answer,
        extract_inner,
        last_number,
        tagged,
    )
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
    from jaxrl_rewards.rewards.text.numbers import (
        Number,
        Unreadable,
        evaluate,
        exactly,
        same_number,
        variable,
    )
    from jaxrl_rewards.rewards.text.places import (
        Place,
        from_resized,
        read_place,
        read_target,
        size_of,
        smart_resize,
        to_pixels,
    )
    from jaxrl_rewards.rewards.text.repetition import RepetitionReward, repeated_share
    from jaxrl_rewards.rewards.text.scores import (
        FunctionTextReward,
        Scores,
        TextReward,
        TextSum,
        as_reward,
        as_scores,
        check_unit,
        is_asynchronous,
        length_of,
        target_of,
        text_of,
    )
    from jaxrl_rewards.rewards.text.tags import TagsReward, tags_reward
    from jaxrl_rewards.rewards.text.units import split_unit, unit_name, units_conflict
    from jaxrl_rewards.rewards.text.values import (
        Equation,
        Named,
        Ordered,
        Quantity,
        Several,
        Words,
        clean,
        read_value,
    )

__all__ = [
    "AnswerReward",
    "CosineLengthReward",
    "Equation",
    "FunctionTextReward",
    "GuiG2Reward",
    "Named",
    "Number",
    "NumberReward",
    "Ordered",
    "OverlongReward",
    "Place",
    "Quantity",
    "RepetitionReward",
    "Scores",
    "Several",
    "TagsReward",
    "TextReward",
    "TextSum",
    "Unreadable",
    "Words",
    "after_hashes",
    "after_phrase",
    "answer_of",
    "answer_reward",
    "as_reward",
    "as_scores",
    "boxed",
    "check_unit",
    "clean",
    "cosine_length_reward",
    "coverage_score",
    "evaluate",
    "exactly",
    "extract_answer",
    "extract_inner",
    "find_number",
    "format_box",
    "format_reward",
    "from_resized",
    "gui_g2_reward",
    "is_asynchronous",
    "jitted",
    "last_number",
    "length_of",
    "normalise_groups",
    "overlong_reward",
    "parse_box",
    "point_score",
    "read_place",
    "read_target",
    "read_value",
    "repeated_share",
    "same_answer",
    "same_number",
    "score_completion",
    "size_of",
    "smart_resize",
    "split_unit",
    "sum_normalised",
    "tagged",
    "tags_reward",
    "target_of",
    "teaching_share",
    "text_of",
    "to_pixels",
    "unit_name",
    "units_conflict",
    "variable",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "answers": ("AnswerReward", "NumberReward", "answer_reward", "find_number"),
            "compare": ("same_answer",),
            "extract": (
                "after_hashes",
                "after_phrase",
                "boxed",
                "extract_answer",
                "extract_inner",
                "last_number",
                "tagged",
            ),
            "groups": ("normalise_groups", "sum_normalised", "teaching_share"),
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
            "numbers": ("Number", "Unreadable", "evaluate", "exactly", "same_number", "variable"),
            "places": (
                "Place",
                "from_resized",
                "read_place",
                "read_target",
                "size_of",
                "smart_resize",
                "to_pixels",
            ),
            "repetition": ("RepetitionReward", "repeated_share"),
            "scores": (
                "FunctionTextReward",
                "Scores",
                "TextReward",
                "TextSum",
                "as_reward",
                "as_scores",
                "check_unit",
                "is_asynchronous",
                "length_of",
                "target_of",
                "text_of",
            ),
            "tags": ("TagsReward", "tags_reward"),
            "units": ("split_unit", "unit_name", "units_conflict"),
            "values": (
                "Equation",
                "Named",
                "Ordered",
                "Quantity",
                "Several",
                "Words",
                "clean",
                "read_value",
            ),
        },
        submodules=("jitted",),
    )
