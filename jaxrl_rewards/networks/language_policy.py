"""A decoder as an actor-critic on token worlds: the text is the memory, a token is an action.

    network = decoder_actor_critic(config)
    make_group(env, group_config, network=network)      # also make_ppo

An observation is the token that the text has gained (int32, or a dict with it under "token"). The
carry is the cache, an episode's end sets its length to 0, and `unroll` is one teacher-forced pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.networks.actor_critic import ActorCritic
from jaxrl_rewards.networks.decoder import (
    Cache,
    DecoderConfig,
    decode,
    empty_cache,
    head,
    in_parts,
    init_decoder,
    read_prompt,
    teacher_forced,
)
from jaxrl_rewards.networks.decoder_partition import decoder_partition

Params = dict[str, Any]
Trunk = Callable[[Any], Params]


def observed_token(obs: Any) -> Int[Array, "..."]:
    """The token of an observation: itself, or its part called "token"."""
    return obs["token"] if isinstance(obs, dict) else obs


def decoder_actor_critic(
    config: DecoderConfig,
    *,
    dtype: Any = jnp.float32,
    trunk: Trunk | None = None,
    init: Callable[[jax.Array], Any] | None = None,
) -> ActorCritic:
    """Policy and value network on one decoder.

    Parameters are `{"decoder": ..., "value": {"kernel": [width], "bias": []}}`; the value head
    starts at 0. `trunk(params["decoder"])` gives the weights that run where those that are learnt
    are others (adapters, `networks.lora`), with `init(key)` to make them. Leading axes of `apply`
    are one axis of rows.
    """
    weights_of = trunk or (lambda params: params)
    init = init or (lambda key: init_decoder(key, config, dtype))

    def start(key: jax.Array) -> Params:
        return {"decoder": init(key), "value": init_value_head(config)}

    def one(params: Params, obs: Any, carry: Cache) -> tuple[Params, Array, Cache]:
        weights = weights_of(params["decoder"])
        return weights, *_next(weights, config, observed_token(obs), carry)

    def apply(params: Params, obs: Any, carry: Cache) -> tuple[Array, Array, Cache]:
        weights, hidden, carry = one(params, obs, carry)
        return head(weights, config, hidden), value_of(params["value"], hidden), carry

    def actor(params: Params, obs: Any, carry: Cache) -> tuple[Array, Cache]:
        weights, hidden, carry = one(params, obs, carry)
        return head(weights, config, hidden), carry

    def critic(params: Params, obs: Any, carry: Cache) -> Float[Array, "N"]:
        return value_of(params["value"], one(params, obs, carry)[1])

    def unroll(
        params: Params, obs: Any, carry: Cache | None, done: Bool[Array, "T N"] | None
    ) -> tuple[Float[Array, "T N V"], Float[Array, "T N"]]:
        weights, tokens = weights_of(params["decoder"]), observed_token(obs).T
        begins = None if done is None else after_ends(done.T)

        def read(rows: Any) -> tuple[Array, Array]:
            tokens, begins, carry = rows
            hidden, _ = teacher_forced(weights, config, tokens, begins=begins, cache=carry)
            return head(weights, config, hidden), value_of(params["value"], hidden)

        logits, value = in_parts(read, (tokens, begins, carry), tokens.shape[1])
        return jnp.moveaxis(logits, 0, 1), jnp.moveaxis(value, 0, 1)

    def initial_carry() -> Cache:
        return jax.tree.map(lambda leaf: leaf[0], empty_cache(config, 1, dtype))

    def read(params: Params, obs: Any, valid: Bool[Array, "N T"]) -> Cache:
        return read_prompt(weights_of(params["decoder"]), config, observed_token(obs), valid)

    return ActorCritic(
        start,
        apply,
        actor,
        critic,
        initial_carry,
        unroll,
        _emptied,
        recurrent=True,
        read=read,
        partition=decoder_partition(),
    )


def _emptied(carry: Cache, done: Bool[Array, "N"]) -> Cache:
    """Nothing read yet where `done`."""
    return carry.replace(length=jnp.where(done, 0, carry.length))


def _next(
    weights: Params, config: DecoderConfig, token: Int[Array, "..."], carry: Cache
) -> tuple[Float[Array, "... D"], Cache]:
    """Hidden state and memory after one more token; of one row where the token is a scalar."""
    single = token.ndim == 0  # an unbatched observation, of a policy that is asked by itself
    rows = jax.tree.map(lambda leaf: leaf[None], (token, carry)) if single else (token, carry)
    hidden, cache = decode(weights, config, rows[0][:, None], rows[1])
    found = (hidden[:, 0], cache)
    return jax.tree.map(lambda leaf: leaf[0], found) if single else found


def init_value_head(config: DecoderConfig) -> Params:
    """A value head that says 0."""
    return {"kernel": jnp.zeros((config.width,), jnp.float32), "bias": jnp.zeros((), jnp.float32)}


def value_of(weights: Params, hidden: Float[Array, "... D"]) -> Float[Array, "..."]:
    """A linear value or reward of every hidden state, float32."""
    return jnp.matmul(hidden.astype(jnp.float32), weights["kernel"]) + weights["bias"]


def after_ends(done: Bool[Array, "N T"]) -> Bool[Array, "N T"]:
    """Where an episode begins after the end of another."""
    return jnp.concatenate([jnp.zeros_like(done[:, :1]), done[:, :-1]], axis=1)
