"""PPO solves the control tasks; time limits matter; group methods agree where theory says so.

Sources: PPO (arXiv 1707.06347), GAE (1506.02438), GRPO (2402.03300), RLOO (2402.14740), Dr.GRPO
(2503.20783), REINFORCE++ (2501.03262).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core import Box, Discrete, EnvSpec, TimeStep, first_timestep, record
from jaxrl_rewards.credit import gae, group_advantages
from jaxrl_rewards.learners.grpo import GRPOConfig, make_grpo
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.losses import aggregate
from jaxrl_rewards.rewards import Reward, RewardTerm
from jaxrl_rewards.rewards.schedule import Linear
from jaxrl_rewards.studies.api import (
    Study,
    StudyResult,
    Verdict,
    bootstrap_interval,
    difference_interval,
)
from jaxrl_rewards.train.evaluation import evaluate_policy

GROUP_METHODS = ("grpo", "dr_grpo", "rloo", "reinforce_plus_plus")


@dataclasses.dataclass(frozen=True)
class CoreConfig:
    """Sizes of the study."""

    seeds: int = 8
    """Seeds per arm, trained side by side."""
    cartpole_steps: int = 500_000
    """Environment steps per seed on CartPole."""
    acrobot_steps: int = 300_000
    """Environment steps per seed on Acrobot."""
    pendulum_steps: int = 400_000
    """Environment steps per seed on Pendulum."""
    bandit_updates: int = 150
    """Updates of each group method on the bandit."""
    evaluation_episodes: int = 20
    """Deterministic episodes per seed after training."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(
                    f"{field.name} must be at least 1, got {getattr(self, field.name)}"
                )


@dataclasses.dataclass(frozen=True)
class Task:
    """A control task with the sizes and numbers PPO uses on it."""

    env: str
    solved: float
    ppo: PPOConfig
    learning_rate: float = 2.5e-4
    discount: float = 0.99
    entropy_coefficient: float = 0.01


TASKS = {
    "CartPole": Task("CartPole-v1", 450.0, PPOConfig(num_envs=4, unroll_length=128)),
    "Acrobot": Task("Acrobot-v1", -100.0, PPOConfig(num_envs=16, unroll_length=128), 1e-3),
    "Pendulum": Task(
        "Pendulum-v1",
        -250.0,
        PPOConfig(num_envs=16, unroll_length=128, num_epochs=8, normalise_rewards=True),
        learning_rate=1e-3,
        discount=0.95,
        entropy_coefficient=0.0,
    ),
}


def train_control(
    task: Task, steps: int, seeds: int, episodes: int, time_limits: str = "bootstrap"
) -> tuple[np.ndarray, np.ndarray]:
    """`(learning curves [seeds, points], evaluation returns [seeds])` of PPO; one compile."""
    from jaxrl_envs import registry

    env = registry.make(task.env)
    config = dataclasses.replace(task.ppo, time_limits=time_limits)
    updates = max(1, round(steps / (config.num_envs * config.unroll_length)))
    hparams = PPOHParams(
        env_params=env.default_params(),
        learning_rate=Linear(start=task.learning_rate, stop=0.0, begin=0.0, end=float(updates)),
        discount=task.discount,
        entropy_coefficient=task.entropy_coefficient,
    )
    learner = make_ppo(env, config, hparams=hparams)

    def one(key):
        state = learner.init(key, hparams)
        state, metrics = jax.lax.scan(
            lambda s, _: learner.update(s, hparams), state, None, length=updates
        )
        result = evaluate_policy(
            learner, state, env, hparams.env_params, jax.random.fold_in(key, 1), episodes
        )
        return metrics["episode_return"], result["return"]

    curves, returns = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), seeds))
    return _thin(np.asarray(curves), 100), np.asarray(returns, np.float64)


def _thin(curves: np.ndarray, points: int) -> np.ndarray:
    """At most `points` columns, evenly spaced, the last one included."""
    index = np.unique(np.linspace(0, curves.shape[1] - 1, points).astype(int))
    return curves[:, index]


def time_limit_value(bootstrap: bool, key: jax.Array, *, limit: int = 20, updates: int = 4000):
    """TD(0) value of a task with one observation, reward 1 at each step, and a time limit.

    With γ = 0.95 the fixed point is 1 / (1 − γ) = 20 when a truncated step bootstraps, and
    1 / (1 − γ (1 − 1/limit)) = 10.26 when truncation counts as termination. The phase of the
    episode is random.
    """
    discount, rate = 0.95, 0.05
    phase = jax.random.randint(key, (), 0, limit)
    end = (jnp.arange(limit) + phase) % limit == limit - 1
    ends = end.astype(jnp.float32)
    no = jnp.zeros_like(ends)
    terminated, truncated = (no, ends) if bootstrap else (ends, no)

    def step(value, _):
        values = jnp.full((limit,), value)
        advantage, _ = gae(jnp.ones((limit,)), values, values, terminated, truncated, discount, 0.0)
        return value + rate * jnp.mean(advantage), None

    return jax.lax.scan(step, jnp.zeros(()), None, length=updates)[0]


@record
class ArmReward(RewardTerm):
    """Reward of the chosen arm in the context, with noise drawn at reset."""

    name = "arm"

    def value(self, prev: Any, action: Any, nxt: Any) -> jax.Array:
        """The chosen arm's mean plus the step's noise."""
        return nxt.means[action] + nxt.noise[action]


@record
class BanditParams:
    """The reward."""

    reward: Reward


@record
class BanditState:
    """Means and noise of the arms in this context."""

    context: jax.Array
    means: jax.Array
    noise: jax.Array


class ContextualBandit:
    """Eight arms whose means are a fixed random linear function of a 4-d context.

    Observation: the context, float32 `[4]`. Action: the arm. Reward: its mean, squashed to
    (0, 1), plus noise of deviation 0.1. One step.
    """

    spec = EnvSpec("contextual-bandit", Box(-5.0, 5.0, (4,)), Discrete(8), 1, ("arm",))

    def __init__(self) -> None:
        self.weights = np.random.default_rng(7).normal(size=(4, 8)).astype(np.float32)

    def default_params(self) -> BanditParams:
        """The arm's reward with weight 1."""
        return BanditParams(reward=ArmReward())

    def reset(self, key: jax.Array, params: BanditParams) -> tuple[BanditState, TimeStep]:
        """Draw a context."""
        key_context, key_noise = jax.random.split(key)
        context = jnp.clip(jax.random.normal(key_context, (4,)), -5.0, 5.0)
        state = BanditState(
            context=context,
            means=jax.nn.sigmoid(context @ self.weights),
            noise=0.1 * jax.random.normal(key_noise, (8,)),
        )
        return state, first_timestep(context, params.reward.names, {})

    def step(
        self, key: jax.Array, state: BanditState, action: jax.Array, params: BanditParams
    ) -> tuple[BanditState, TimeStep]:
        """Pull an arm."""
        out = params.reward.evaluate(state, action, state)
        yes = jnp.ones((), bool)
        return state, TimeStep(
            obs=state.context,
            reward=out.total,
            terms=out.terms,
            applicable=out.applicable,
            terminated=yes,
            truncated=~yes,
            final_obs=state.context,
            info={},
        )


def train_bandit(method: str, updates: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """`(curves of regret [seeds, points], final regret [seeds])` of a group method."""
    env = ContextualBandit()
    config = GRPOConfig(num_prompts=32, group_size=8, advantage=method, hidden=(32,))
    learner = make_grpo(env, config)
    # Dr.GRPO and RLOO advantages are smaller by the group's deviation (about 0.2 here); Adam
    # makes the step size independent of that scale, so one learning rate is fair to all.
    hparams = learner.hparams.replace(learning_rate=5e-3, kl_coefficient=0.0)
    contexts, _ = jax.vmap(env.reset, in_axes=(0, None))(
        jax.random.split(jax.random.key(99), 512), hparams.env_params
    )

    def regret(state):
        actions = jax.vmap(lambda obs: learner.act(state, obs, (), None)[0])(contexts.context)
        chosen = jnp.take_along_axis(contexts.means, actions[:, None], axis=1)[:, 0]
        return jnp.mean(jnp.max(contexts.means, axis=1) - chosen)

    def one(key):
        def step(state, _):
            state, _ = learner.update(state, hparams)
            return state, regret(state)

        _, curve = jax.lax.scan(step, learner.init(key, hparams), None, length=updates)
        return curve

    keys = jax.random.split(jax.random.key(1), seeds)
    curves = np.asarray(jax.jit(jax.vmap(one))(keys), np.float64)
    return _thin(curves, 100), curves[:, -1]


def identities(seeds: int) -> dict[str, np.ndarray]:
    """Errors of what must hold exactly, one number per seed.

    rloo_parallel        1 − cosine between GRPO's and RLOO's advantages of a group
    rloo_factor          |RLOO − G/(G−1) · Dr.GRPO|
    duplicate_token_mean change of the token-mean loss when the batch is given twice
    padding              change of every loss when padding and an empty answer are added
    length_bias          |n · (weight of a token in a wrong answer of length n) − 1|, seq-mean
    """

    def one(key):
        scores = jax.random.normal(key, (8,))
        grpo, drgrpo, rloo = (
            group_advantages(scores, mode=mode) for mode in ("grpo", "dr_grpo", "rloo")
        )
        cosine = jnp.vdot(grpo, rloo) / (jnp.linalg.norm(grpo) * jnp.linalg.norm(rloo))
        loss = jax.random.normal(jax.random.fold_in(key, 1), (4, 6))
        mask = (jnp.arange(6) < jnp.array([[6], [4], [2], [1]])).astype(jnp.float32)
        token = aggregate(loss, mask, "token-mean")
        doubled = aggregate(jnp.tile(loss, (2, 1)), jnp.tile(mask, (2, 1)), "token-mean")
        padded_loss = jnp.pad(loss, ((0, 1), (0, 3)), constant_values=9.0)
        padded_mask = jnp.pad(mask, ((0, 1), (0, 3)))
        changes = [
            jnp.abs(
                aggregate(loss, mask, mode, 24.0) - aggregate(padded_loss, padded_mask, mode, 24.0)
            )
            for mode in ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum",
                         "seq-mean-token-sum-norm")
        ]  # fmt: skip
        weights = jax.grad(lambda values: aggregate(values, mask, "seq-mean-token-mean"))(loss)
        lengths = jnp.array([6.0, 4.0, 2.0, 1.0])
        return {
            "rloo_parallel": 1.0 - cosine,
            "rloo_factor": jnp.max(jnp.abs(rloo - 8.0 / 7.0 * drgrpo)),
            "duplicate_token_mean": jnp.abs(token - doubled),
            "padding": jnp.max(jnp.stack(changes)),
            "length_bias": jnp.max(jnp.abs(4.0 * weights[:, 0] * lengths - 1.0)),
        }

    errors = jax.vmap(one)(jax.random.split(jax.random.key(2), seeds))
    return {name: np.asarray(value, np.float64) for name, value in errors.items()}


def run(config: CoreConfig, report: Callable[[str, float], None]) -> StudyResult:
    """Train all arms."""
    seeds, episodes = config.seeds, config.evaluation_episodes
    arms: dict[str, dict[str, list[float]]] = {}
    curves: dict[str, dict[str, Any]] = {}
    jobs = [
        ("CartPole", config.cartpole_steps, "bootstrap"),
        ("CartPole", config.cartpole_steps, "termination"),
        ("Acrobot", config.acrobot_steps, "bootstrap"),
        ("Pendulum", config.pendulum_steps, "bootstrap"),
    ]
    for index, (name, steps, limits) in enumerate(jobs):
        report(f"PPO on {name} ({limits})", 0.02 + 0.8 * index / len(jobs))
        curve, returns = train_control(TASKS[name], steps, seeds, episodes, limits)
        arm = f"PPO {name}" + ("" if limits == "bootstrap" else ", limits as ends")
        solved = (returns >= TASKS[name].solved).astype(float)
        arms[arm] = {"return": returns.tolist(), "solved": solved.tolist()}
        panel = curves.setdefault(f"{name} return", {"xlabel": "% of the steps"})
        panel["x"] = np.linspace(0, 100, curve.shape[1])
        panel[arm] = curve
    keys = jax.random.split(jax.random.key(3), seeds)
    for label, bootstrap in (("bootstrap", True), ("limits as ends", False)):
        values = jax.vmap(lambda key, b=bootstrap: time_limit_value(b, key))(keys)
        arms[f"TD(0), {label}"] = {"value": np.asarray(values, np.float64).tolist()}
    for index, method in enumerate(GROUP_METHODS):
        report(f"bandit: {method}", 0.85 + 0.03 * index)
        curve, final = train_bandit(method, config.bandit_updates, seeds)
        arms[f"bandit {method}"] = {"regret": final.tolist()}
        panel = curves.setdefault("bandit regret", {"xlabel": "% of the updates"})
        panel["x"] = np.linspace(0, 100, curve.shape[1])
        panel[method] = curve
    exact = {name: values.tolist() for name, values in identities(seeds).items()}
    arms["identities"] = {f"error {name}": values for name, values in exact.items()}
    budget = {
        "CartPole steps per seed": config.cartpole_steps,
        "Acrobot steps per seed": config.acrobot_steps,
        "Pendulum steps per seed": config.pendulum_steps,
        "bandit answers per seed": config.bandit_updates * 32 * 8,
    }
    return StudyResult(arms=arms, curves=curves, budget=budget)


def claim(result: StudyResult, config: CoreConfig) -> Verdict:
    """Judge the measured numbers."""
    arms = result.arms
    measured: dict[str, Any] = {}
    required: dict[str, str] = {}
    interval: dict[str, tuple[float, float]] = {}
    passed = []

    def check(name: str, values: Any, text: str, good: bool) -> None:
        data = np.asarray(values, np.float64)
        measured[name] = float(data.mean())
        interval[name] = bootstrap_interval(data)
        required[name] = text
        passed.append(bool(good))

    for name, task in TASKS.items():
        values = arms[f"PPO {name}"]["solved"]
        share = float(np.mean(values))
        check(f"{name}: share of seeds at {task.solved:g} or more", values, ">= 0.8", share >= 0.8)
    right, wrong = (
        np.asarray(arms[f"TD(0), {x}"]["value"]) for x in ("bootstrap", "limits as ends")
    )
    check("value with bootstrap at the limit", right, "20 +- 0.1", np.all(np.abs(right - 20) < 0.1))
    expected = 1.0 / (1.0 - 0.95 * (1.0 - 1.0 / 20.0))
    check(
        "value with limits as ends", wrong, f"{expected:.2f} +- 0.1",
        np.all(np.abs(wrong - expected) < 0.1),
    )  # fmt: skip
    reference = np.asarray(arms["bandit grpo"]["regret"])
    for method in GROUP_METHODS:
        regret = np.asarray(arms[f"bandit {method}"]["regret"])
        check(f"bandit regret, {method}", regret, "<= 0.05", regret.mean() <= 0.05)
        if method != "grpo":
            name = f"bandit regret, {method} - grpo"
            low, high = difference_interval(regret, reference)
            measured[name], interval[name] = float((regret - reference).mean()), (low, high)
            required[name] = "within +- 0.02"
            passed.append(low >= -0.02 and high <= 0.02)
    worst = max(max(values) for values in arms["identities"].values())
    measured["largest error of an identity"] = worst
    required["largest error of an identity"] = "<= 1e-5"
    passed.append(worst <= 1e-5)
    low, high = difference_interval(
        arms["PPO CartPole"]["return"], arms["PPO CartPole, limits as ends"]["return"]
    )
    note = (
        "CartPole return, bootstrap minus limits as ends: "
        f"[{low:.1f}, {high:.1f}] (reported, not claimed)"
    )
    return Verdict(
        passed=all(passed),
        measured=measured,
        required=required,
        seeds=config.seeds,
        interval=interval,
        notes=(note,),
    )


STUDY = Study(
    slug="grpo_ppo_core",
    title="Learner mathematics: PPO on control tasks, and group methods",
    paper="PPO, GAE, GRPO, RLOO, Dr.GRPO, REINFORCE++ (see the module's text).",
    claims=(
        "PPO solves CartPole, Acrobot and Pendulum on at least 4 of 5 seeds.",
        "Bootstrapping at a time limit gives the right value; treating it as an end does not.",
        "GRPO, Dr.GRPO, RLOO and REINFORCE++ advantages agree up to a factor, and learn alike.",
    ),
    config=CoreConfig(),
    run=run,
    claim=claim,
    functions=(
        "jaxrl_rewards.credit.gae",
        "jaxrl_rewards.credit.group_advantages",
        "jaxrl_rewards.losses.policy_loss",
        "jaxrl_rewards.losses.value_loss",
        "jaxrl_rewards.losses.kl_estimate",
        "jaxrl_rewards.learners.make_ppo",
        "jaxrl_rewards.learners.make_grpo",
    ),
    worlds=("CartPole-v1", "Acrobot-v1", "Pendulum-v1"),
)
