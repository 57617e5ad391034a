"""The wheel, installed elsewhere; and how little an import loads."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
STUDY_RESULTS = REPOSITORY / "jaxrl_rewards" / "assets" / "study_results.json"
COPIED = ("jaxrl_rewards", "envs", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")


def run(command, **kwargs) -> str:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=500,
        env=environment | kwargs.pop("env", {}), **kwargs,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing is left in the checkout; skips without hatchling."""
    pytest.importorskip("hatchling", reason="building without a network needs hatchling installed")
    source = tmp_path_factory.mktemp("source")
    for name in COPIED:
        path = REPOSITORY / name
        if path.is_dir():
            shutil.copytree(
                path, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
            )
        elif path.is_file():
            shutil.copy(path, source / name)
    out = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source])
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The Python of a clean environment that holds the wheel, and sees our dependencies."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = Path(
        run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
    )
    run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
         "--no-index", wheel])  # fmt: skip
    ours = sysconfig.get_path("purelib")
    # appended after the clean environment's own packages; its .pth files are not read, so an
    # editable installation of this project stays out of sight
    (site / "dependencies.pth").write_text(ours + "\n")
    return python


@pytest.mark.slow
def test_wheel_holds_two_packages_and_their_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"jaxrl_rewards", "jaxrl_envs"}
    assert {"jaxrl_rewards/py.typed", "jaxrl_envs/py.typed"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
    assets = REPOSITORY / "jaxrl_rewards" / "assets"
    for asset in assets.iterdir():
        assert f"jaxrl_rewards/assets/{asset.name}" in names
    assert len(set(names)) == len(names)
    sources = {
        f"{base.name}/{path.relative_to(base)}"
        for base in (REPOSITORY / "jaxrl_rewards", REPOSITORY / "envs" / "jaxrl_envs")
        for path in base.rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == sources


@pytest.mark.slow
def test_installed_wheel_works_from_anywhere(installed, tmp_path):
    script = """
import json, jaxrl_rewards, jaxrl_envs
from jaxrl_rewards import envs
env = envs.make("CartPole-v1")
print(json.dumps([jaxrl_rewards.__file__, jaxrl_envs.__file__, env.spec.name, len(envs.names())]))
"""
    ours, worlds, name, count = json.loads(run([installed, "-c", script], cwd=tmp_path))
    assert Path(ours).is_relative_to(installed.parent.parent)
    assert Path(worlds).is_relative_to(installed.parent.parent)
    assert name == "CartPole-v1" and count >= 10
    command = installed.parent / "jaxrl-rewards"
    assert "reproduce" in run([command, "--help"], cwd=tmp_path)
    report = json.loads(run([command, "list", "--json"], cwd=tmp_path))
    assert "CartPole-v1" in report["worlds"]
    # what the studies last measured came with the package: there is no checkout here
    measured = {slug for slug, system in report["systems"].items() if system["last"]}
    assert measured == set(json.loads(STUDY_RESULTS.read_text())) and measured
    assert report["systems"]["gui_g2"]["status"].startswith("holds")
    assert list(tmp_path.iterdir()) == []


HEAVY = ("mujoco", "brax", "gymnasium", "gymnax", "matplotlib", "PIL", "tyro", "rich", "orbax",
         "optax", "flax", "jax", "numpy", "flax.nnx", "tensorflow", "torch")  # fmt: skip


def loaded_by(statement: str) -> dict:
    script = f"""
import json, sys
before = set(sys.modules)
{statement}
new = sorted(set(sys.modules) - before)
started = False
if "jax" in sys.modules:
    import jax
    try:
        jax.distributed.initialize(coordinator_address="localhost:1", num_processes=0)
    except RuntimeError as error:
        started = "backend" in str(error) or "computation" in str(error)
    except Exception:
        pass
print(json.dumps({{"new": new, "started": started}}))
"""
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "envs")])
    return json.loads(run([sys.executable, "-c", script], env={"PYTHONPATH": paths}))


def test_importing_the_package_loads_next_to_nothing():
    new = loaded_by("import jaxrl_rewards")["new"]
    assert not set(HEAVY) & set(new)
    ours = [name for name in new if name.startswith(("jaxrl_rewards", "jaxrl_envs"))]
    assert ours == ["jaxrl_rewards"] and len(new) < 20, new


def test_importing_every_layer_loads_no_optional_package_and_starts_no_backend():
    statement = (
        "import jaxrl_rewards.learners, jaxrl_rewards.rewards, jaxrl_rewards.train, "
        "jaxrl_rewards.studies, jaxrl_rewards.cli, jaxrl_envs"
    )
    found = loaded_by(statement)
    optional = {"mujoco", "brax", "gymnasium", "gymnax", "matplotlib", "PIL", "tyro", "flax.nnx"}
    assert not optional & set(found["new"])
    assert not found["started"]
