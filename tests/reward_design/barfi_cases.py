"""Small episodes, rewards, policies and sizes for the tests of BARFI."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.reward_design import barfi, barfi_loop
from jaxrl_rewards.studies.barfi import arms as barfi_arms
from jaxrl_rewards.studies.barfi import study

TINY = barfi_loop.BarfiConfig(
    warmup_rounds=2,
    rounds=3,
    episodes_per_round=2,
    inner_steps=2,
    switch_steps=1,
    buffer_episodes=6,
    outer_batch=3,
    neumann_loops=2,
)


def episodes(seed=0, batch=3, horizon=5, size=2, terms=2, actions=3):
    draw = np.random.default_rng(seed)
    length = draw.integers(1, horizon + 1, (batch, 1))
    return barfi.Episodes(
        features=jnp.asarray(draw.standard_normal((batch, horizon, size)), jnp.float32),
        actions=jnp.asarray(draw.integers(0, actions, (batch, horizon)), jnp.int32),
        primary=jnp.asarray(draw.standard_normal((batch, horizon)), jnp.float32),
        auxiliary=jnp.asarray(draw.standard_normal((batch, horizon, terms)), jnp.float32),
        mask=jnp.asarray(np.arange(horizon) < length, jnp.float32),
    )


def reward(seed=0, size=2, terms=2):
    draw = np.random.default_rng(seed)
    return barfi.AlignedReward(
        kernel=jnp.asarray(draw.standard_normal((size, 1 + terms)), jnp.float32),
        bias=jnp.asarray(draw.standard_normal(1 + terms), jnp.float32),
        discount_logit=jnp.float32(1.0),
    )


def policy(size=2, actions=3):
    draw = np.random.default_rng(7)
    return barfi.LinearPolicy(
        kernel=jnp.asarray(0.3 * draw.standard_normal((size, actions)), jnp.float32),
        bias=jnp.asarray(0.3 * draw.standard_normal(actions), jnp.float32),
    )


def settings_of(learner, **changes):
    arm = dataclasses.replace(barfi_arms.ARMS["B: wrong weights, BARFI"], **changes)
    keys = jax.random.split(jax.random.key(0), 1)
    settings = barfi_arms.arm_settings(learner, arm, study.BarfiStudyConfig(), keys)
    return jax.tree.map(lambda leaf: leaf[0], settings)
