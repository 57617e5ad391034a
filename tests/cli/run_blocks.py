"""Run blocks of code in this process, in the current folder; prints JSON.

    python -m tests.cli.run_blocks MISSING BLOCKS

MISSING are packages that cannot be imported, with commas between them. BLOCKS is a JSON list of
`{"language", "text", "continues"}`. For each block: "" where it ran, else what went wrong.
"""

import contextlib
import io
import json
import os
import sys
import traceback

from tests.cli.documents import commands, has_placeholder, smaller_command, smaller_python
from tests.cli.without_extras import Blocker

OUTPUT = 2000


def run_python(block: dict, names: dict) -> str:
    """Execute the code in `names`."""
    code = compile(smaller_python(block["text"]), "block", "exec")
    exec(code, names)
    return ""


def run_shell(block: dict) -> str:
    """Run our commands of a shell block one after the other."""
    from jaxrl_rewards.cli import main

    for words in commands(block["text"]):
        if words[0] != "jaxrl-rewards" or has_placeholder(words):
            continue
        try:
            code = main(smaller_command(words[1:]))
        except SystemExit as end:
            code = end.code or 0
        if code:
            return f"{' '.join(words)} ended with code {code}"
    return ""


def run(block: dict, names: dict) -> str:
    """One block; what it printed is shown only where it failed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            wrong = run_python(block, names) if block["language"] == "python" else run_shell(block)
        except BaseException:
            wrong = traceback.format_exc()
    return f"{printed.getvalue()[-OUTPUT:]}\n{wrong}" if wrong else ""


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    if sys.argv[1]:
        sys.meta_path.insert(0, Blocker(sys.argv[1].split(",")))
    names: dict = {"__name__": "example"}
    results = []
    for block in json.loads(sys.argv[2]):
        if block["language"] == "python" and not block["continues"]:
            names = {"__name__": "example"}
        results.append(run(block, names))
    print("\n" + json.dumps(results))
