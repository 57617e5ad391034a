"""Run commands in one process in which some packages cannot be imported; prints JSON.

    python -m tests.cli.without_extras PACKAGES COMMANDS

PACKAGES are names with commas between them, COMMANDS a JSON list of lists of words. For each
command: exit code, standard output and error, and the files that it left in the current folder.
"""

import contextlib
import io
import json
import sys
import traceback
from pathlib import Path


class Blocker:
    """Refuses to find packages, as if they were not installed."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if any(name == blocked or name.startswith(f"{blocked}.") for blocked in self.names):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def run(main, words) -> dict:
    """One command."""
    before = set(Path().rglob("*"))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = -1
    left = sorted(map(str, set(Path().rglob("*")) - before))
    return {"code": code, "out": out.getvalue(), "err": err.getvalue(), "left": left}


if __name__ == "__main__":
    sys.meta_path.insert(0, Blocker(sys.argv[1].split(",")))
    from jaxrl_rewards.cli import main

    print(json.dumps([run(main, words) for words in json.loads(sys.argv[2])]))
