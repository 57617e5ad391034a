"""Small learners and a world that obey the contracts, for tests of the training loop."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_rewards.core import Box, Discrete, EnvSpec, TimeStep, first_timestep, record
from jaxrl_rewards.learners.api import Learner, LearnerState

BATCH, FEATURES, HIDDEN = 32, 6, 16


@record
class ToyHparams:
    learning_rate: Any
    poison_after: Any
    """Updates from this one on meet a gradient that is not finite."""


def default_hparams(**changes: Any) -> ToyHparams:
    return ToyHparams(learning_rate=0.05, poison_after=1_000_000).replace(**changes)


def make_regression(hidden: int = HIDDEN) -> Learner:
    """A two-layer network fitted to a drifting batch by SGD with momentum.

    The environment state is a batch of inputs that is renewed from its key at each update, so a
    run exercises parameters, momentum, worlds, statistics and keys.
    """

    def init(key, hparams):
        key, first, second, data = jax.random.split(key, 4)
        params = {
            "first": jax.random.normal(first, (FEATURES, hidden)) / FEATURES**0.5,
            "layers": (jax.random.normal(second, (hidden,)) / hidden**0.5,),
        }
        return LearnerState(
            params=params,
            opt_state=jax.tree.map(jnp.zeros_like, params),
            env_state={"inputs": jax.random.normal(data, (BATCH, FEATURES)), "count": 0},
            normaliser=(),
            statistics={"errors": jnp.zeros((BATCH,))},
            skipped=jnp.int32(0),
            key=key,
            step=jnp.int32(0),
        )

    def update(state, hparams):
        key, noise = jax.random.split(state.key)
        inputs = state.env_state["inputs"]
        target = jnp.sin(inputs).sum(-1)

        def loss_of(params):
            hidden_units = jnp.tanh(inputs @ params["first"])
            errors = hidden_units @ params["layers"][0] - target
            return jnp.mean(errors**2), errors

        (loss, errors), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        poison = jnp.where(state.step >= hparams.poison_after, jnp.nan, 0.0)
        grads = jax.tree.map(lambda g: g + poison, grads)
        finite = jnp.stack([jnp.isfinite(g).all() for g in jax.tree.leaves(grads)]).all()
        momentum = jax.tree.map(lambda m, g: 0.9 * m + g, state.opt_state, grads)
        params = jax.tree.map(lambda p, m: p - hparams.learning_rate * m, state.params, momentum)
        params, momentum = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (params, momentum),
            (state.params, state.opt_state),
        )
        moved = 0.9 * inputs + 0.4 * jax.random.normal(noise, inputs.shape)
        new = state.replace(
            params=params,
            opt_state=momentum,
            env_state={"inputs": moved, "count": state.env_state["count"] + 1},
            statistics={"errors": 0.9 * state.statistics["errors"] + 0.1 * jnp.abs(errors)},
            skipped=state.skipped + (~finite).astype(jnp.int32),
            key=key,
            step=state.step + 1,
        )
        sometimes = jnp.where(state.step % 3 == 0, loss, jnp.nan)
        return new, {"loss": loss, "sometimes": sometimes, "error": jnp.abs(errors).mean()}

    def act(state, obs, carry, key, deterministic=True):
        return jnp.tanh(obs @ state.params["first"]) @ state.params["layers"][0], carry

    return Learner(init, update, BATCH, default_hparams(), act)


def make_slow_regression(seconds: float = 0.0) -> Learner:
    """The same learner with a pause on the host in each update, to be killed in mid-chunk."""
    learner = make_regression()

    def pause(step):
        time.sleep(seconds)
        return step

    def update(state, hparams):
        shape = jax.ShapeDtypeStruct((), jnp.int32)
        step = jax.pure_callback(pause, shape, state.step)
        return learner.update(state.replace(step=step), hparams)

    return learner._replace(update=update)


@dataclasses.dataclass(frozen=True)
class CountDown:
    """Episode of `obs[0]` steps; action 1 earns 1, action 0 earns 0; success when it ends at 0.

    Acting after the end gives NaN rewards, so a sum that counts such steps is spoilt.
    """

    spec: EnvSpec = EnvSpec(
        name="count-down",
        observation_space=Box(0.0, 100.0, (1,)),
        action_space=Discrete(2),
        max_steps=20,
        term_names=("work",),
    )

    def default_params(self):
        return {"shortest": 3, "longest": 9}

    def reset(self, key, params):
        left = jax.random.randint(key, (), params["shortest"], params["longest"] + 1)
        obs = left[None].astype(jnp.float32)
        return left, first_timestep(obs, ("work",), {"success": jnp.zeros((), bool)})

    def step(self, key, state, action, params):
        left = state - 1
        over = left < 0
        reward = jnp.where(over, jnp.nan, action.astype(jnp.float32))
        obs = left[None].astype(jnp.float32)
        done = left == 0
        return left, TimeStep(
            obs=obs,
            reward=reward,
            terms={"work": 2.0 * reward},
            applicable={"work": jnp.ones((), bool)},
            terminated=done,
            truncated=jnp.zeros((), bool),
            final_obs=obs,
            info={"success": done},
        )


def make_counter_policy(recurrent: bool = False) -> Learner:
    """A policy for `CountDown`: always 1, or with `recurrent` 1 on every second step."""

    def act(state, obs, carry, key, deterministic=True):
        if not recurrent:
            action = jnp.int32(1)
            return jnp.where(deterministic, action, jax.random.bernoulli(key).astype(int)), carry
        carry = jnp.int32(0) if carry is None else carry
        return carry % 2, carry + 1

    return make_regression()._replace(act=act)
