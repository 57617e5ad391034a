"""Every command and block of code of the README and of docs/ does what it says."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib

import pytest

from jaxrl_rewards.cli import VERBS
from jaxrl_rewards.commands.train_ppo import PPOTask
from jaxrl_rewards.studies import slugs
from jaxrl_rewards.studies.eureka.train.command import EurekaTask
from jaxrl_rewards.studies.grpo_ppo_core.train.task import LanguageTask
from jaxrl_rewards.studies.registry import trainings
from jaxrl_rewards.studies.sparse_retargeting.train.task import RetargetTask
from jaxrl_rewards.train.arguments import _checked, _flags
from jaxrl_rewards.train.reward_options import split_reward_options
from tests.cli.documents import (
    REPOSITORY,
    Block,
    blocks,
    commands,
    has_placeholder,
    pages,
    smaller_command,
    smaller_python,
)
from tests.cli.test_missing_extras import ALL, OURS

TASKS = {
    "ppo": (PPOTask, None),
    "retarget": (RetargetTask, ""),
    "eureka": (EurekaTask, None),
    "language": (LanguageTask, ""),
}
OTHERS = {"git", "cd", "export", "docker", "kubectl", "sbatch", "srun", "ray", "nvidia-smi"}
"""Commands that are not ours to check."""
FOREIGN = {"trl", "datasets", "verl", "tunix", "verifiers", "openenv", "jaxlib"}
"""Packages of other projects that an example may need; where one is missing, it is not run."""
REFUSAL = re.compile(r"pip install '?jaxrl-rewards\[")


def all_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks(page)]


def inline_commands() -> list[tuple[str, list[str]]]:
    """Our commands in running text, where they are whole."""
    found = []
    for page in pages():
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        for code in re.findall(r"(?<!`)`(jaxrl-rewards [^`\n]+)`(?!`)", text):
            found += [(page, words) for words in commands(code) if words[0] == "jaxrl-rewards"]
    return found


def check_ours(words: list[str], where: str) -> None:
    """The verb, task or study exists, and so do the options."""
    if not words or words[0] in ("--help", "--version") or not words[0].isidentifier():
        return
    assert words[0] in VERBS, f"{where}: there is no verb {words[0]!r}"
    name = words[1] if len(words) > 1 else ""
    if words[0] == "train" and name in TASKS:
        kind, prefix = TASKS[name]
        rest = [word for word in words[2:] if word not in ("...", "[...]")]
        arguments = split_reward_options(rest) if name == "ppo" else rest
        _checked(arguments, _flags(kind, prefix), f"train {name}")
    elif words[0] == "train" and name.islower():
        assert name in (*trainings(), "TASK"), f"{where}: there is no task {name!r}"
    elif words[0] == "reproduce" and name.islower() and not name.startswith("-"):
        assert name in slugs(), f"{where}: there is no study {name!r}"


def check_other(words: list[str], where: str) -> None:
    """A command that is not ours: its target, extra or module exists."""
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        for target in words[1:]:
            assert "=" in target or target in targets, f"{where}: make {target} does nothing"
    elif words[0] == "pip" or words[:3] == ["python", "-m", "pip"]:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
        for extras in re.findall(r"(?:\.|jaxrl-rewards)\[([\w,-]+)\]", " ".join(words)):
            unknown = set(extras.split(",")) - set(project["optional-dependencies"])
            assert not unknown, f"{where}: there is no extra {unknown}"
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]), f"{where}: there is no module {words[2]}"
    elif words[:1] == ["python"] or words[0] == "pytest":
        for file in (word for word in words[1:2] if word.endswith(".py")):
            assert (REPOSITORY / file).exists(), f"{where}: there is no {file}"
    else:
        assert words[0] in OTHERS, f"{where}: no rule checks the command {words[0]!r}"


def test_every_command_is_understood():
    """Of shell blocks and in running text, run or not: what it names exists."""
    for block in all_blocks():
        for words in commands(block.text) if block.language == "sh" else ():
            where = f"{block.page}:{block.line}"
            if words[0] == "jaxrl-rewards":
                check_ours(words[1:], where)
            else:
                check_other(words, where)
    for page, words in inline_commands():
        check_ours(words[1:], page)


def test_every_block_of_python_can_be_read():
    for block in all_blocks():
        if block.language == "python":
            compile(smaller_python(block.text), f"{block.page}:{block.line}", "exec")


def test_the_readme_has_examples_and_commands():
    found = blocks("README.md")
    assert sum(block.language == "python" for block in found) >= 3
    assert sum(len(commands(block.text)) for block in found if block.language == "sh") >= 5


def missing_packages(block: Block) -> set[str]:
    """Packages of other projects that a block needs and that are not here."""
    named = set(re.findall(r"^\s*(?:from|import)\s+(\w+)", block.text, re.MULTILINE))
    return {name for name in named & FOREIGN if importlib.util.find_spec(name) is None}


def run_page(found: list[Block], folder, without: str) -> list[str]:
    """What went wrong in each block, all in one process and one folder."""
    given = [
        {"language": b.language, "text": b.text, "continues": "continues" in b.marks} for b in found
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.run_blocks", without, json.dumps(given)],
        cwd=folder, env=OURS, capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", [page for page in pages() if blocks(page)])
def test_every_block_runs_with_and_without_the_extras(page, tmp_path):
    """Without extras a block runs, or one sentence names the extra; then it runs with it."""
    found = [b for b in blocks(page) if not b.skipped and not missing_packages(b)]
    if not found:
        pytest.skip("all blocks are marked, or need packages of other projects")
    wrong = run_page(found, tmp_path, ALL)
    told = [f"{b.page}:{b.line}: {text}" for b, text in zip(found, wrong) if text]
    assert all(not text or REFUSAL.search(text) for text in wrong), "\n".join(told)
    again = with_those_before(found, [bool(text) for text in wrong])
    if not again:
        return
    for extra in ("mujoco", "gymnasium", "gymnax", "brax", "tensorboardX"):
        if importlib.util.find_spec(extra) is None:
            pytest.skip(f"some blocks need extras, and {extra} is not installed here")
    wrong = run_page(again, tmp_path, "")
    assert not any(wrong), "\n".join(f"{b.page}:{b.line}: {t}" for b, t in zip(again, wrong) if t)


def with_those_before(found: list[Block], chosen: list[bool]) -> list[Block]:
    """The chosen blocks, and those of Python whose names they go on with."""
    keep, wanted = [], False
    for block, own in reversed(list(zip(found, chosen, strict=True))):
        python = block.language == "python"
        if own or (wanted and python):
            keep.append(block)
        if python:
            wanted = (own or wanted) and "continues" in block.marks
    return keep[::-1]


def test_blocks_are_found_with_their_marks(tmp_path, monkeypatch):
    from tests.cli import documents

    monkeypatch.setattr(documents, "REPOSITORY", tmp_path)
    fence = "`" * 3
    (tmp_path / "page.md").write_text(
        f"# x\n\n<!-- test: skip because it is long -->\n{fence}sh\nmake demo  # go\n{fence}\n"
        f"- item\n\n  <!-- test: continues; slow -->\n  {fence}python\n  if 1:\n      x = 1\n"
        f"  {fence}\n{fence}text\nno code\n{fence}\n{fence}bash\nls\n{fence}\n"
    )
    first, second, third = documents.blocks("page.md")
    assert first.skipped and commands(first.text) == [["make", "demo"]] and first.line == 4
    assert second.text == "if 1:\n    x = 1\n" and second.marks == ("continues", "slow")
    assert third.marks == () and not third.skipped
    (tmp_path / "page.md").write_text(f"<!-- test: never -->\n{fence}sh\nls\n{fence}\n")
    with pytest.raises(ValueError, match="page.md:2: the mark 'never' means nothing"):
        documents.blocks("page.md")


def test_a_block_is_run_again_with_what_it_goes_on_with():
    first, second, third = (
        Block("p", line, "python", "", marks)
        for line, marks in ((1, ()), (2, ()), (3, ("continues",)))
    )
    shell = Block("p", 4, "sh", "", ())
    found = [first, second, shell, third]
    assert with_those_before(found, [False, False, False, True]) == [second, third]
    assert with_those_before(found, [False, False, True, False]) == [shell]
    assert with_those_before(found, [True, False, True, True]) == [first, second, shell, third]
    assert with_those_before(found, [False] * 4) == []


def test_commands_are_cut_down():
    line = (
        "A=1 jaxrl-rewards train ppo --env X --steps 5e6 \\\n --out y < z  # so\njaxrl-rewards list"
    )
    assert commands(line) == [
        ["jaxrl-rewards", "train", "ppo", "--env", "X", "--steps", "5e6", "--out", "y"],
        ["jaxrl-rewards", "list"],
    ]
    small = smaller_command(commands(line)[0][1:])
    assert small[:6] == ["train", "ppo", "--env", "X", "--out", "y"]
    assert small.count("--steps") == 1 and small[small.index("--steps") + 1] == "64"
    assert smaller_command(["evaluate", "gui"]) == ["evaluate", "gui"]
    assert smaller_command(["evaluate", "runs/x"]) == ["evaluate", "runs/x", "--episodes", "2"]
    assert has_placeholder(["design", "MODEL.npz"]) and not has_placeholder(commands(line)[0])
    assert "total_updates=4," in smaller_python("run(total_updates=500, updates=3)")
    assert os.path.exists(REPOSITORY / "README.md")
