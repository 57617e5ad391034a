"""What holds exactly: which provers tell steps apart, and that the policy itself adds nothing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.studies.pav.learning import Task, prover_of, task_of


def gap(strength: float) -> float:
    """Q^μ of the right first token minus the mean of the others that do not end; |y*| = 5, 20
    tokens."""
    task = task_of(5, 20)
    with jax.enable_x64(True):
        _, _, action_values = prover_of(task, strength)
        first = np.asarray(action_values[0, 0], np.float64)
    right = int(np.argmax(task.table[0] == 1))
    others = [a for a in range(task.table.shape[1]) if a not in (right, task.end)]
    return float(first[right] - first[others].mean())


def own_progress_error(key: jax.Array, alpha: float = 1.5) -> float:
    """|gradient of E Σ_h (Q^π + α A^π) − (1 + α) · gradient of the chance of success|, largest
    entry over the largest of the latter, for a random policy; every state is visited."""
    from jaxrl_envs.language.planted import automaton, exact_values, visits

    task = Task(automaton((0, 1, 0), 4), 3, 5)
    with jax.enable_x64(True):
        shape = (task.horizon, *task.table.shape)
        logits = jax.random.normal(key, shape, jnp.float64)
        values, action_values = exact_values(
            jax.nn.softmax(logits), task.table, task.end, task.horizon
        )
        visited = visits(jax.nn.softmax(logits), task.table, task.end)
        weight = action_values + alpha * (action_values - values[:-1, :, None])

        def surrogate(logits):
            return jnp.sum(visited[..., None] * jax.nn.softmax(logits) * weight)

        def success(logits):
            return exact_values(jax.nn.softmax(logits), task.table, task.end, task.horizon)[0][0, 0]

        ours, whole = jax.grad(surrogate)(logits), (1.0 + alpha) * jax.grad(success)(logits)
        return float(jnp.max(jnp.abs(ours - whole)) / jnp.max(jnp.abs(whole)))
