"""Everything that users need is found where they look, by people, programs and type checkers."""

import ast
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxrl_rewards

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "jaxrl_rewards"
OURS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "envs")])}
COVERED = ("rewards", "credit", "losses", "reward_design", "reward_models")
INTERNAL = {
    "credit/checks.py": "what several functions check of their arguments",
    "reward_design/trees.py": "vectors of parameters: dot, norm, select",
}
"""Modules that serve their neighbours alone, with the reason."""


def lazy_packages() -> list[str]:
    """Packages whose names load on first use."""
    found = []
    for path in LIBRARY.rglob("__init__.py"):
        if "lazy_exports(" in path.read_text(encoding="utf-8"):
            found.append(".".join(path.parent.relative_to(REPOSITORY).parts))
    return sorted(found)


def packages() -> list[str]:
    names = ["jaxrl_rewards"]
    for info in pkgutil.walk_packages(jaxrl_rewards.__path__, prefix="jaxrl_rewards."):
        if info.ispkg and hasattr(importlib.import_module(info.name), "__all__"):
            names.append(info.name)
    return names


@pytest.mark.parametrize("package", packages())
def test_every_offered_name_is_there_and_listed(package):
    module = importlib.import_module(package)
    listed = dir(module)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in listed, name
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        module.no_such_name  # noqa: B018


@pytest.mark.parametrize("package", ["jaxrl_rewards", *lazy_packages()])
def test_type_checkers_see_what_programs_see(package):
    """The imports under `TYPE_CHECKING` are those of `__all__`, from the modules named there."""
    path = REPOSITORY.joinpath(*package.split("."), "__init__.py")
    seen = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for imported in node.body:
                seen |= {alias.name: imported.module for alias in imported.names}
    module = importlib.import_module(package)
    assert set(seen) == set(module.__all__) - {"__version__"}
    for name, where in seen.items():
        parent = importlib.import_module(where)
        expected = getattr(parent, name, None) or importlib.import_module(f"{where}.{name}")
        assert getattr(module, name) is expected, name


@pytest.mark.parametrize("package", lazy_packages())
def test_no_name_is_hidden_by_a_module(package):
    """Importing `package.name` as a module would put the module in the name's place."""
    module = importlib.import_module(package)
    modules = {info.name for info in pkgutil.iter_modules(module.__path__)}
    for name in modules & set(module.__all__):
        assert getattr(module, name).__name__ == f"{package}.{name}"


def public_definitions(folder: str) -> dict[str, list[str]]:
    """Functions and classes without an underscore, by file."""
    found = {}
    for path in sorted((LIBRARY / folder).rglob("*.py")):
        place = path.relative_to(LIBRARY).as_posix()
        if path.name == "__init__.py" or place in INTERNAL:
            continue
        found[place] = [
            node.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        ]
    return found


@pytest.mark.parametrize("folder", COVERED)
def test_every_public_definition_is_offered_by_a_package(folder):
    """By its own package, one around it, or a module that such a package offers."""
    missing = []
    for place, names in public_definitions(folder).items():
        offered: set[str] = set()
        parts = Path(place).parent.parts
        for depth in range(1, len(parts) + 1):
            package = importlib.import_module(".".join(("jaxrl_rewards", *parts[:depth])))
            offered |= set(package.__all__)
            for name in package.__all__:
                thing = getattr(package, name)
                if inspect.ismodule(thing):
                    offered |= set(getattr(thing, "__all__", vars(thing)))
        missing += [f"{place}: {name}" for name in names if name not in offered]
    assert not missing, (
        f"{missing}: name them in their package (`__all__`; where names load on first use "
        "also under TYPE_CHECKING and in lazy_exports), or begin them with an underscore"
    )


def test_the_name_of_the_package_leads_everywhere():
    """By attribute alone, without another import."""
    script = """
import jaxrl_rewards as jr
print(jr.reward_design.explicable.check_design.__name__)
print(jr.reward_models.messages.MessageReward.__name__, jr.reward_models.MessageReward.__name__)
print(jr.rewards.GaussianPoint.__name__, jr.rewards.retarget_terms.__name__)
print(jr.credit.gae.__name__, jr.losses.kl_estimate.__name__, jr.networks.mlp.__name__)
print(jr.rollout.collect.__name__, jr.adapters.from_brax.__name__, jr.envs.make.__name__)
print(jr.train.run is jr.run, jr.testing.conform is jr.conform, jr.check_env.__name__)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=OURS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "check_design", "MessageReward", "MessageReward", "GaussianPoint", "retarget_terms",
        "gae", "kl_estimate", "mlp", "collect", "from_brax", "make", "True", "True", "check_env",
    ]  # fmt: skip


def test_errors_and_records_of_rewards_need_no_jax():
    """What trainers of language models import to score text."""
    script = "import sys, jaxrl_rewards.core.errors, jaxrl_rewards.rewards; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=OURS)
    loaded = set(done.stdout.split())
    assert "jaxrl_rewards.rewards" in loaded
    assert not loaded & {"jax", "flax", "numpy", "orbax"}


def test_replace_is_typed_and_refuses_what_is_no_record():
    reward = jaxrl_rewards.rewards.GaussianPoint()
    assert float(jaxrl_rewards.replace(reward, alpha=0.25).alpha) == 0.25
    with pytest.raises(TypeError, match="only records have fields to replace, got int"):
        jaxrl_rewards.replace(3, alpha=1)
    with pytest.raises(TypeError, match="alhpa"):
        jaxrl_rewards.replace(reward, alhpa=1)
