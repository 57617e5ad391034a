"""Training of the choice among candidates: cloning, GRPO, and a calibrated "not found"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.gui.candidate_features import FEATURES
from jaxrl_envs.gui.choice import ChooseCandidate, Episodes

from jaxrl_rewards.learners.fit import FitHParams, make_fit, rows
from jaxrl_rewards.learners.group import GroupConfig, make_group
from jaxrl_rewards.networks.candidate_policy import (
    candidate_actor_critic,
    candidate_logits,
    candidate_policy_init,
)
from jaxrl_rewards.rewards.schedule import Cosine
from jaxrl_rewards.rewards.spatial import GaussianCoverage, GaussianPoint, PointHit
from jaxrl_rewards.studies.gui_g2.train.choice_config import ChoiceConfig

Report = Callable[[str, int, int, dict], None]
CLONE_STEPS = 20


def clone_loss(params: Any, batch: Episodes, hparams: Any) -> tuple[jax.Array, dict]:
    """Minus the log of the right answers' mass, over instructions that have one."""
    logits = candidate_logits(params, batch.features, batch.present)
    log_mass = jax.nn.log_softmax(logits, axis=-1)
    answered = jnp.any(batch.right > 0, axis=-1)
    right = jax.nn.logsumexp(jnp.where(batch.right > 0, log_mass, -jnp.inf), axis=-1)
    count = jnp.maximum(jnp.sum(answered), 1)
    chosen = jnp.take_along_axis(batch.right, jnp.argmax(logits, -1)[:, None], axis=-1)[:, 0]
    loss = -jnp.sum(jnp.where(answered, right, 0.0)) / count
    return loss, {"hits": jnp.sum(chosen) / count}


def blurred_rows(config: ChoiceConfig) -> Callable[[jax.Array, Episodes, Any], Episodes]:
    """Batches whose features carry noise, some of them hidden: pages differ in what they show."""
    draw = rows(config.batch)

    def batch(key: jax.Array, data: Episodes, hparams: Any) -> Episodes:
        key_rows, key_noise, key_drop = jax.random.split(key, 3)
        found = draw(key_rows, data, hparams)
        values = found.features
        values = values + config.noise * jax.random.normal(key_noise, values.shape, values.dtype)
        shape = (values.shape[0], 1, values.shape[2])
        kept = jax.random.uniform(key_drop, shape) >= config.dropped
        return found.replace(features=values * kept)

    return batch


def answered_only(episodes: Episodes) -> Episodes:
    """The instructions that have a right answer among the candidates, or are not there."""
    keep = np.flatnonzero(np.asarray(episodes.right).any(axis=-1))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[keep], episodes)


def clone(config: ChoiceConfig, episodes: Episodes, report: Report | None = None) -> Any:
    """Parameters after `clone_updates` updates of supervised learning."""
    rate = Cosine(
        start=config.learning_rate,
        stop=0.1 * config.learning_rate,
        end=float(max(config.clone_updates, 1)),
    )
    learner = make_fit(
        lambda key: candidate_policy_init(key, FEATURES, config.hidden),
        clone_loss,
        blurred_rows(config),
        hparams=FitHParams(learning_rate=rate, weight_decay=config.weight_decay),
        data=answered_only(episodes),
        batch_size=config.batch,
        steps_per_update=CLONE_STEPS,
    )
    return _run(learner, config.seed, config.clone_updates, "clone", report)[0]


def reward_of(name: str) -> Any:
    """The reward of the refinement: the paper's, or 1 for a hit."""
    if name == "binary":
        return 1.0 * PointHit()
    return 1.0 * GaussianPoint() + 1.0 * GaussianCoverage()


def refine(
    config: ChoiceConfig, episodes: Episodes, params: Any, report: Report | None = None
) -> tuple[Any, list[dict]]:
    """Parameters after `refine_updates` GRPO updates, and each update's metrics."""
    world = ChooseCandidate(answered_only(episodes), reward_of(config.reward))
    sizes = GroupConfig(num_prompts=config.prompts, group_size=config.group)
    learner = make_group(
        world,
        sizes,
        network=candidate_actor_critic(FEATURES, config.hidden),
        initial_params=params,
    )
    hparams = learner.hparams.replace(learning_rate=config.refine_learning_rate)
    return _run(learner, config.seed + 1, config.refine_updates, "refine", report, hparams)


def _run(learner, seed: int, updates: int, name: str, report: Report | None, hparams: Any = None):
    hparams = learner.hparams if hparams is None else hparams
    state = learner.init(jax.random.key(seed), hparams)
    update = jax.jit(learner.update)
    told = []
    for step in range(updates):
        state, metrics = update(state, hparams)
        if step % 10 == 9 or step == updates - 1:
            told.append({key: float(value) for key, value in metrics.items()})
            if report:
                report(name, step + 1, updates, told[-1])
    return jax.device_get(state.params), told


def answers(params: Any, episodes: Episodes, bias: float = 0.0) -> np.ndarray:
    """int[N]: the chosen candidate of each instruction, the last for "not found"."""
    logits = np.array(jax.jit(candidate_logits)(params, episodes.features, episodes.present))
    logits[:, -1] += bias
    return logits.argmax(axis=-1)


def calibrate(params: Any, episodes: Episodes, false_alarms: float) -> float:
    """What to add to the logit of "not found", so that of the texts that are there, and found
    among the candidates, at most the given share is answered "not found"; never above 0."""
    logits = np.asarray(jax.jit(candidate_logits)(params, episodes.features, episodes.present))
    there = np.asarray(episodes.right)[:, :-1].any(axis=-1)
    if not there.any():
        return 0.0
    margin = logits[there, :-1].max(axis=-1) - logits[there, -1]
    return min(float(np.quantile(margin, false_alarms)), 0.0)


def summary(params: Any, episodes: Episodes, bias: float = 0.0) -> dict[str, float]:
    """Shares: `hits` of what is there, `found` (not answered "not found") of it, `refused` of what
    is not there, and `reachable`, the share of what is there with a right candidate."""
    right, picked = np.asarray(episodes.right), answers(params, episodes, bias)
    absent = right[:, -1] > 0
    hit = right[np.arange(len(right)), picked] > 0
    none = picked == right.shape[1] - 1
    there = ~absent

    def share(values: np.ndarray) -> float:
        return float(values.mean()) if values.size else float("nan")

    return {
        "hits": share(hit[there]),
        "found": share(~none[there]),
        "refused": share(none[absent]),
        "reachable": share(right[there].any(axis=-1)),
        "instructions": len(right),
    }
