"""GUI grounding: screens, instructions, and where to point.

The functions `render` and `instruct` live in the modules of their names.
"""

from jaxrl_envs.gui.actions import decode_box, decode_point, encode_box
from jaxrl_envs.gui.env import GuiGround, GuiGroundParams, GuiGroundState
from jaxrl_envs.gui.instruct import instruction_text
from jaxrl_envs.gui.layout import (
    Layout,
    LayoutParams,
    ScreenConfig,
    layout_params,
    sample_layout,
)
from jaxrl_envs.gui.metrics import answer_metrics, grounding_metrics, group_spread

__all__ = [
    "GuiGround",
    "GuiGroundParams",
    "GuiGroundState",
    "Layout",
    "LayoutParams",
    "ScreenConfig",
    "answer_metrics",
    "decode_box",
    "decode_point",
    "encode_box",
    "group_spread",
    "grounding_metrics",
    "instruction_text",
    "layout_params",
    "sample_layout",
]
