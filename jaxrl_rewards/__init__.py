"""Reward design in JAX: rewards, worlds, credit and learners as pure functions.

Everything loads on first use, so `import jaxrl_rewards` is cheap and starts no backend. The
sub-packages hold all there is; what most programs need is offered here as well:

    import jaxrl_rewards as jr

    env = jr.make("CartPole-v1")
    result = jr.run(jr.make_ppo(env), key=jax.random.key(0), total_updates=100)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxrl_envs import adapters

    from jaxrl_rewards import (
        core,
        credit,
        envs,
        hosts,
        learners,
        losses,
        networks,
        reward_design,
        reward_models,
        rewards,
        rollout,
        studies,
        testing,
        train,
    )
    from jaxrl_rewards.core import (
        Box,
        DictSpace,
        Discrete,
        Env,
        EnvSpec,
        InputError,
        MultiDiscrete,
        Quantity,
        Space,
        TimeStep,
        Trajectories,
        check_env,
        first_timestep,
        record,
        replace,
        static_field,
    )
    from jaxrl_rewards.envs import describe, make, names, register
    from jaxrl_rewards.learners import (
        FitHParams,
        GroupConfig,
        GroupHParams,
        GRPOConfig,
        GRPOHParams,
        Learner,
        LearnerState,
        PPOConfig,
        PPOHParams,
        make_fit,
        make_group,
        make_grpo,
        make_ppo,
        one_seed,
        preset,
        seed_axes,
    )
    from jaxrl_rewards.rewards import (
        Cosine,
        FunctionReward,
        Linear,
        Piecewise,
        Renamed,
        Reward,
        RewardOutput,
        RewardTerm,
        Schedule,
        WeightedSum,
        resolve_schedules,
        reward_term,
        weighted_sum,
    )
    from jaxrl_rewards.testing import conform
    from jaxrl_rewards.train import (
        HostPart,
        RunResult,
        evaluate_policy,
        load_params,
        load_state,
        make_evaluator,
        run,
    )

__version__ = "0.1.0"

__all__ = [
    "Box",
    "Cosine",
    "DictSpace",
    "Discrete",
    "Env",
    "EnvSpec",
    "FitHParams",
    "FunctionReward",
    "GRPOConfig",
    "GRPOHParams",
    "GroupConfig",
    "GroupHParams",
    "HostPart",
    "InputError",
    "Learner",
    "LearnerState",
    "Linear",
    "MultiDiscrete",
    "PPOConfig",
    "PPOHParams",
    "Piecewise",
    "Quantity",
    "Renamed",
    "Reward",
    "RewardOutput",
    "RewardTerm",
    "RunResult",
    "Schedule",
    "Space",
    "TimeStep",
    "Trajectories",
    "WeightedSum",
    "__version__",
    "adapters",
    "check_env",
    "conform",
    "core",
    "credit",
    "describe",
    "envs",
    "evaluate_policy",
    "first_timestep",
    "hosts",
    "learners",
    "load_params",
    "load_state",
    "losses",
    "make",
    "make_evaluator",
    "make_fit",
    "make_group",
    "make_grpo",
    "make_ppo",
    "names",
    "networks",
    "one_seed",
    "preset",
    "record",
    "register",
    "replace",
    "resolve_schedules",
    "reward_design",
    "reward_models",
    "reward_term",
    "rewards",
    "rollout",
    "run",
    "seed_axes",
    "static_field",
    "studies",
    "testing",
    "train",
    "weighted_sum",
]

_SUBPACKAGES = {
    "core": "jaxrl_rewards.core",
    "credit": "jaxrl_rewards.credit",
    "envs": "jaxrl_rewards.envs",
    "hosts": "jaxrl_rewards.hosts",
    "learners": "jaxrl_rewards.learners",
    "losses": "jaxrl_rewards.losses",
    "networks": "jaxrl_rewards.networks",
    "reward_design": "jaxrl_rewards.reward_design",
    "reward_models": "jaxrl_rewards.reward_models",
    "rewards": "jaxrl_rewards.rewards",
    "rollout": "jaxrl_rewards.rollout",
    "studies": "jaxrl_rewards.studies",
    "testing": "jaxrl_rewards.testing",
    "train": "jaxrl_rewards.train",
    "adapters": "jaxrl_envs.adapters",
}
_NAMES = {
    "core": (
        "Box",
        "DictSpace",
        "Discrete",
        "Env",
        "EnvSpec",
        "InputError",
        "MultiDiscrete",
        "Quantity",
        "Space",
        "TimeStep",
        "Trajectories",
        "check_env",
        "first_timestep",
        "record",
        "replace",
        "static_field",
    ),
    "envs": ("describe", "make", "names", "register"),
    "learners": (
        "FitHParams",
        "GRPOConfig",
        "GRPOHParams",
        "GroupConfig",
        "GroupHParams",
        "Learner",
        "LearnerState",
        "PPOConfig",
        "PPOHParams",
        "make_fit",
        "make_group",
        "make_grpo",
        "make_ppo",
        "one_seed",
        "preset",
        "seed_axes",
    ),
    "rewards": (
        "Cosine",
        "FunctionReward",
        "Linear",
        "Piecewise",
        "Renamed",
        "Reward",
        "RewardOutput",
        "RewardTerm",
        "Schedule",
        "WeightedSum",
        "resolve_schedules",
        "reward_term",
        "weighted_sum",
    ),
    "testing": ("conform",),
    "train": (
        "HostPart",
        "RunResult",
        "evaluate_policy",
        "load_params",
        "load_state",
        "make_evaluator",
        "run",
    ),
}
_PLACES = {name: package for package, names in _NAMES.items() for name in names}


if not TYPE_CHECKING:

    def __getattr__(name):
        import importlib

        if name in _SUBPACKAGES:
            return importlib.import_module(_SUBPACKAGES[name])
        if name in _PLACES:
            package = importlib.import_module(f"jaxrl_rewards.{_PLACES[name]}")
            return globals().setdefault(name, getattr(package, name))
        raise AttributeError(f"module 'jaxrl_rewards' has no attribute {name!r}")

    def __dir__():
        return sorted(__all__)
