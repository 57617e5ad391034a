"""A program as users write it: strictly typed without a complaint, and it runs."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
OURS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "envs")])}


@pytest.fixture(scope="module")
def pyright():
    """The command of a type checker that is complete here: nothing is fetched for a test."""
    package = importlib.util.find_spec("pyright")
    if package is None:
        pytest.skip("pyright is not installed (pip install pyright; it needs node)")
    bundled = Path(package.origin).parent / "dist" / "index.js"
    if not bundled.exists() or shutil.which("node") is None:
        pytest.skip("pyright is installed, but would have to fetch itself or node first")
    return [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]


def complaints(pyright, folder, text) -> list[str]:
    """What the type checker says of a program under the strictest settings."""
    (folder / "program.py").write_text(text, encoding="utf-8")
    settings = {
        "include": ["program.py"],
        "typeCheckingMode": "strict",
        "extraPaths": [str(REPOSITORY), str(REPOSITORY / "envs")],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [*pyright, "-p", str(folder)], capture_output=True, text=True, timeout=300
    )
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1, done.stdout + done.stderr
    return [item["message"] for item in report["generalDiagnostics"]]


def test_the_script_of_a_user_is_typed(pyright, tmp_path):
    assert not complaints(pyright, tmp_path, (HERE / "user_script.py").read_text())


def test_names_that_are_not_there_are_seen(pyright, tmp_path):
    """Names that load on first use hide no typing mistake, and completion has all of them."""
    found = complaints(
        pyright,
        tmp_path,
        "import jaxrl_rewards as jr\n"
        "print(jr.make_pop, jr.rewards.GausianPoint, jr.reward_design.explicable.check_desing)\n"
        "jr.replace(3, 4)\n",
    )
    for name in ("make_pop", "GausianPoint", "check_desing", "positional"):
        assert any(name in message for message in found), (name, found)


def test_the_script_of_a_user_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, str(HERE / "user_script.py"), str(tmp_path / "run")],
        capture_output=True, text=True, timeout=400, env=OURS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "config.json").exists()
