# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The life of one reward, from sampled tokens to gradient
#
# A language model answers a question several times, a verifier scores the answers, and one number
# per answer becomes a gradient for every token. This notebook follows that number: tokens, scores,
# credit, loss, slope, and what the step does to the answers' chances. Then the same with a reward
# per step.

# %%
import os

from jaxrl_rewards.train.compilation import configure_cpu

configure_cpu()  # before jax is imported: one XLA thread on small machines

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxrl_envs.language import Arithmetic, TokenWorld

from jaxrl_rewards import learners
from jaxrl_rewards.credit import group_relative
from jaxrl_rewards.learners.acting import actor_policy
from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.learners.group import GroupBatch, Objective, log_probs, token_objective
from jaxrl_rewards.learners.texts import Texts, text_loss
from jaxrl_rewards.losses import clipped_surrogate, token_mean
from jaxrl_rewards.networks.decoder import DecoderConfig
from jaxrl_rewards.networks.language_policy import decoder_actor_critic
from jaxrl_rewards.rollout.generate import token_answers

SMALL = bool(os.environ.get("JAXRL_NOTEBOOK_SMALL"))

# %% [markdown]
# ## A model that half knows how to add
#
# Two digits are added column by column, `7+5+0=12;`, and the sum is written at the end. A decoder
# learns from a few hundred worked solutions and stops before it is good.

# %%
task = Arithmetic(max_level=1 if SMALL else 2)
world = TokenWorld(task)
asked = world.default_params()
config = DecoderConfig(
    vocabulary=task.vocabulary.size,
    width=32 if SMALL else 64,
    layers=2,
    hidden=64 if SMALL else 192,
    max_length=world.spec.max_steps + 1,
)
network = decoder_actor_critic(config)


def lessons(key, data, hparams):
    prompts = task.prompts(key, 64)
    text = jnp.concatenate([prompts.tokens, task.solutions(prompts)], axis=1)
    own = jnp.arange(text.shape[1]) >= task.prompt_size
    return Texts(
        tokens=text[:, :-1],
        follows=text[:, 1:],
        own=jnp.broadcast_to(own[1:], text[:, 1:].shape) & (text[:, 1:] != task.vocabulary.pad),
        ends=jnp.zeros(text[:, 1:].shape, bool),
    )


fit = learners.make_fit(network.init, text_loss(network), lessons, steps_per_update=50)
rate = fit.hparams.replace(learning_rate=3e-3)
state, update = jax.jit(fit.init)(jax.random.key(0), rate), jax.jit(fit.update)
for _ in range(4 if SMALL else 9):
    state, told = update(state, rate)
params = state.params
share = float(told["accuracy"])
print(f"after {50 * int(state.step)} steps: {share:.0%} of the next tokens are right")

# %% [markdown]
# ## Tokens
#
# Sixteen questions, eight answers each, sampled with a cache; answers to one question share its
# prompt's memory. Every token is a position of `Trajectories`: `own` marks what the policy wrote,
# `alive` where the text still ran.

# %%
sample = token_answers(world, 16, 8, prompt_width=task.prompt_size)
head = action_head(world.spec.action_space)
policy = actor_policy(params, network, head, world.spec, jnp.float32(1.0))
played = jax.jit(lambda key: sample(key, policy, asked))(jax.random.key(1))
scores = np.asarray(played.reward.sum(-1))
mixed = int(np.argmin(np.abs(scores.mean(axis=1) - 0.5)))  # a question that teaches something


def text_of(row):
    own = np.asarray(played.own[mixed, row])
    return task.vocabulary.decode(np.asarray(played.action[mixed, row])[own])


prompt = np.asarray(played.obs[mixed, 0])[: int(np.argmax(np.asarray(played.own[mixed, 0]))) + 1]
print("question:", task.vocabulary.decode(prompt))
for row in range(8):
    print(f"  score {scores[mixed, row]:.0f}  {text_of(row)}")

# %% [markdown]
# ## Credit
#
# The score stands at the last token. Compared with the other answers to the same question (leave
# one out) it becomes an advantage, the same for all tokens of the answer: right columns of a wrong
# answer are blamed too.
#
# A reward per step tells them apart. Here the world's exact judge of steps stands in for a learnt
# process reward model: 1 for a step that is right together with all before it. Its return from a
# token on, less the mean over the group, is the token's credit.

# %%
keep = jnp.ones(16, bool)
reward, _ = learners.outcome(played, {}, None)
outcome_credit = group_relative("rloo")(played, reward, keep, None)

steps = jnp.where(played.own, played.terms["sound_step"], 0.0)
to_go = jnp.cumsum(steps[..., ::-1], axis=-1)[..., ::-1]
count = jnp.maximum(jnp.sum(played.own, axis=1, keepdims=True), 1)
mean = jnp.sum(jnp.where(played.own, to_go, 0.0), axis=1, keepdims=True) / count
step_credit = jnp.where(played.own, to_go - mean, 0.0)


def heat(values, title, ax):
    own = np.asarray(played.own[mixed])
    shown = np.where(own, np.asarray(values[mixed]), np.nan)[:, own.any(axis=0)]
    most = max(1.6 * np.nanmax(np.abs(shown)), 1e-6)  # pale enough for the letters
    ax.imshow(shown, cmap="coolwarm", vmin=-most, vmax=most, aspect="auto")
    letters = [list(text_of(row)) for row in range(8)]
    for row, line in enumerate(letters):
        for column, letter in enumerate(line[: shown.shape[1]]):
            ax.text(column, row, letter, ha="center", va="center", fontsize=8)
    ax.set(title=title, xticks=[], yticks=range(8), yticklabels=[f"{s:.0f}" for s in scores[mixed]])
    ax.set_ylabel("score")


figure, axes = plt.subplots(2, 1, figsize=(9, 5))
heat(outcome_credit, "credit from the outcome alone: the same for every token", axes[0])
heat(step_credit, "credit from steps: what follows a slip is blamed", axes[1])
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Loss and slope
#
# The policy loss is an average over the tokens that the policy wrote. Its slope in a token's
# log-probability is minus its advantage over the number of tokens: credit, and nothing else, says
# which way a token goes. One pass backwards carries these slopes to the parameters.

# %%
now = learners.GroupHParams(env_params=asked, kl_coefficient=0.0)
objective = Objective(clipped_surrogate, token_mean)
log_prob = log_probs(params, network, head, played, jnp.float32(1.0))
apart = jnp.where(played.own, (log_prob - played.log_prob)[..., 0], 0.0)
print(f"written while sampling and read in one pass: {float(jnp.max(jnp.abs(apart))):.1e} apart")


def slopes(credit):
    batch = GroupBatch(played=played, advantage=credit, keep=keep, reference=log_prob)
    return jax.grad(lambda values: token_objective(values, batch, objective, now)[0])(log_prob)


slope = slopes(outcome_credit)[..., 0]
tokens = float(jnp.sum(played.own))
expected = jnp.where(played.own, -outcome_credit / tokens, 0.0)
print(f"slope + advantage / tokens: at most {float(jnp.max(jnp.abs(slope - expected))):.1e}")

# %% [markdown]
# ## What one step does
#
# The same small step along both gradients, and how much likelier every token of the question above
# becomes.


# %%
def after_a_step(credit, size=0.01):
    batch = GroupBatch(played=played, advantage=credit, keep=keep, reference=log_prob)

    def loss(params):
        values = log_probs(params, network, head, played, jnp.float32(1.0))
        return token_objective(values, batch, objective, now)[0]

    grads = jax.grad(loss)(params)
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(grads)))
    moved = jax.tree.map(lambda p, g: p - size * g / jnp.maximum(norm, 1e-9), params, grads)
    return log_probs(moved, network, head, played, jnp.float32(1.0)) - log_prob


step = jax.jit(after_a_step)
figure, axes = plt.subplots(2, 1, figsize=(9, 5))
for ax, credit, name in zip(axes, (outcome_credit, step_credit), ("outcome", "steps")):
    change = step(credit)[..., 0]
    heat(change, f"change of log-probability after one step, credit from {name}", ax)
    total = np.asarray(jnp.sum(jnp.where(played.own, change, 0.0), axis=-1))
    right, wrong = total[scores > 0.5].mean(), total[scores <= 0.5].mean()
    print(f"{name}: right answers {right:+.2f}, wrong answers {wrong:+.2f} in log-probability")
figure.tight_layout()
plt.show()
