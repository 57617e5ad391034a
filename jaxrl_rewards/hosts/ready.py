"""Ready-made callables, to be named where a trainer takes a module, a file or a dotted path.

- TRL: `--reward_funcs jaxrl_rewards.hosts.ready.answer jaxrl_rewards.hosts.ready.tags`
- verl: `reward.custom_reward_function.path=FILE reward.custom_reward_function.name=compute_score`,
  where FILE is what `python -m jaxrl_rewards.hosts.ready` prints
- MaxText and tunix: `reward_functions_path=FILE reward_functions=tunix_answer`

Copy this file to change weights, tags or columns.
"""

from jaxrl_rewards.hosts.trl import trl_reward
from jaxrl_rewards.hosts.tunix import tunix_reward
from jaxrl_rewards.hosts.verl import verl_score
from jaxrl_rewards.rewards.text import (
    AnswerReward,
    GuiG2Reward,
    OverlongReward,
    RepetitionReward,
    TagsReward,
    TextSum,
)

ANSWER_AND_FORM = TextSum(rewards=(AnswerReward(), TagsReward()), weights=(1.0, 0.1))

answer = trl_reward(AnswerReward())
tags = trl_reward(TagsReward())
overlong = trl_reward(OverlongReward(longest=4096, buffer=512))
repetition = trl_reward(RepetitionReward())
gui_g2 = trl_reward(GuiG2Reward())

compute_score = verl_score(ANSWER_AND_FORM)
compute_gui_score = verl_score(GuiG2Reward())

tunix_answer = tunix_reward(AnswerReward())
tunix_gui_g2 = tunix_reward(GuiG2Reward())

if __name__ == "__main__":
    print(__file__)
