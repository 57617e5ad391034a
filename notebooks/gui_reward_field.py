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
# # The Gaussian reward over a screen
#
# A click reward of 0 or 1 says nothing about how far a miss was. The reward of GUI-G² puts a
# Gaussian on the target instead, as wide as the element itself, so that a near miss earns more than
# a far one. This notebook draws a screen, plots the reward over it, differentiates the reward with
# respect to its own parameters, tunes one of them by gradient ascent, and ends with a trained
# policy that points at real text.

# %%
import os

from jaxrl_rewards.train.compilation import configure_cpu

configure_cpu()  # before jax is imported: one XLA thread on small machines

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxrl_envs import gui
from jaxrl_envs.gui.render import render

from jaxrl_rewards.rewards.spatial import (
    combined_reward,
    gaussian_coverage_reward,
    gaussian_point_at,
    gaussian_point_reward,
    point_in_box,
)

SMALL = bool(os.environ.get("JAXRL_NOTEBOOK_SMALL"))

# %% [markdown]
# ## A screen and what is asked
#
# Screens are sampled and painted inside `jit`; the instruction is a handful of tokens.

# %%
SIZE = 64 if SMALL else 128
env = gui.GuiGround(SIZE, SIZE, scale=1 if SMALL else 2)
params = env.default_params()
state, timestep = jax.jit(env.reset)(jax.random.key(3), params)
screen = np.asarray(timestep.obs["image"])
target = state.target_box
instruction = gui.instruction_text(timestep.obs["tokens"])
assert np.array_equal(screen, render(state.layout, env.config))
print(f"{instruction!r} means the box {np.asarray(target).tolist()} of {screen.shape[:2]} pixels")

# %% [markdown]
# ## The reward as a field
#
# `gaussian_point_at` at every pixel, and the coverage reward of a box of the target's size centred
# there, beside the binary reward. Everything is a pure function, so the field is one broadcast.

# %%
ticks = jnp.arange(0.5, SIZE, 2.0 if SMALL else 1.0)
grid = jnp.stack(jnp.meshgrid(ticks, ticks), axis=-1)
half = 0.5 * (target[2:] - target[:2])
boxes = jnp.concatenate([grid - half, grid + half], axis=-1)
fields = {
    "binary": point_in_box(grid, target).astype(jnp.float32),
    "Gaussian point": gaussian_point_at(grid, target),
    "Gaussian coverage": gaussian_coverage_reward(boxes, target),
}
fields["point + coverage"] = combined_reward(fields["Gaussian point"], fields["Gaussian coverage"])

figure, axes = plt.subplots(1, 5, figsize=(16, 3.4))
axes[0].imshow(screen)
axes[0].set_title(instruction, fontsize=9)
for axis, (name, field) in zip(axes[1:], fields.items()):
    axis.imshow(screen, extent=(0, SIZE, SIZE, 0))
    shown = axis.imshow(field, extent=(0, SIZE, SIZE, 0), alpha=0.7, cmap="magma", vmin=0)
    figure.colorbar(shown, ax=axis, shrink=0.7)
    axis.set_title(name, fontsize=9)
for axis in axes:
    x1, y1, x2, y2 = np.asarray(target)
    axis.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color="cyan", lw=1.5))
    axis.set_axis_off()
figure.tight_layout()
plt.show()

# %% [markdown]
# Where the binary field is flat it has no gradient, and neither has a group of answers that all
# miss. The share of the screen on which each reward tells two neighbouring points apart:

# %%
slope = jax.vmap(jax.vmap(jax.grad(lambda point: gaussian_point_at(point, target))))(grid)
informative = jnp.linalg.norm(slope, axis=-1) > 1e-4
print(f"Gaussian: {float(informative.mean()):.2f} of the screen; binary: none but the edge")
assert bool(jnp.isfinite(slope).all())

# %% [markdown]
# ## Differentiating the reward in its own parameters
#
# The reward is `nu * point + gamma * coverage`, and both parts share the width `alpha`. One call of
# `jax.grad` gives the derivatives in all three, here for an answer a little off the target.

# %%


def total(alpha, nu, gamma, answer):
    """The reward of one answer (a box in pixels) as a function of its parameters."""
    point = gaussian_point_reward(answer, target, alpha)
    coverage = gaussian_coverage_reward(answer, target, alpha)
    return combined_reward(point, coverage, nu, gamma)


answer = target + jnp.asarray([4.0, 2.0, 4.0, 2.0])
numbers = (jnp.float32(0.5), jnp.float32(1.0), jnp.float32(1.0))
gradient = jax.grad(total, argnums=(0, 1, 2))(*numbers, answer)
for index, name in enumerate(("alpha", "nu", "gamma")):
    step = 1e-2
    up, down = (
        total(*(n + s * (i == index) for i, n in enumerate(numbers)), answer) for s in (step, -step)
    )
    difference = float(up - down) / (2 * step)
    print(f"d reward / d {name:<5} = {float(gradient[index]):.4f}  (differences: {difference:.4f})")
    assert abs(float(gradient[index]) - difference) < 0.02

# %% [markdown]
# ## Tuning alpha by gradient ascent
#
# GRPO learns from the spread of the rewards within a group of answers. With `alpha` near 0 almost
# every answer earns 0, with a large `alpha` almost every answer earns 1, and in both cases there is
# nothing to rank. So we choose the `alpha` that makes the mean standard deviation of the point
# reward within a group largest, for a policy that misses by about one element's size, and climb in
# log `alpha` with the exact gradient.

# %%
groups, answers = (16, 8) if SMALL else (256, 8)
noise = jax.random.normal(jax.random.key(0), (groups, answers, 2))
centre, size = 0.5 * (target[:2] + target[2:]), target[2:] - target[:2]
points = centre + noise * size


def spread(log_alpha):
    """Mean standard deviation of the reward within a group."""
    reward = gaussian_point_at(points, target, jnp.exp(log_alpha))
    return jnp.std(reward, axis=1).mean()


climb = jax.jit(jax.value_and_grad(spread))
log_alpha = jnp.log(0.15)
history = []
for _ in range(30 if SMALL else 60):
    value, slope_alpha = climb(log_alpha)
    history.append((float(jnp.exp(log_alpha)), float(value)))
    log_alpha = log_alpha + 2.0 * slope_alpha
print(f"alpha {history[0][0]:.2f} -> {history[-1][0]:.2f}")
print(f"spread within a group {history[0][1]:.3f} -> {history[-1][1]:.3f}")
hits = point_in_box(points, target).astype(jnp.float32)
print(f"spread of the binary reward {float(jnp.std(hits, axis=1).mean()):.3f}")
assert history[-1][1] > history[0][1]

candidates = jnp.linspace(0.05, 4.0, 80)
curve = jax.vmap(spread)(jnp.log(candidates))
figure, axis = plt.subplots(figsize=(5, 3))
axis.plot(candidates, curve, label="spread within a group")
axis.plot(*zip(*history), ".", label="gradient ascent")
axis.axvline(0.5, color="grey", lw=1, label="published alpha")
axis.set_xlabel("alpha")
axis.legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# The same parameters are leaves of the world's params (`params.reward`), so they can be swept by
# `vmap` or tuned through a learner's whole update in the same way.

# %%
print(jax.tree_util.tree_map(float, params.reward))

# %% [markdown]
# ## Pointing at text
#
# The policy that ships with the package, on a screen with real fonts that it has not seen.

# %%
from importlib import resources

from jaxrl_rewards.studies.gui_g2.train import pointing

shipped = resources.files("jaxrl_rewards").joinpath("assets", "gui_reader.npz")
if shipped.is_file():
    from jaxrl_envs.gui import synthetic_screens

    page = synthetic_screens.generate_screen(synthetic_screens.ScreenConfig(), seed=1_000_003)
    reader = pointing.load_checkpoint().params
    figure, axis = plt.subplots(figsize=(8, 6))
    axis.imshow(page.pixels)
    named = [e for e in page.elements if e.visible and len(page.boxes_of(e.text)) == 1]
    for number, element in enumerate(named[: 2 if SMALL else 4]):
        x, y, _ = pointing.point(reader, page.pixels, element.text)
        hit = bool(point_in_box(jnp.asarray([x, y]), jnp.asarray(element.box, jnp.float32)))
        x1, y1, x2, y2 = element.box
        colour = f"C{number}"
        axis.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour, lw=2))
        axis.plot(x, y, "+", color=colour, ms=14, mew=3, label=element.text)
        print(f"{element.text!r}: ({x:.0f}, {y:.0f}), {'hit' if hit else 'miss'}")
    axis.legend(fontsize=8, loc="lower right")
    axis.set_axis_off()
    plt.show()
else:
    print("no checkpoint ships with this copy; train one: jaxrl-rewards train gui")
