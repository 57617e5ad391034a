"""Six arms on a planar human, and the full method on other characters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.retarget.planar_body import BODIES, PlanarBody
from jaxrl_envs.retarget.planar_checks import kinematic_checks, kinematic_row
from jaxrl_envs.retarget.planar_clips import PlanarClips, known_and_fresh
from jaxrl_envs.retarget.planar_drawing import draw_strip
from jaxrl_envs.retarget.planar_env import PlanarRetarget
from jaxrl_envs.retarget.planar_following import followed_speeds
from jaxrl_envs.retarget.planar_motion import RATE, MotionStyle

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.shared.arms import as_runs, by_arm, portion, train_runs
from jaxrl_rewards.studies.shared.sizes import at_least, multiple
from jaxrl_rewards.studies.shared.workers import run_jobs
from jaxrl_rewards.studies.sparse_retargeting.claim import (
    BLIND,
    CLAIMS,
    FULL,
    KINEMATIC,
    NO_ACTION,
    NO_CONTACT,
    NO_IMITATION,
    SYMMETRIC,
    claim,
)
from jaxrl_rewards.studies.sparse_retargeting.figure import draw_bars
from jaxrl_rewards.studies.sparse_retargeting.train import TRAIN
from jaxrl_rewards.studies.sparse_retargeting.training import (
    Arm,
    arm_hparams,
    evaluate,
    make_arm,
    make_learner,
)

HUMAN_JOBS = ((FULL, SYMMETRIC, NO_CONTACT), (NO_ACTION, NO_IMITATION, BLIND))
"""The human's arms in two halves, so that two processes have equally much to do."""
CURVES = {"steps per training episode": "episode_length", "keypoint term": "term/keypoint"}


@dataclasses.dataclass(frozen=True)
class SparseRetargetingConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about.

    Four numbers were chosen for the full arm on another root key than the recorded one, one factor
    at a time: `reward_scale`, `max_grad_norm`, the damping and armature of the joints
    (`planar_body`) and how high the generator raises an arm (`planar_motion`).

    What the critic sees makes no difference here, whatever the setting: eleven comparisons on two
    other root keys (these settings, and one by one observations not normalised, rewards scaled by
    0.1 and 0.03, values clipped, gradients clipped at 0.5 per network and together, a higher rate,
    episodes of 10 s, joints without damping) gave symmetric over full keypoint errors of 0.86 to
    1.09, 0.96 on average. With a critic's rate of half the actor's the full arm itself follows 10 %
    worse.
    """

    seeds: int = 5
    root_key: int = 2307
    """All that is random comes from this key."""
    clips: int = 256
    """Motions to train on."""
    evaluation_clips: int = 64
    """Motions to evaluate on, 10 s each, never trained on."""
    evaluation_steps: int = 300
    """Steps of 1/30 s that an evaluation takes."""
    training_steps: int = 150
    """Length of a training episode; it starts anywhere in a clip that leaves so much."""
    num_envs: int = 128
    unroll_length: int = 16
    updates: int = 160
    chunk: int = 10
    """Updates between two points of the curves."""
    num_epochs: int = 4
    num_minibatches: int = 8
    hidden: tuple[int, ...] = (64, 64)
    log_std: float = -0.7
    """Start of the learnt logarithm of the actions' deviation."""
    learning_rates: tuple[float, float] = (1e-3, 2e-4)
    """From the first update to the last, straight."""
    discount: float = 0.97
    trace_decay: float = 0.95
    clip: float = 0.2
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    max_grad_norm: float = 10.0
    reward_scale: float = 1.0
    """Factor on all rewards."""
    bodies: tuple[str, ...] = ("dinosaur", "mouse")
    """Further characters, trained with the full method."""
    processes: int = 2
    """Processes that share the work; the results do not depend on it."""

    def __post_init__(self):
        at_least(self, 1, "seeds", "clips", "evaluation_clips", "chunk", "updates")
        multiple(self, "updates", "chunk")
        unknown = [name for name in self.bodies if name not in BODIES]
        if unknown:
            raise InputError(f"body {unknown[0]!r} is unknown; choose of {', '.join(BODIES)}")


def arms(config: SparseRetargetingConfig) -> dict[str, Arm]:
    """The arms of the human: one tree structure, different numbers."""
    scale = config.reward_scale
    return {
        FULL: make_arm(0.7, 0.1, 0.2, reward_scale=scale),
        SYMMETRIC: make_arm(0.7, 0.1, 0.2, privileged=False, reward_scale=scale),
        NO_CONTACT: make_arm(0.78, 0.0, 0.22, reward_scale=scale),
        NO_ACTION: make_arm(0.875, 0.125, 0.0, reward_scale=scale),
        NO_IMITATION: make_arm(0.0, 0.33, 0.67, reward_scale=scale),
        BLIND: make_arm(0.7, 0.1, 0.2, sensors=False, reward_scale=scale),
    }


def run_body(
    name: str,
    chosen: tuple[str, ...],
    config: SparseRetargetingConfig,
    report: Callable[[str, float], None],
) -> dict[str, Any]:
    """Train and evaluate the arms called `chosen` on one character, all seeds at once.

    Returns `rows[arm][metric]`, `curves[arm][metric]` and `survived[arm]` `[seeds, clips]` with a
    leading axis of seeds, and `q` `[clips, steps, 11]`, how the first seed of the first arm follows
    the unseen clips.
    """
    env = PlanarRetarget(name)
    known_clips, fresh, _ = study_clips(env.body, config)
    params = env.params_with(known_clips)
    known, key = arms(config), jax.random.fold_in(jax.random.key(config.root_key), 1)
    seeds = jnp.stack([jax.random.fold_in(key, seed) for seed in range(config.seeds)])
    each, keys = as_runs({arm: known[arm] for arm in chosen}, seeds)

    progress = portion(report, 0.0, 1.0, f"{name}, ")
    learner = make_learner(env, config)
    states, history = train_runs(
        learner,
        lambda arm, params: arm_hparams(config, params, arm),
        each,
        params,
        keys,
        config.updates,
        config.chunk,
        progress,
    )
    steps = config.evaluation_steps
    measured = evaluate(env, learner, states, params, each.sensor_gain, fresh, steps)
    shown, survived = measured.pop("q")[0], np.split(measured.pop("survived"), len(chosen))
    progress("done", 1.0)
    return {
        "rows": by_arm(measured, chosen),
        "curves": by_arm({name: history[name] for name in CURVES.values()}, chosen),
        "survived": dict(zip(chosen, survived, strict=True)),
        "q": shown,
    }


def study_clips(
    body: PlanarBody, config: SparseRetargetingConfig
) -> tuple[PlanarClips, PlanarClips, MotionStyle]:
    """The clips to train on, those to evaluate on, and the styles of the latter."""
    key = jax.random.fold_in(jax.random.key(config.root_key), 0)
    seconds = config.evaluation_steps / RATE
    return known_and_fresh(key, body, config.clips, config.evaluation_clips, seconds)


def run(config: SparseRetargetingConfig, report: Callable[[str, float], None]) -> StudyResult:
    """All arms of the human, then the full method on the other characters."""
    jobs = [("human", chosen, config) for chosen in HUMAN_JOBS]
    jobs += [(body, (FULL,), config) for body in config.bodies]
    found = run_jobs(run_body, jobs, config.processes, report)
    table: dict[str, dict[str, list[float]]] = {}
    curves: dict[str, dict[str, Any]] = {
        title: {"x": np.arange(config.chunk, config.updates + 1, config.chunk)} for title in CURVES
    }
    shown: dict[str, np.ndarray] = {}
    blind = np.zeros(config.evaluation_clips, bool)
    for (body, chosen, _), part in zip(jobs, found, strict=True):
        shown.setdefault(body, part["q"])
        if BLIND in chosen:
            blind = part["survived"][BLIND].any(axis=0)
        for arm in chosen:
            row = arm if body == "human" else f"{arm}, {body}-like"
            table[row] = {name: list(map(float, v)) for name, v in part["rows"][arm].items()}
            for title, name in CURVES.items():
                curves[title][row] = part["curves"][arm][name]
    human = BODIES["human"]
    _, fresh, styles = study_clips(human, config)
    table[KINEMATIC] = kinematic_row(human, fresh)
    budget = {
        "samples per run": config.num_envs * config.unroll_length * config.updates,
        "runs": sum(len(chosen) for _, chosen, _ in jobs) * config.seeds,
        "evaluation": f"{config.evaluation_clips} motions of {config.evaluation_steps} steps",
        "followed blind": followed_speeds(np.asarray(styles.speed), blind),
        "kinematic checks": kinematic_checks(styles, config.evaluation_steps / 30.0),
    }
    figures = {
        "sparse_retargeting_strip.png": lambda figure: draw_strip(figure, shown, styles),
        "sparse_retargeting_bars.png": lambda figure: draw_bars(figure, table),
    }
    return StudyResult(arms=table, curves=curves, budget=budget, figures=figures)


STUDY = Study(
    slug="sparse_retargeting",
    title="Motion retargeting from three sensed points, planar",
    paper="Reda et al., Physics-based Motion Retargeting from Sparse Inputs, 2023, "
    "arXiv 2307.01938",
    claims=CLAIMS,
    config=SparseRetargetingConfig(),
    run=run,
    claim=claim,
    functions=(
        "jaxrl_rewards.rewards.imitation.retarget_reward",
        "jaxrl_rewards.rewards.imitation.retarget_errors",
        "jaxrl_envs.retarget.kinematics.kinematic_retarget",
        "jaxrl_envs.retarget.sensors.scale_sensors",
        "jaxrl_envs.retarget.sensors.to_heading_frame",
        "jaxrl_envs.retarget.contact.reference_contact_labels",
        "jaxrl_envs.retarget.contact.early_termination",
        "jaxrl_envs.retarget.metrics.tracking_metrics",
    ),
    worlds=("planar-retarget",),
    needs=5,
    quick={"seeds": 2, "updates": 10, "chunk": 5, "clips": 32, "evaluation_clips": 8, "bodies": ()},
    train=TRAIN,
)
