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
# # Tuning a reward by differentiating through training
#
# A designer wants an agent to reach a goal and adds two hints to the sparse reward: a bonus that
# turns out to mislead, and a distance that helps. How much weight should each hint get? The answer
# is a bi-level problem: *outer*, the weights; *inner*, the policy that is optimal for them. This
# notebook computes the outer gradient in seven ways, draws the landscape, climbs it, and shows
# where there is nothing to climb.

# %%
import os

from jaxrl_rewards.train.compilation import configure_cpu

configure_cpu()  # before jax is imported: one XLA thread on small machines

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxrl_rewards.reward_design import implicit
from jaxrl_rewards.reward_design.known_answers import SoftMdp, cosine, relative_error

SMALL = bool(os.environ.get("JAXRL_NOTEBOOK_SMALL"))
jax.config.update("jax_enable_x64", True)  # so that errors show the methods, not rounding

# %% [markdown]
# ## A walk with two hints
#
# A square of cells; the goal in the far corner ends the walk. The agent maximises return plus
# entropy, so the optimal policy is smooth in the reward and has full support.

# %%
SIDE = 5 if SMALL else 7
CELLS, GAMMA, SLIP = SIDE * SIDE, 0.95, 0.1
rows, columns = np.divmod(np.arange(CELLS), SIDE)
moves = [(1, 0), (0, 1), (-1, 0), (0, -1)]
arrive = np.zeros((CELLS, 4, CELLS))
for action, (down, right) in enumerate(moves):
    row, column = np.clip(rows + down, 0, SIDE - 1), np.clip(columns + right, 0, SIDE - 1)
    arrive[np.arange(CELLS), action, row * SIDE + column] = 1.0
transition = (1 - SLIP) * arrive + SLIP * arrive.mean(axis=1, keepdims=True)
goal, middle = CELLS - 1, CELLS // 2
transition[goal] = 0.0  # nothing follows the goal

walk = SoftMdp(
    transition=jnp.asarray(transition),
    start=jnp.zeros(CELLS).at[0].set(1.0),
    gamma=jnp.asarray(GAMMA),
    temperature=jnp.asarray(0.5),
)
distance = np.hypot(SIDE - 1 - rows, SIDE - 1 - columns) / SIDE
primary = jnp.asarray(10.0 * transition[..., goal] - 0.1)
hints = jnp.asarray(np.stack([transition[..., middle], -transition @ distance], axis=0))


def trained_on(phi):
    """The reward table that the agent maximises."""
    return primary + jnp.tensordot(phi, hints, axes=1)


def inner(theta, phi):
    """Soft return of the policy with logits `theta` under the mixed reward."""
    return walk.value(theta, trained_on(phi), walk.temperature)


def outer(theta, phi):
    """What the designer wants: the plain return under the primary reward."""
    return walk.value(theta, primary, 0.0)


def solve(theta, phi):
    """The inner optimum, by soft value iteration."""
    return walk.soft_optimum(trained_on(phi), sweeps=200)


landscape_at = jax.jit(lambda phi: outer(solve(None, phi), phi))
print("no hints:", float(landscape_at(jnp.zeros(2))))
print("both at weight 1:", float(landscape_at(jnp.ones(2))))

# %% [markdown]
# ## The gradient, seven ways
#
# The truth here is automatic differentiation through all sweeps of value iteration. None of the
# other methods knows how the inner problem was solved: the implicit ones use only that it *is*
# solved, `∇_θ J = 0`, and Hessian-vector products.

# %%
phi = jnp.asarray([1.5, 0.2])
theta = solve(None, phi)
truth = jax.grad(landscape_at)(phi)
hessian = jax.hessian(lambda flat: inner(flat.reshape(theta.shape), phi))(theta.ravel())
steepest = float(np.abs(np.linalg.eigvalsh(np.asarray(hessian))).max())
alpha = 1.0 / steepest
solvers = {
    "exact": implicit.exact(1e-9),
    "conjugate gradients, 200": implicit.conjugate_gradients(200),
    "Neumann, 1000 terms": implicit.neumann(alpha, 999),
    "Neumann, 6 terms": implicit.neumann(alpha, 5),
    "unrolled, 6 steps": implicit.unrolled(implicit.gradient_ascent(inner, alpha), 6),
    "first order": implicit.first_order(),
    "finite differences": implicit.finite_difference(solve),
}
if SMALL:  # each solver is a program of its own
    solvers = {name: solvers[name] for name in ("conjugate gradients, 200", "first order")}
print(f"d return / d weights = {np.asarray(truth)}")
for name, solver in solvers.items():
    found = jax.jit(lambda t, p, s: implicit.hypergradient(outer, inner, t, p, s))(
        theta, phi, solver
    )
    error, angle = relative_error(found.gradient, truth), cosine(found.gradient, truth)
    print(f"{name:<26} relative error {float(error):.1e}  cosine {float(angle):+.4f}")
    if name.startswith(("exact", "conjugate", "finite")):
        assert float(error) < 1e-2

# %% [markdown]
# Six unrolled steps equal six terms of the Neumann series: at the inner optimum, differentiating
# through plain gradient steps *is* summing that series. A Hessian of a policy is flat in some
# directions (adding a constant to all logits of a state changes nothing) and nearly flat in states
# that are hardly visited, so few terms leave much of the inverse out.
#
# ## The landscape, and climbing it
#
# All weights of a grid are solved at once by `vmap`; then gradient ascent from the designer's wrong
# weights, with the exact gradient and with first order. Steps have a fixed length, so that only
# the direction counts.

# %%
count = 15 if SMALL else 41
bonus_axis, distance_axis = jnp.linspace(-2.0, 2.5, count), jnp.linspace(-1.0, 3.0, count)
mesh = jnp.stack(jnp.meshgrid(bonus_axis, distance_axis), axis=-1)
landscape = jax.lax.map(landscape_at, mesh.reshape(-1, 2), batch_size=64).reshape(count, count)


def climb(solver, phi, steps, length=0.1):
    """Ascent with unit directions, re-solving the inner problem after every step."""

    def step(phi, _):
        found = implicit.hypergradient(outer, inner, solve(None, phi), phi, solver)
        size = jnp.linalg.norm(found.gradient)
        moved = phi + length * found.gradient / jnp.maximum(size, 1e-12)
        return moved, (phi, landscape_at(phi), found.fallbacks)

    return jax.lax.scan(step, phi, None, length=steps)[1]


start, steps = jnp.asarray([2.0, 0.0]), 12 if SMALL else 40
paths = {
    name: jax.jit(lambda p, s: climb(s, p, steps))(start, solvers[name])
    for name in ("conjugate gradients, 200", "first order")
}
figure, axis = plt.subplots(figsize=(6.4, 4.8))
shown = axis.contourf(bonus_axis, distance_axis, landscape, levels=30, cmap="viridis")
figure.colorbar(shown, label="return under the primary reward")
for (name, (path, values, fallbacks)), style in zip(paths.items(), ("w.-", "r.-")):
    axis.plot(path[:, 0], path[:, 1], style, lw=1, ms=4, label=name)
    print(f"{name}: return {float(values[0]):.2f} -> {float(values[-1]):.2f}")
    assert float(values[-1]) > float(values[0]) and int(fallbacks.sum()) == 0
axis.plot(*start, "kx", ms=9, mew=2, label="the designer's weights")
axis.set_xlabel("weight of the misleading bonus")
axis.set_ylabel("weight of the helpful distance")
axis.legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Where the policy goes
#
# Discounted visits of every cell, before and after.

# %%


def visits(phi):
    """Discounted visits of every cell under the optimal policy for `phi`."""
    policy = jax.nn.softmax(solve(None, phi), axis=-1)
    moves = jnp.einsum("sa,sat->st", policy, walk.transition)
    return jnp.linalg.solve((jnp.eye(CELLS) - GAMMA * moves).T, walk.start).reshape(SIDE, SIDE)


tuned = paths["conjugate gradients, 200"][0][-1]
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2))
for axis, weights, title in zip(axes, (start, tuned), ("designer's weights", "tuned weights")):
    shown = axis.imshow(jnp.log10(visits(weights) + 1e-3), cmap="magma")
    axis.set_title(f"{title} ({float(weights[0]):.2f}, {float(weights[1]):.2f})", fontsize=9)
    axis.plot(SIDE // 2, SIDE // 2, "w*", ms=9)
    axis.plot(SIDE - 1, SIDE - 1, "gs", ms=7)
    figure.colorbar(shown, ax=axis, shrink=0.8)
figure.suptitle("log10 discounted visits (star: bonus, square: goal)", fontsize=10)
figure.tight_layout()
plt.show()

# %% [markdown]
# ## When there is no gradient to follow
#
# The outer gradient multiplies how the policy changes with how much the change matters. Where the
# policy sits in the bonus and practically never meets the goal, nothing it could do nearby matters,
# and the gradient vanishes: no solver can help, and training has to start the policy afresh. The
# study `jaxrl-rewards reproduce barfi` measures this with sampled trajectories.

# %%
for weight in (0.5, 2.0, 4.0, 8.0):
    gradient = jax.grad(landscape_at)(jnp.asarray([weight, 0.0]))
    size = float(jnp.linalg.norm(gradient))
    print(f"bonus weight {weight:3.1f}: |d return / d weights| = {size:.4f}")
