"""A package that is missing is one sentence with the command that installs it, before any work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxrl_rewards.core.extras import EXTRAS, missing_package

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "envs")])}
ALL = "mujoco,tensorboardX,brax,gymnasium,gymnax,rejax,six"

NEEDS = {
    "list retarget": "mujoco",
    "train ppo --env retarget": "mujoco",
    "train ppo --env planar-retarget --out x": "mujoco",
    "train ppo --tensorboard": "tensorboardX",
    "train retarget": "mujoco",
    "train retarget --env.character mouse --out x": "mujoco",
    "train retarget --env.physics jax": "mujoco",
    "train eureka --world ball": "mujoco",
    "evaluate RUN": "mujoco",
    "drive RUN": "mujoco",
    "reproduce sparse_retargeting --quick": "mujoco",
}
"""Commands and the package without which they cannot be run."""
GO_ON = [
    "list",
    "list --json",
    "list CartPole-v1",
    "list --quantities Pendulum-v1",
    "train ppo --help",
    "train retarget --help",
    "evaluate --help",
    "drive --help",
    "reproduce eureka --help",
    "bench --help",
    "design --help",
    "train gui --help",
    "train eureka --help",
]
"""Commands that do without all of them."""


def outcomes(folder, blocked, commands) -> list[dict]:
    """What the commands do in a folder where these packages cannot be imported."""
    words = [command.split() for command in commands]
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.without_extras", blocked, json.dumps(words)],
        cwd=folder, env=OURS, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path):
    """With what looks like a run of an avatar."""
    (tmp_path / "RUN").mkdir()
    (tmp_path / "RUN" / "config.json").write_text(json.dumps({"config": {"kind": "retarget"}}))
    return tmp_path


@pytest.mark.parametrize("blocked", [ALL, "mujoco", "tensorboardX"])
def test_a_missing_package_is_one_sentence_before_any_work(folder, blocked):
    missing = set(blocked.split(","))
    commands = [command for command, needs in NEEDS.items() if needs in missing]
    for command, outcome in zip(commands, outcomes(folder, blocked, commands), strict=True):
        needs = NEEDS[command]
        assert outcome["code"] == 2, (command, outcome)
        assert len(outcome["err"].strip().splitlines()) == 1, (command, outcome)
        if not command.endswith("RUN"):  # whose files are none, which may be seen first
            assert f"needs {needs}" in outcome["err"], (command, outcome)
            assert f"pip install 'jaxrl-rewards[{EXTRAS[needs]}]'" in outcome["err"]
        assert outcome["left"] == [], (command, outcome)


def test_everything_else_does_without(folder):
    for command, outcome in zip(GO_ON, outcomes(folder, ALL, GO_ON), strict=True):
        assert outcome["code"] == 0, (command, outcome)
        assert outcome["left"] == [], (command, outcome)


@pytest.mark.parametrize("blocked", ["brax", "gymnasium", "gymnax"])
def test_adapters_name_the_package_that_they_need(blocked):
    script = f"""
import sys
from tests.cli.without_extras import Blocker
sys.meta_path.insert(0, Blocker(["{blocked}"]))
import jaxrl_rewards as jr
from jaxrl_envs import adapters
calls = {{
    "brax": lambda: adapters.from_brax("inverted_pendulum"),
    "gymnasium": lambda: adapters.to_gymnasium(jr.make("CartPole-v1")),
    "gymnax": lambda: adapters.from_gymnax("CartPole-v1"),
}}
try:
    calls["{blocked}"]()
except jr.InputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=OURS, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert blocked in done.stdout and "pip install 'jaxrl-rewards[" in done.stdout


def test_only_packages_of_extras_are_explained():
    told = missing_package(ModuleNotFoundError("x", name="mujoco.batch"), "this train")
    assert told == (
        "this train needs mujoco, which cannot be imported; install it with: "
        "pip install 'jaxrl-rewards[physics]'"
    )
    assert missing_package(ModuleNotFoundError("x", name="no_such_package"), "this") is None
