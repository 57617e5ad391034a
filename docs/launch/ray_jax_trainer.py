"""`jaxrl-rewards train ppo` on the workers of Ray Train's JaxTrainer.

    python docs/launch/ray_jax_trainer.py --workers 4 --out /shared/runs/cartpole [OPTIONS OF PPO]

JaxTrainer starts `jax.distributed` in every worker before it calls `train`, and the command finds
it running. `--out` must be a folder that all machines share. Needs a ray[train] whose JaxTrainer
has GPUs (for TPUs, which it had first: `use_tpu=True` with `topology` and `accelerator_type`).
"""

import argparse

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.jax import JaxTrainer


def train(config: dict) -> None:
    """Run the command in one worker; an exit code other than 0 fails the worker."""
    from jaxrl_rewards.cli import main

    code = main(["train", "ppo", *config["options"]])
    if code:
        raise RuntimeError(f"jaxrl-rewards train ppo ended with code {code}")


def parse() -> tuple[argparse.Namespace, list[str]]:
    """The options of this script, and those that go to the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4, help="one process each")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs of each worker")
    parser.add_argument("--out", required=True, help="a folder that all machines share")
    parser.add_argument("--restarts", type=int, default=10, help="after the loss of a worker")
    return parser.parse_known_args()


if __name__ == "__main__":
    arguments, options = parse()
    trainer = JaxTrainer(
        train,
        train_loop_config={"options": [*options, "--resume", "--out", arguments.out]},
        scaling_config=ScalingConfig(
            num_workers=arguments.workers,
            use_gpu=True,
            resources_per_worker={"GPU": arguments.gpus},
        ),
        run_config=RunConfig(
            name="jaxrl-ppo",
            storage_path=arguments.out,
            failure_config=FailureConfig(max_failures=arguments.restarts),
        ),
    )
    trainer.fit()
