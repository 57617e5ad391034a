"""README and pages: short enough, in plain words, complete, and every link leads somewhere."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from benchmarks import tables
from jaxrl_rewards.studies import slugs

PAGES = tables.PAGES
DOCUMENTS = [tables.ROOT / "README.md", *sorted(PAGES.rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
LARGEST_PICTURE = 120_000
ODD = {
    r"in miniature": "at laptop size",
    r"\bgarbage\b": "answers that cannot be read",
    r"\bpeer's\b|\bother's\b": "say whose",
    r"as long as there was": "the length of the motion",
    r"starts followed": "success rate",
    r"fully informative": "no gap is short",
    r"\bverbs?\b": "command",
    r"house rules|the house\b": "rules",
    r"slow, wrong or dead": "slow, wrong or gone",
    r"limits as ends": "time limits treated as ends",
    r"\bshare of (seeds|episodes)\b": "fraction, or success rate",
    r"(?<!standard )\bdeviation of (the )?success": "standard deviation",
    r", \w[\w ]* less \w": "minus",
}
"""What stopped newcomers, and what to write instead."""


def ids(paths):
    return [path.relative_to(tables.ROOT).as_posix() for path in paths]


def test_the_readme_is_short():
    lines = (tables.ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids(DOCUMENTS))
def test_every_link_leads_to_a_file(path):
    for target, _ in LINK.findall(path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).is_file(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids(DOCUMENTS))
def test_words_are_plain(path):
    text = path.read_text(encoding="utf-8")
    for pattern, better in ODD.items():
        found = re.search(pattern, text)
        assert found is None, f"{found.group(0)!r}: write {better}"


def test_pictures_are_small():
    for path in DOCUMENTS:
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).stat().st_size <= LARGEST_PICTURE, target


def test_every_measured_study_has_a_page():
    """With its claims, its quantities and its notes; the page is linked and in the menu."""
    menu = (tables.ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    index = (PAGES / "studies" / "index.md").read_text(encoding="utf-8")
    results = tables.ROOT / "benchmarks" / "results"
    measured = {record["slug"] for _, record in tables.read_results(results, "study-*.json")} & set(
        slugs()
    )
    for slug in measured:
        page = PAGES / "studies" / f"{slug}.md"
        assert page.is_file(), f"write docs/pages/studies/{slug}.md"
        text = page.read_text(encoding="utf-8")
        for part in (f"claims {slug}", f"study {slug}", f"notes {slug}"):
            assert f"<!-- table:{part} -->" in text, f"{page.name} lacks the table {part!r}"
        assert "## What is not claimed" in text
        assert f"studies/{slug}.md" in menu and f"({slug}.md)" in index


def test_every_page_is_in_the_menu():
    menu = (tables.ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    nav = json.dumps(yaml.safe_load(menu)["nav"])
    for path in PAGES.rglob("*.md"):
        assert f'"{path.relative_to(PAGES).as_posix()}"' in nav, path


def test_figures_come_with_their_numbers():
    for picture in (PAGES / "figures").glob("*.png"):
        record = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
        assert record["command"].startswith("python -m benchmarks.figures")
        assert record["versions"] and record["hardware"] and record["date"]


def test_a_page_of_environments_names_all_of_them(tmp_path):
    """In a process of its own, since other tests register environments."""
    pytest.importorskip("mujoco", reason="two environments need MuJoCo")
    command = [sys.executable, "-m", "benchmarks.tables", "--check", "--files"]
    done = subprocess.run(
        [*command, str(PAGES / "environments.md")],
        cwd=tables.ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
