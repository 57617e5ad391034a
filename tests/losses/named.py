"""Losses by the names that other trainers give them, with their options in one call."""

import functools

from jaxrl_rewards.learners.grpo import LOSSES
from jaxrl_rewards.losses import AGGREGATES, policy_metrics, token_mean

KINDS = tuple(LOSSES)
MODES = tuple(AGGREGATES)


def aggregate(loss, mask, mode="token-mean", norm=None, *, count_empty=False):
    """The aggregate called `mode` over `loss`."""
    function = AGGREGATES[mode]
    if mode == "seq-mean-token-sum-norm":
        function = functools.partial(function, norm=norm)
    elif mode.startswith("seq"):
        function = functools.partial(function, count_empty=count_empty)
    return function(loss, mask)


def policy_loss(
    log_prob, old, advantages, mask=None, *, kind="ppo", clip_low=0.2, clip_high=0.2,
    aggregation=None, norm=None, count_empty=False, **options,
):  # fmt: skip
    """`(loss, metrics)` of the loss called `kind`; control steps `[N]` are averaged over all."""
    function, usual = LOSSES[kind]
    options = {name: value for name, value in options.items() if value is not None}
    tokens = function(log_prob, old, advantages, mask, (clip_low, clip_high), **options)
    metrics = policy_metrics(tokens, mask)
    if aggregation is not None:
        return aggregate(tokens.loss, mask, aggregation, norm, count_empty=count_empty), metrics
    if tokens.loss.ndim < 2:
        return token_mean(tokens.loss, mask), metrics
    usual = functools.partial(usual, count_empty=True) if count_empty else usual
    return usual(tokens.loss, mask), metrics
