"""Notebooks with their outputs, run at full size from their scripts.

    python -m benchmarks.notebooks                  # build notebooks/*.ipynb (a minute or two)
    python -m benchmarks.notebooks bilevel_reward   # one of them

Each `notebooks/NAME.py` is a script of cells (jupytext's percent format). Its code is run in one
process of its own, cell by cell; what a cell prints and the figures that it shows become its
outputs. No Jupyter is needed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
DOTS_PER_INCH = 72
NOTE = "jaxrl_rewards"
"""Where the notebook's metadata says how it was built."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="notebooks (default: all)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = options.names or sorted(path.stem for path in FOLDER.glob("*.py"))
    if options.here:
        build(FOLDER / f"{names[0]}.py")
        return 0
    for name in names:  # each in a process of its own, because notebooks set up jax first
        environment = {**os.environ, "MPLBACKEND": "Agg"}
        environment.pop("JAXRL_NOTEBOOK_SMALL", None)
        command = [sys.executable, "-m", "benchmarks.notebooks", "--here", name]
        if code := subprocess.run(command, env=environment, cwd=FOLDER.parent).returncode:
            return code
    return 0


def build(script: Path) -> None:
    """Run one script and write its notebook."""
    import jupytext

    notebook = jupytext.read(script)
    began = time.perf_counter()
    run_cells(notebook.cells)
    seconds = time.perf_counter() - began
    notebook.metadata[NOTE] = {"seconds": round(seconds)}
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index}"  # random ones would change with every build
    target = script.with_suffix(".ipynb")
    jupytext.write(notebook, target)
    print(f"{target.name}: {len(notebook.cells)} cells, {seconds:.0f} s")


def run_cells(cells: Sequence[Any]) -> None:
    """Run the code cells in order and set their outputs."""
    import matplotlib.pyplot as plt
    from nbformat.v4 import new_output

    space: dict[str, Any] = {"__name__": "__main__"}
    number = 0
    for cell in cells:
        if cell.cell_type != "code":
            continue
        number += 1
        outputs: list[Any] = []
        printed = io.StringIO()

        def tell(outputs: list[Any] = outputs, printed: io.StringIO = printed) -> None:
            if text := printed.getvalue():
                outputs.append(new_output("stream", name="stdout", text=text))
            printed.seek(0)
            printed.truncate()

        def show(*_: Any, outputs: list[Any] = outputs, tell: Any = tell) -> None:
            tell()
            for figure in map(plt.figure, plt.get_fignums()):
                data = {"image/png": _png(figure), "text/plain": "<Figure>"}
                outputs.append(new_output("display_data", data=data))
            plt.close("all")

        plt.show = show
        with contextlib.redirect_stdout(printed):
            exec(compile(cell.source, f"cell {number}", "exec"), space)
        tell()
        cell.outputs, cell.execution_count = outputs, number


def _png(figure: Any) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return base64.b64encode(data.getvalue()).decode()


if __name__ == "__main__":
    raise SystemExit(main())
