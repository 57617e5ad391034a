"""From rewards to advantages."""

from jaxrl_rewards.credit.dumps import TokenDump, read_token_dump, write_token_dump
from jaxrl_rewards.credit.gae import (
    gae,
    lambda_returns,
    token_gae,
)
from jaxrl_rewards.credit.group import (
    group_advantages,
    multi_reward_advantages,
    reinforce_plus_plus,
    reinforce_plus_plus_baseline,
    remax,
    reward_spread,
    rloo_advantages,
    segment_advantages,
)
from jaxrl_rewards.credit.normalise import masked_mean, masked_sum, masked_var, masked_whiten
from jaxrl_rewards.credit.outcome import Credit, answer_scores, group_relative
from jaxrl_rewards.credit.penalties import adaptive_coefficient, overlong_penalty, token_rewards

__all__ = [
    "Credit",
    "TokenDump",
    "adaptive_coefficient",
    "answer_scores",
    "gae",
    "group_advantages",
    "group_relative",
    "lambda_returns",
    "masked_mean",
    "masked_sum",
    "masked_var",
    "masked_whiten",
    "multi_reward_advantages",
    "overlong_penalty",
    "read_token_dump",
    "reinforce_plus_plus",
    "reinforce_plus_plus_baseline",
    "remax",
    "reward_spread",
    "rloo_advantages",
    "segment_advantages",
    "token_gae",
    "token_rewards",
    "write_token_dump",
]
