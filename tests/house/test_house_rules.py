"""The rules of the house, read from the source: who may import whom, and what no file holds."""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "jaxrl_rewards"
WORLDS = REPOSITORY / "envs" / "jaxrl_envs"

FOUNDATION = {"core"}
KERNELS = {"rewards", "reward_models", "credit", "losses", "networks"}
LEARNING = {"rollout", "learners", "reward_design"}
ORDER = [
    FOUNDATION,
    KERNELS,
    LEARNING | {"hosts"},
    {"train", "testing"},
    {"studies"},
    {"cli", "commands"},
]
MAY_IMPORT_WORLDS = {"studies", "cli", "commands", "envs", "__init__"}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> list[tuple[int, str]]:
    """`(line, dotted name)` of everything that a file imports, wherever it does so."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} uses a relative import"
            found.append((node.lineno, node.module))
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def floor(name: str) -> int:
    return next(i for i, names in enumerate(ORDER) if name in names)


def part_of(path: Path) -> str:
    relative = path.relative_to(LIBRARY)
    return relative.parts[0].removesuffix(".py")


def show(path: Path, line: int, name: str) -> str:
    return f"{path.relative_to(REPOSITORY)}:{line} imports {name}"


def test_sub_packages_import_downwards_only():
    known = set().union(*ORDER) | {"envs", "__init__"}
    wrong = []
    for path in files(LIBRARY):
        own = part_of(path)
        assert own in known, f"{path} is on no floor of the house; add it to ORDER"
        if own in ("envs", "__init__"):
            continue
        for line, name in imports(path):
            parts = name.split(".")
            if parts[0] != "jaxrl_rewards" or len(parts) < 2 or parts[1] not in known:
                continue
            other = parts[1]
            if other == "envs":
                allowed = own in MAY_IMPORT_WORLDS
            elif other == "__init__":
                allowed = True
            else:
                allowed = other == own or floor(other) <= floor(own)
            if not allowed:
                wrong.append(show(path, line, name))
    assert not wrong, wrong


def test_worlds_import_core_and_rewards_only():
    wrong = []
    for path in files(WORLDS):
        for line, name in imports(path):
            parts = name.split(".")
            if parts[0] == "jaxrl_rewards" and (
                len(parts) < 2 or parts[1] not in ("core", "rewards")
            ):
                wrong.append(show(path, line, name))
    assert not wrong, wrong


def test_few_of_ours_import_worlds():
    wrong = [
        show(path, line, name)
        for path in files(LIBRARY)
        for line, name in imports(path)
        if name.split(".")[0] == "jaxrl_envs" and part_of(path) not in MAY_IMPORT_WORLDS
    ]
    assert not wrong, wrong


MAY_BE_MISSING = {"physics/host_call.py": "jax.experimental.buffer_callback"}
"""Modules that break with minor releases, imported where their absence is provided for."""
BANNED = ("envs", "flax.nnx", "jax._src", "jax.pmap", "jax.experimental", "flax.experimental")


def test_banned_modules_are_nowhere():
    """`envs` would register every pytree twice; the others break with minor releases."""
    wrong = [
        show(path, line, name)
        for folder in (LIBRARY, WORLDS)
        for path in files(folder)
        for line, name in imports(path)
        if any(name == banned or name.startswith(banned + ".") for banned in BANNED)
        and not name.startswith(MAY_BE_MISSING.get("/".join(path.parts[-2:]), "\0"))
    ]
    dotted = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in BANNED if "." in name))
    for folder in (LIBRARY, WORLDS):
        for path in files(folder):
            if not dotted.search(path.read_text(encoding="utf-8")):
                continue
            for node in ast.walk(tree(path)):  # a docstring may name them
                if isinstance(node, ast.Attribute) and ast.unparse(node) in BANNED:
                    wrong.append(show(path, node.lineno, ast.unparse(node)))
    assert not wrong, wrong


LAZY = {"matplotlib", "PIL", "tyro", "mujoco", "brax", "gymnasium", "gymnax", "tensorboardX"}
NOT_EVEN_LAZY = {"torch", "tensorflow", "pandas"}
HOSTS_OF_LAZY = {"brax.py", "gymnasium.py", "gymnax.py"}


def test_heavy_packages_are_imported_inside_functions():
    wrong = []
    for folder in (LIBRARY, WORLDS):
        for path in files(folder):
            if path.parent.name == "adapters" and path.name in HOSTS_OF_LAZY:
                continue
            for node in tree(path).body:
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module]
                wrong += [
                    show(path, node.lineno, name)
                    for name in names
                    if name.split(".")[0] in LAZY | NOT_EVEN_LAZY
                ]
    assert not wrong, wrong


def test_modules_are_of_readable_length():
    long = {
        str(path.relative_to(REPOSITORY)): count
        for folder in (LIBRARY, WORLDS)
        for path in files(folder)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert not long, long


# Written in pieces, so that this file does not hold them itself.
PATHS = re.compile(
    r"(?<![\w.~/:-])/(?:"
    + "|".join(["ro" + "ot", "wo" + "rk", "ho" + "me", "Us" + "ers", "t" + "mp"])
    + r")/[\w.-]+"
)
HOSTS = re.compile(r"https?://[\w.-]*(?:" + "|".join(["py" + "pi", "artif" + "act"]) + r")[\w.-]*")
TEXT = {".py", ".md", ".toml", ".txt", ".json", ".cfg", ".yml", ".yaml", ".ipynb", ".cff", ""}


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "-z"], capture_output=True, text=True
    )
    if done.returncode or not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout, so there is no list of the project's files")
    return [REPOSITORY / name for name in done.stdout.split("\0") if name]


def test_no_machine_paths_or_package_hosts_in_any_file():
    wrong = []
    for path in tracked():
        if path.suffix not in TEXT or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for pattern in (PATHS, HOSTS):
                if match := pattern.search(line):
                    wrong.append(f"{path.relative_to(REPOSITORY)}:{number} holds {match[0]}")
    assert not wrong, wrong


def test_no_large_or_generated_files_are_tracked():
    wrong = [
        str(path.relative_to(REPOSITORY))
        for path in tracked()
        if path.is_file()
        and (path.stat().st_size > 2_000_000 or {"__pycache__", "runs", ".venv"} & set(path.parts))
    ]
    assert not wrong, wrong


def packages() -> list[str]:
    names = []
    for root in ("jaxrl_rewards", "jaxrl_envs"):
        module = importlib.import_module(root)
        names.append(root)
        names += [
            info.name
            for info in pkgutil.walk_packages(module.__path__, prefix=f"{root}.")
            if info.ispkg
        ]
    return names


@pytest.mark.parametrize("package", packages())
def test_what_a_package_offers_exists_and_is_documented(package):
    module = importlib.import_module(package)
    assert inspect.getdoc(module), f"{package} has no docstring"
    offered = getattr(module, "__all__", ())
    assert len(set(offered)) == len(offered), f"{package}.__all__ names something twice"
    for name in offered:
        thing = getattr(module, name)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert thing.__doc__ and thing.__doc__.strip(), f"{package}.{name} has no docstring"
            generated = inspect.isclass(thing) and thing.__doc__.startswith(f"{name}(")
            assert not generated, f"{package}.{name} has no docstring of its own"


def python_scripts() -> list[str]:
    """The Python blocks of the README; one that continues stands behind those before it."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"(<!-- test: continues -->\n)?```python\n(.*?)```", readme, re.DOTALL)
    scripts: list[str] = []
    for continues, source in found:
        scripts.append(scripts.pop() + source if continues else source)
    return scripts


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(len(python_scripts())))
def test_the_examples_of_the_readme_run(number, tmp_path, monkeypatch):
    """With few updates."""
    source = python_scripts()[number].replace("recipe.updates", "2")
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "README.md", "exec"), {"__name__": "example"})


def test_the_readme_has_examples():
    assert len(python_scripts()) >= 2
