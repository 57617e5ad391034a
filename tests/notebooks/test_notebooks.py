"""The notebooks run as plain Python on small settings, and equal their .ipynb."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((REPOSITORY / "notebooks").glob("*.py"))
PRINTED = {
    "bilevel_reward": ("d return / d weights", "first order: return"),
    "gui_reward_field": ("d reward / d alpha", "alpha 0.15 ->"),
}
"""What each notebook must print on the way."""


def test_there_is_a_notebook():
    assert SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_ipynb_is_in_step_with_its_script(script):
    """`jupytext --to ipynb notebooks/NAME.py` builds it."""
    jupytext = pytest.importorskip("jupytext", reason="comparing notebooks needs jupytext")
    built = jupytext.read(script.with_suffix(".ipynb"))
    source = jupytext.read(script)
    assert [(c.cell_type, c.source) for c in built.cells] == [
        (c.cell_type, c.source) for c in source.cells
    ]
    assert script.with_suffix(".ipynb").stat().st_size < 500_000
    assert source.cells[0].cell_type == "markdown" and source.cells[0].source.startswith("# ")


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_runs_on_small_settings(script, tmp_path):
    """In a process of its own, because it sets up jax first."""
    environment = {
        **os.environ,
        "JAXRL_NOTEBOOK_SMALL": "1",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "envs")]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(script)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for text in PRINTED[script.stem]:
        assert text in done.stdout, text
    assert list(tmp_path.iterdir()) == []
