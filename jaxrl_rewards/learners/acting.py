"""A network bound to its parameters as a policy that acts in worlds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrl_rewards.core import EnvSpec, Trajectories
from jaxrl_rewards.learners.action_head import ActionHead
from jaxrl_rewards.networks.actor_critic import ActorCritic
from jaxrl_rewards.rollout.collect import Decision, Policy

INVALID = -1e9
"""Logit of an action that is not allowed."""


def actor_critic_policy(
    params: Any,
    network: ActorCritic,
    head: ActionHead,
    spec: EnvSpec,
    see: Callable[[Any], Any],
) -> Policy:
    """Samples actions and values; `see(obs)` gives what the network is shown."""

    def act(noise: Any, obs: Any, carry: Any) -> Decision:
        output, value, carry = network.apply(params, see(obs), carry)
        action, log_prob = head.draw(noise, masked(output, valid_actions(spec, obs)))
        return Decision(action, log_prob, value, carry)

    def value(obs: Any, carry: Any) -> Array:
        return network.critic(params, see(obs), carry)

    return Policy(head.noise, act, head.to_env, network.initial_carry(), network.restart, value)


def actor_policy(
    params: Any, network: ActorCritic, head: ActionHead, spec: EnvSpec, temperature: Array
) -> Policy:
    """Samples actions at a temperature; log-probabilities `[B, K]`, one per component."""

    def act(noise: Any, obs: Any, carry: Any) -> Decision:
        output, carry = network.actor(params, obs, carry)
        output = head.temper(masked(output, valid_actions(spec, obs)), temperature)
        action, _ = head.draw(noise, output)
        return Decision(action, head.token_log_prob(output, action), (), carry)

    def read(obs: Any, valid: Array) -> Any:
        return network.read(params, obs, valid)

    return Policy(
        head.noise,
        act,
        head.to_env,
        network.initial_carry(),
        network.restart,
        read=None if network.read is None else read,
    )


def valid_actions(spec: EnvSpec, obs: Any, lead: int = 1) -> Any:
    """Which actions the world allows, bool `[*lead, n]`; () where it allows all."""
    if spec.valid_actions is None:
        return ()
    allowed = spec.valid_actions
    for _ in range(lead):
        allowed = jax.vmap(allowed)
    return allowed(obs)


def masked(output: Array, valid: Any) -> Array:
    """Logits with those of forbidden actions out of reach."""
    return output if isinstance(valid, tuple) else jnp.where(valid, output, INVALID)


def unrolled(network: ActorCritic, params: Any, played: Trajectories) -> tuple[Array, Array]:
    """`(output, value)` `[B, T, ...]` of whole sequences `[B, T, ...]`, in one pass.

    Networks with memory start from its beginning: for sequences that are whole episodes.
    """
    if not network.recurrent:
        output, value = network.unroll(params, played.obs, (), None)
        return masked(output, played.valid), value
    time_first = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), (played.obs, played.done))
    output, value = network.unroll(params, time_first[0], None, time_first[1])
    output, value = jnp.moveaxis(output, 1, 0), jnp.moveaxis(value, 1, 0)
    return masked(output, played.valid), value


def acting(
    network: ActorCritic,
    head: ActionHead,
    spec: EnvSpec,
    prepare: Callable[[Any, Any], Any],
    temper: Callable[[Any, Array], Array] = lambda state, output: output,
) -> Callable[..., Any]:
    """`act(state, obs, carry, key, deterministic=True) -> (action, carry)` of a `Learner`.

    `prepare(state, obs)` gives what the network is shown, `temper(state, output)` what actions are
    drawn from.
    """

    def act(state: Any, obs: Any, carry: Any, key: Any, deterministic: bool = True):
        carry = network.initial_carry() if carry is None else carry
        output, carry = network.actor(state.params, prepare(state, obs), carry)
        output = masked(output, valid_actions(spec, obs, lead=0))
        action = head.mode(output) if deterministic else head.sample(key, temper(state, output))[0]
        return head.to_env(action), carry

    return act
