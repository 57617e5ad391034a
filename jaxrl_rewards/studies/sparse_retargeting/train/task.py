"""What `train retarget` is asked for, and the world and learner that follow from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import read_json
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo

DEMO_CLIPS = ("deepmimic_humanoid3d_walk.txt", "humanoid3d_walk.txt")
"""Names under which a data folder may hold the walking clip."""


@dataclasses.dataclass(frozen=True)
class RetargetEnv:
    """The world of the run."""

    character: str = "human"
    """human, dinosaur, mouse, or an MJCF file with its mapping (.json) beside it."""
    motions: tuple[Path, ...] = ()
    """Clips to follow, files or folders of them (.bvh, .npz of AMASS, .txt of DeepMimic); by
    default, without `data` and `generated` too, a generated walk."""
    bvh: Path | None = None
    """JSON file that says how to read BVH files with a skeleton of your own: an object with any of
    roles (an object: role to joint name), scale (metres per unit), up ("y" or "z"), ground (true:
    lowered to the floor)."""
    data: Path | None = None
    """Folder with recorded motion: its walking clip is followed where neither `motions` nor
    `generated` says what to follow."""
    generated: tuple[str, ...] = ()
    """Generated motions to follow, beside `motions`: KIND or KIND:SEED, of walk, turn, squat,
    reach, wave, jump, dance."""
    damping: float = 0.04
    """Of the servos, kd over kp in seconds at the human's size; 0.025 suits jogging."""
    physics: str = "auto"
    """Physics engine: auto, c, jax or warp."""
    physics_threads: int | None = None
    """Threads of engine c; by default one per usable core."""
    position_noise: float = 0.0
    """Of the sensed points in training, metres."""
    rotation_noise: float = 0.0
    """Likewise, radians."""
    drop: float = 0.0
    """Share of frames of the stream that get lost in training."""
    latency: int = 0
    """Delay of the stream in training, frames of 1/30 s."""
    controllers: bool = True
    """Whether there are controllers, or the headset alone."""


@dataclasses.dataclass(frozen=True)
class RetargetTask:
    """Train an avatar that follows a headset and two controllers."""

    env: RetargetEnv = dataclasses.field(default_factory=RetargetEnv)
    """The environment."""
    out: Path | None = None
    """Folder of the run; runs/retarget-CHARACTER by default."""
    steps: int = 16_000_000
    """Control steps, all environments together."""
    time_limit_minutes: float | None = None
    """End the run, evaluated and saved, after this time, compilation included."""
    seed: int = 0
    """Seed of the random key. One process trains one seed."""
    resume: bool = False
    """Go on from the newest checkpoint in the folder."""
    num_envs: int = 512
    """Environments side by side."""
    unroll: int = 16
    """Steps per environment between updates."""
    epochs: int = 3
    """Passes over the collected steps."""
    minibatches: int = 4
    """Minibatches per pass."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of actor and critic."""
    discount: float = 0.97
    """Discount factor; rewards are multiplied by 1 - discount."""
    trace_decay: float = 0.95
    """Lambda of generalised advantage estimation."""
    clip: float = 0.2
    """Clip range of the importance ratio."""
    log_std: float = -3.3
    """Logarithm of the exploration's standard deviation, constant."""
    learning_rate: float = 2e-5
    """Where the actor's rate starts; it is then steered by the KL divergence."""
    target_kl: float = 0.06
    """KL divergence per update at which the actor's rate settles."""
    critic_learning_rate: float = 1e-3
    """The critic's own rate."""
    clone_rounds: int = 12
    """Rounds of the warm start by imitation; 0 for none."""
    failure_sampling: bool = False
    """Start episodes more often where they fail."""
    chunk: int = 10
    """Updates per logged row."""
    evaluate_every: int = 50
    """Updates between evaluations and checkpoints."""
    evaluation_episodes: int = 64
    """Episodes per evaluation during the run."""
    final_episodes: int = 256
    """Episodes of the evaluation at the end, at least: whole evaluations of the size above."""
    stop_at_followed: float | None = None
    """End the run early when this share of `final_episodes` random starts is followed to the end;
    looked at when an evaluation of `evaluation_episodes` says so."""
    picture_seconds: float = 6.0
    """Length of the GIF."""


def load_motions(env: RetargetEnv) -> tuple[Any, ...]:
    """The motions to follow; InputError names a file that is missing or malformed."""
    from jaxrl_envs.retarget.env import default_motions
    from jaxrl_envs.retarget.motion import load_motion

    if env.data is not None and not env.data.is_dir():
        raise InputError(f"--env.data {env.data} is not a folder; give one with recorded motion")
    chosen = recorded_motions(env.motions, env.bvh)
    chosen += [generated_motion(text) for text in env.generated]
    if chosen:
        return tuple(chosen)
    if env.data is not None:
        found = [env.data / name for name in DEMO_CLIPS if (env.data / name).is_file()]
        if not found:
            raise InputError(
                f"--env.data {env.data} holds no walking clip ({' or '.join(DEMO_CLIPS)}); name "
                "clips with --env.motions"
            )
        return (load_motion(found[0]),)
    return default_motions()


def recorded_motions(paths: Iterable[Path], bvh: Path | None = None) -> list[Any]:
    """The motions of files and folders; BVH files are read as the JSON file `bvh` says. InputError
    names a file that is missing or malformed, and what to do."""
    from jaxrl_envs.retarget.motion import human_pose, load_motions

    options = {} if bvh is None else _read_options(bvh)
    motions = []
    for path in paths:
        is_bvh = path.is_dir() or path.suffix.lower() == ".bvh"
        for motion in load_motions(path, **(options if is_bvh else {})):
            try:
                human_pose(motion)
            except InputError as error:
                raise InputError(
                    f"{path}, motion {error}; on the command line, put them into a JSON file "
                    '({"roles": {"pelvis": "Hips", ...}}) and name it with --env.bvh (evaluate: '
                    "--bvh)"
                ) from error
            motions.append(motion)
    return motions


def _read_options(path: Path) -> dict[str, Any]:
    """How to read BVH files, from a JSON file."""
    try:
        options = read_json(path)
    except InputError as error:
        raise InputError(f"--env.bvh: {error}") from None
    roles = options.get("roles") if isinstance(options, dict) else None
    checks = {
        "an object": isinstance(options, dict),
        "roles an object of names": roles is None
        or (isinstance(roles, dict) and all(isinstance(name, str) for name in roles.values())),
    }
    if all(checks.values()):
        number = options.get("scale")
        checks = {
            "scale a number": number is None
            or (isinstance(number, int | float) and not isinstance(number, bool)),
            'up "y" or "z"': options.get("up") in (None, "y", "z"),
            "ground true or false": isinstance(options.get("ground", True), bool),
        }
    for needed, good in checks.items():
        if not good:
            raise InputError(f"--env.bvh {path}: {needed} is needed; correct the file")
    return options


def generated_motion(text: str) -> Any:
    """20 s of a generated motion, from KIND or KIND:SEED; InputError names what is wrong."""
    from jaxrl_envs.retarget.motion import generate_motion

    kind, _, seed = text.partition(":")
    if seed and not is_number(seed):
        raise InputError(f"generated motion {text}: the seed after the colon must be a number")
    return generate_motion(kind, seed=int(seed or 0), seconds=20.0)


def is_number(text: str) -> bool:
    """Whether a text is a whole number in the digits 0 to 9 (`isdigit` takes superscripts too)."""
    return text.isascii() and text.isdigit()


def make_world(env: RetargetEnv, *, motions: Any = None, disturbed: bool = False) -> Any:
    """The world `Retarget` of a run, or the same with other motions."""
    from jaxrl_envs.retarget.characters import make_character
    from jaxrl_envs.retarget.env import Retarget

    if env.physics_threads is not None and env.physics_threads < 1:
        raise InputError(f"--env.physics-threads must be at least 1, got {env.physics_threads}")
    return Retarget(
        make_character(env.character, env.damping),
        load_motions(env) if motions is None else motions,
        physics=env.physics,
        threads=env.physics_threads,
        disturbed=disturbed,
    )


def companion(world: Any, env: RetargetEnv) -> Any:
    """The world in which the policy is warm-started, measured and drawn: on the CPU, under engine
    c, as `drive` runs it. It is `world` itself where that runs under c, for MJX would have to be
    compiled once more for each of these."""
    import jax

    from jaxrl_rewards.studies.sparse_retargeting.train.host import host_device

    if world.physics.engine == "c":
        return world
    with jax.default_device(host_device()):
        return make_world(dataclasses.replace(env, physics="c"), motions=world.motions)


def world_params(env: RetargetEnv, world: Any) -> Any:
    """The world's params with the stream's faults that the run asks for."""
    import jax.numpy as jnp

    params = world.default_params()
    number = lambda value: jnp.asarray(value, jnp.float32)  # noqa: E731
    sensors = params.sensors.replace(
        position_noise=number(env.position_noise),
        rotation_noise=number(env.rotation_noise),
        drop=number(env.drop),
        latency=jnp.asarray(env.latency, jnp.int32),
        controllers=number(env.controllers),
    )
    return params.replace(sensors=sensors)


def make_params(world: Any, task: RetargetTask) -> Any:
    """The world's params as the run uses them."""
    params = world_params(task.env, world)
    # A return is then at most about 1, whatever the discount.
    return params.replace(reward=params.reward * (1.0 - task.discount))


def make_network(world: Any, task: RetargetTask) -> Any:
    """The actor sees `actor` alone, the critic everything; the deviation is a constant."""
    from jaxrl_rewards.learners.action_head import action_head
    from jaxrl_rewards.networks.actor_critic import mlp_actor_critic

    return mlp_actor_critic(
        world.spec.observation_space,
        action_head(world.spec.action_space).size,
        hidden=tuple(task.hidden),
        activate="elu",
        actor_key="actor",
        log_std=task.log_std,
        learn_std=False,
    )


def make_learner(world: Any, task: RetargetTask) -> Any:
    """PPO with the settings of a task."""
    from jaxrl_rewards.learners.start_sampling import count_starts, weigh_starts

    params = make_params(world, task)
    starts = params.start_weights.size
    config = PPOConfig(
        num_envs=task.num_envs,
        unroll_length=task.unroll,
        num_epochs=task.epochs,
        num_minibatches=task.minibatches,
        hidden=tuple(task.hidden),
        activation="elu",
        auto_reset="pool",
        normalise_observations=True,
        clip_values=False,
        adapt_to_kl=True,
    )
    hparams = PPOHParams(
        env_params=params,
        learning_rate=task.learning_rate,
        critic_learning_rate=task.critic_learning_rate,
        discount=task.discount,
        trace_decay=task.trace_decay,
        clip=task.clip,
        entropy_coefficient=0.0,
        value_coefficient=1.0,
        max_grad_norm=1.0,
        target_kl=task.target_kl,
    )
    learner = make_ppo(
        world,
        config,
        network=make_network(world, task),
        hparams=hparams,
        summarise=count_starts(starts) if task.failure_sampling else None,
    )
    return weigh_starts(learner) if task.failure_sampling else learner


def check_task(task: RetargetTask) -> None:
    """InputError names the first value out of range and what it should be."""
    at_least_one = ("steps", "num_envs", "unroll", "epochs", "minibatches", "chunk",
                    "evaluate_every", "evaluation_episodes", "final_episodes")  # fmt: skip
    checks = {name: (getattr(task, name) >= 1, "at least 1") for name in at_least_one}
    checks |= {
        name: (0 < getattr(task, name) < math.inf, "above 0 and finite")
        for name in ("clip", "learning_rate", "target_kl", "critic_learning_rate")
    }
    limit = task.time_limit_minutes
    checks |= {
        "hidden": (bool(task.hidden) and min(task.hidden) >= 1, "widths of at least 1"),
        "log_std": (-20 <= task.log_std <= 2, "between -20 and 2"),
        "discount": (0 <= task.discount < 1, "at least 0 and below 1"),
        "trace_decay": (0 <= task.trace_decay <= 1, "between 0 and 1"),
        "seed": (0 <= task.seed < 2**32, "between 0 and 2**32 - 1"),
        "clone_rounds": (task.clone_rounds >= 0, "at least 0"),
        "time_limit_minutes": (limit is None or limit > 0, "above 0"),
        "picture_seconds": (0 <= task.picture_seconds < math.inf, "at least 0 and finite"),
        "stop_at_followed": (
            task.stop_at_followed is None or 0 < task.stop_at_followed <= 1,
            "above 0 and at most 1",
        ),
        "env.damping": (0 < task.env.damping <= 1, "above 0 and at most 1"),
        "env.drop": (0 <= task.env.drop < 1, "at least 0 and below 1"),
        "env.latency": (task.env.latency >= 0, "at least 0"),
        "env.position_noise": (0 <= task.env.position_noise < math.inf, "at least 0 and finite"),
        "env.rotation_noise": (0 <= task.env.rotation_noise < math.inf, "at least 0 and finite"),
    }
    for name, (good, needed) in checks.items():
        if not good:
            value = task
            for part in name.split("."):
                value = getattr(value, part)
            raise InputError(f"--{name.replace('_', '-')} must be {needed}, got {value}")
    if task.num_envs * task.unroll % task.minibatches:
        raise InputError(
            f"--minibatches {task.minibatches} must divide the {task.num_envs * task.unroll} steps "
            "of an update"
        )


def default_out(task: RetargetTask) -> Path:
    """The run's folder."""
    return task.out or Path("runs") / f"retarget-{Path(task.env.character).stem}"


def usable_threads(task: RetargetTask) -> int:
    """Physics threads of a task."""
    from jaxrl_envs.physics import usable_cores

    return task.env.physics_threads or usable_cores()
