"""The site: built without a warning, readable without a network, formulas without a script."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import tables

pytest.importorskip("mkdocs", reason="the site needs pip install '.[docs]' (make docs)")
pytest.importorskip("latex2mathml", reason="the site needs pip install '.[docs]' (make docs)")

ASSET = re.compile(
    r"<(?:script|img|iframe|source|audio|video|embed)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'> ]+"
    r"|<link\b[^>]*\bhref=[\"']?(?:https?:)?//[^\"'> ]+"
)
IMPORT = re.compile(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^\"')]+")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "-f", str(tables.ROOT / "docs" / "mkdocs.yml"), "-d", str(out)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def pages(site: Path) -> dict[str, str]:
    return {
        path.relative_to(site).as_posix(): path.read_text(encoding="utf-8")
        for path in site.rglob("*.html")
    }


def test_nothing_is_fetched_from_elsewhere(site):
    for name, text in pages(site).items():
        found = ASSET.search(text)
        assert found is None, f"{name}: {found.group(0)}"
    for path in site.rglob("*.css"):
        found = IMPORT.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.name}: {found.group(0)}"


def test_formulas_are_mathml(site):
    found = pages(site)
    assert "<math" in found["studies/barfi.html"]
    for name, text in found.items():
        assert "arithmatex" not in text, name
        assert "mermaid" not in text, f"{name}: diagrams would be drawn by a script from elsewhere"


def test_every_local_link_and_picture_is_there(site):
    for name, text in pages(site).items():
        if name == "404.html":
            continue
        for target in re.findall(r"(?:src|href)=\"([^\"#?:]+)[\"#?]", text):
            assert ((site / name).parent / target).exists(), f"{name}: {target}"


def test_the_api_names_what_packages_offer(site):
    found = pages(site)
    for page, names in {
        "api/rewards.html": ("reward_term", "WeightedSum", "Linear"),
        "api/learners.html": ("make_ppo", "PPOConfig", "make_group"),
        "api/train.html": ("run", "evaluate_policy", "load_state"),
        "api/credit.html": ("gae", "group_advantages"),
        "api/reward_design.html": ("hypergradient", "solve_explicable", "parse_program"),
    }.items():
        for name in names:
            assert re.search(rf'id="jaxrl_rewards\.[\w.]*\b{name}"', found[page]), (page, name)
