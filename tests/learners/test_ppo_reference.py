"""One PPO update against a slow float64 evaluation with hand-written gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.learners.ppo import PPOConfig, make_ppo
from jaxrl_rewards.networks.actor_critic import mlp_actor_critic
from tests.learners.toys import Corridor, arrays, rollout

WORLDS, STEPS, LIMIT = 4, 12, 4


def config(epochs, **changes):
    return PPOConfig(
        num_envs=WORLDS, unroll_length=STEPS, num_epochs=epochs, num_minibatches=1, hidden=(5,),
        clip_per_network=False, **changes,
    )  # fmt: skip


def forward(layers, x):
    """Output and hidden values of a tanh network with one hidden layer."""
    hidden = np.tanh(x @ layers[0]["kernel"] + layers[0]["bias"])
    return hidden @ layers[1]["kernel"] + layers[1]["bias"], hidden


def backward(layers, x, hidden, upstream):
    raw = upstream @ layers[1]["kernel"].T * (1.0 - hidden**2)
    return [
        {"kernel": x.T @ raw, "bias": raw.sum(0)},
        {"kernel": hidden.T @ upstream, "bias": upstream.sum(0)},
    ]


def replay(collected, x, time, weights):
    """What happened, from the actions alone: rewards, ends, successors; new starts from `obs`."""
    reward, terminated, truncated = (np.zeros((STEPS, WORLDS)) for _ in range(3))
    successor = np.zeros((STEPS, WORLDS, 2))
    seen, action = np.asarray(collected.obs, np.float64), np.asarray(collected.action)
    for t in range(STEPS):
        for b in range(WORLDS):
            np.testing.assert_allclose(seen[t, b], [x[b], 0.25 * time[b]], atol=1e-6)
            x[b] += 0.5 * (2 * action[t, b] - 1)
            time[b] += 1
            reward[t, b] = weights[0] * x[b] + weights[1] * action[t, b]
            successor[t, b] = x[b], 0.25 * time[b]
            terminated[t, b] = abs(x[b]) > 1.0
            truncated[t, b] = time[b] >= LIMIT
            if terminated[t, b] or truncated[t, b]:
                time[b] = 0
                if t + 1 < STEPS:
                    x[b] = seen[t + 1, b, 0]
    return reward, terminated, truncated, successor


def advantages(params, obs, reward, terminated, truncated, successor, h, time_limits):
    value = forward(params["critic"], obs)[0][..., 0]
    after = forward(params["critic"], successor)[0][..., 0]
    if time_limits == "termination":
        terminated = np.maximum(terminated, truncated)
    advantage, following = np.zeros_like(value), np.zeros(WORLDS)
    for t in reversed(range(STEPS)):
        delta = reward[t] + h["discount"] * (1 - terminated[t]) * after[t] - value[t]
        cut = 1 - np.maximum(terminated[t], truncated[t])
        following = delta + h["discount"] * h["trace_decay"] * cut * following
        advantage[t] = following
    return advantage, advantage + value, value


def gradient(params, batch, h):
    """Gradient of the loss, its clipped shares, at one minibatch."""
    obs, action, old, old_value, advantage, target = batch
    n = len(action)
    rows = np.arange(n)
    advantage = (advantage - advantage.mean()) / np.sqrt(advantage.var() + 1e-8)
    logits, hidden = forward(params["actor"], obs)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    p = np.exp(log_p)
    ratio = np.exp(log_p[rows, action] - old)
    bounded = np.clip(ratio, 1 - h["clip"], 1 + h["clip"])
    active = ratio * advantage <= bounded * advantage
    chosen = np.eye(2)[action]
    upstream = -(active * advantage * ratio)[:, None] * (chosen - p) / n
    entropy = -(p * log_p).sum(-1, keepdims=True)
    upstream += h["entropy_coefficient"] * p * (log_p + entropy) / n
    grads = {"actor": backward(params["actor"], obs, hidden, upstream)}

    value, hidden = forward(params["critic"], obs)
    value = value[:, 0]
    held = np.clip(value, old_value - h["clip"], old_value + h["clip"])
    plain = (value - target) ** 2 >= (held - target) ** 2
    inside = np.abs(value - old_value) < h["clip"]
    slope = np.where(plain, value - target, (held - target) * inside)
    upstream = h["value_coefficient"] * slope[:, None] / n
    grads["critic"] = backward(params["critic"], obs, hidden, upstream)
    return grads, np.mean(~active), np.mean(~plain)


def reference_update(params, data, h, epochs):
    """Adam with global-norm clipping on the whole batch, `epochs` times."""
    leaves, structure = jax.tree.flatten(params)
    first, second = [np.zeros_like(x) for x in leaves], [np.zeros_like(x) for x in leaves]
    shares = []
    for count in range(1, epochs + 1):
        grads, clipped, value_clipped = gradient(jax.tree.unflatten(structure, leaves), data, h)
        flat = jax.tree.leaves(grads)
        norm = np.sqrt(sum((g**2).sum() for g in flat))
        shares.append((clipped, value_clipped, norm))
        flat = [g * min(1.0, h["max_grad_norm"] / norm) for g in flat]
        for i, g in enumerate(flat):
            first[i] = 0.9 * first[i] + 0.1 * g
            second[i] = 0.999 * second[i] + 0.001 * g**2
            mean, square = first[i] / (1 - 0.9**count), second[i] / (1 - 0.999**count)
            leaves[i] = leaves[i] - h["learning_rate"] * mean / (np.sqrt(square) + 1e-5)
    return jax.tree.unflatten(structure, leaves), np.asarray(shares)


@pytest.mark.parametrize(
    ("epochs", "time_limits"),
    [(4, "bootstrap"), pytest.param(1, "termination", marks=pytest.mark.slow)],
)
def test_update_equals_the_float64_reference(epochs, time_limits):
    env, settings = Corridor(LIMIT), config(epochs, time_limits=time_limits)
    learner = make_ppo(env, settings)
    h = {
        "learning_rate": 0.02, "discount": 0.9, "trace_decay": 0.8, "clip": 0.05,
        "entropy_coefficient": 0.03, "value_coefficient": 0.7, "max_grad_norm": 0.4,
    }  # fmt: skip
    hparams = learner.hparams.replace(**h)
    state = jax.jit(learner.init)(jax.random.key(3), hparams)
    # larger output weights, so that the policy is not almost uniform
    state = state.replace(params=jax.tree.map(lambda p: p + 0.3 * jnp.cos(7.0 * p), state.params))
    new, metrics = jax.jit(learner.update)(state, hparams)

    head = action_head(env.spec.action_space)
    network = mlp_actor_critic(env.spec.observation_space, head.size, hidden=(5,))
    collected, _ = jax.jit(lambda state: rollout(env, settings, network, head, state, hparams))(
        state
    )
    inner = state.env_state.state.inner
    reward, terminated, truncated, successor = replay(
        collected, np.array(inner.x, np.float64), np.array(inner.time), (1.0, -0.1)
    )
    assert terminated.any() and (truncated > terminated).any()
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state.params)
    obs = np.asarray(collected.obs, np.float64)
    advantage, target, value = advantages(
        params, obs, reward, terminated, truncated, successor, h, time_limits
    )
    action = np.asarray(collected.action).reshape(-1)
    obs = obs.reshape(-1, 2)
    logits, _ = forward(params["actor"], obs)
    old = (logits - np.log(np.exp(logits).sum(-1, keepdims=True)))[np.arange(action.size), action]
    data = (obs, action, old, value.reshape(-1), advantage.reshape(-1), target.reshape(-1))
    expected, shares = reference_update(params, data, h, epochs)

    for ours, theirs in zip(arrays(new.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5 * h["learning_rate"])
    assert shares[:, 2].max() > h["max_grad_norm"]  # the norm is clipped
    if epochs > 1:
        assert (shares[1:, :2] > 0).any(axis=0).all()  # so are ratios and values
    np.testing.assert_allclose(metrics["clip_fraction"], shares[:, 0].mean(), atol=1e-6)
    np.testing.assert_allclose(metrics["grad_norm"], shares[:, 2].mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["reward"], reward.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["episodes"], np.maximum(terminated, truncated).sum(), atol=0)
