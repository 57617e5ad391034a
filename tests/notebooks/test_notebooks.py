"""The notebooks run as plain Python on small settings, and equal their .ipynb."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((REPOSITORY / "notebooks").glob("*.py"))
PRINTED = {
    "token_reward": ("question:", "slope + advantage"),
    "bilevel_reward": ("d return / d weights", "first order: return"),
    "gui_reward_field": ("d reward / d alpha", "alpha 0.15 ->"),
}
"""What each notebook must print on the way."""
WHOLE = {
    "token_reward": ("after 450 steps",),
    "bilevel_reward": ("Neumann, 1000 terms", "finite differences"),
    "gui_reward_field": ("of (128, 128) pixels",),
}
"""What only a run at full size prints."""


def test_there_is_a_notebook():
    assert SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_ipynb_is_in_step_with_its_script(script):
    """`python -m benchmarks.notebooks NAME` builds it."""
    jupytext = pytest.importorskip("jupytext", reason="comparing notebooks needs jupytext")
    built = jupytext.read(script.with_suffix(".ipynb"))
    source = jupytext.read(script)
    assert [(c.cell_type, c.source) for c in built.cells] == [
        (c.cell_type, c.source) for c in source.cells
    ]
    assert script.with_suffix(".ipynb").stat().st_size < 500_000
    assert source.cells[0].cell_type == "markdown" and source.cells[0].source.startswith("# ")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_ipynb_ships_with_the_outputs_of_a_whole_run(script):
    """Whoever reads it on a web page sees numbers and figures; none of them is an error."""
    built = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in built["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        source, kinds = "".join(cell["source"]), [out["output_type"] for out in cell["outputs"]]
        assert set(kinds) <= {"stream", "display_data"}, kinds
        assert source.count("\nplt.show()") <= kinds.count("display_data")
        if "\nprint(" in source:
            assert "stream" in kinds, source
    told = "".join(
        "".join(out["text"]) for cell in code for out in cell["outputs"] if "text" in out
    )
    for text in PRINTED[script.stem]:
        assert text in told
    assert built["metadata"]["jaxrl_rewards"]["seconds"] > 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_small_settings_print_other_numbers_than_the_whole_run(script):
    """Which is how a notebook built at small size would show here."""
    source = script.read_text(encoding="utf-8")
    assert 'SMALL = bool(os.environ.get("JAXRL_NOTEBOOK_SMALL"))' in source
    built = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    told = json.dumps([cell.get("outputs") for cell in built["cells"]])
    assert all(text in told for text in WHOLE[script.stem])


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
