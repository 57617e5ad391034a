"""Learning to point with coordinate tokens: from labels, and from rewards of sampled answers.

Source: Tang et al., GUI-G², 2025, arXiv 2507.15846.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxrl_rewards.credit.group import group_advantages, reward_spread
from jaxrl_rewards.losses import clipped_surrogate, kl_estimate, token_mean
from jaxrl_rewards.networks.box_tokens import (
    features,
    init_policy,
    policy_logits,
    sample_tokens,
    token_log_probs,
)
from jaxrl_rewards.networks.mlp import Dense


def fit_box_tokens(
    key: jax.Array,
    labelled: Callable[[jax.Array], tuple[Float[Array, "B 4"], Int[Array, "B 4"]]],
    *,
    hidden: int,
    bins: int,
    screen: float,
    steps: int,
    learning_rate: float,
) -> tuple[list[Dense], Float[Array, "steps"]]:
    """A policy trained on labels, and its loss per step.

    `labelled(key)` gives targets in pixels and their label tokens. Labels that miss make the
    policy confident and wrong, as a model that transfers badly to a new screen is. Cross-entropy
    of the four tokens, Adam with a cosine decay to 0.
    """
    key_init, key_data = jax.random.split(key)
    params = init_policy(key_init, hidden, bins)
    optimiser = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def loss(params, batch):
        targets, labels = batch
        logits = policy_logits(params, features(targets, screen))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    def step(carry, key):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params, labelled(key))
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(params, updates), state), value

    keys = jax.random.split(key_data, steps)
    (params, _), losses = jax.lax.scan(step, (params, optimiser.init(params)), keys)
    return params, losses


def box_batch(
    key: jax.Array,
    reference: list[Dense],
    draw: Callable[[jax.Array, int], Float[Array, "P 4"]],
    prompts: int,
    answers: int,
    *,
    screen: float,
    temperature: float,
) -> dict[str, Array]:
    """What `box_group_loss` needs, with `targets` `[P, 4]` and standard normal `noise` `[P, N]`."""
    key_target, key_token, key_noise = jax.random.split(key, 3)
    targets = draw(key_target, prompts)
    inputs = features(targets, screen)
    shape = (prompts, answers)
    return {
        "targets": targets,
        "inputs": inputs,
        "ref_logits": policy_logits(reference, inputs) / temperature,
        "uniform": jax.random.uniform(key_token, (*shape, 4), dtype=jnp.float32),
        "noise": jax.random.normal(key_noise, shape, dtype=jnp.float32),
    }


def box_group_loss(
    params: list[Dense],
    score: Callable[[Int[Array, "P N 4"]], Float[Array, "P N"]],
    batch: dict[str, Array],
    temperature: float,
    kl_weight: float,
) -> tuple[Array, dict[str, Array]]:
    """`(loss, metrics)` of one GRPO step on `N` fresh answers to each of `P` targets.

    `batch` holds the policy's `inputs` `[P, F]`, `ref_logits` `[P, 4, bins]` of the reference at
    this temperature, and `uniform` `[P, N, 4]` in [0, 1), which decides the answers. With one step
    per batch the sampling policy is the current one, so answers are drawn inside, in one forward
    pass, and the importance ratio is 1 (its gradient is not).
    """
    logits = policy_logits(params, batch["inputs"]) / temperature
    tokens = sample_tokens(jax.lax.stop_gradient(logits), batch["uniform"])
    log_prob = token_log_probs(logits, tokens)
    ref_log_prob = token_log_probs(batch["ref_logits"], tokens)
    rewards = score(tokens)
    advantage = jax.vmap(lambda s: group_advantages(s, epsilon=1e-4))(rewards)
    flat = log_prob.reshape(-1, 4)
    loss = token_mean(clipped_surrogate(flat, flat, advantage.reshape(-1)).loss)
    divergence = jnp.mean(kl_estimate(log_prob, ref_log_prob, "k3"))
    metrics = {"groups with spread": reward_spread(rewards), "kl": divergence}
    return loss + kl_weight * divergence, metrics
