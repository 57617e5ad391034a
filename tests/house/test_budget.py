"""The table of the dearest files counts the CPU time of tests, of fixtures and of children."""

import os
import re
import subprocess
import sys

import pytest

FILES = {
    "test_sleeps.py": "import time\ndef test_it(): time.sleep(0.5)\n",
    "test_burns.py": "import pytest, time\n"
    "def burn():\n    end = time.process_time() + 0.2\n    while time.process_time() < end: pass\n"
    "@pytest.fixture\ndef dear(): burn()\n"
    "def test_it(dear): burn()\n",
    "test_starts.py": "import subprocess, sys\n"
    "CHILD = 'import time\\nwhile time.process_time() < 0.8: pass'\n"
    "def test_it(): subprocess.run([sys.executable, '-S', '-c', CHILD], check=True)\n",
}


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_dearest_files_are_told(tmp_path, repository, workers):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.budget",
        "-q",
        "-p",
        "xdist",
        *workers,
        ".",
    ]
    environment = os.environ | {
        "PYTHONPATH": str(repository),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stdout + run.stderr
    rows = dict(
        (name, float(seconds))
        for seconds, name in re.findall(r"^ +([\d.]+)  (\S+\.py)$", run.stdout, re.M)
    )
    assert list(rows) == ["test_starts.py", "test_burns.py", "test_sleeps.py"]
    assert rows["test_starts.py"] >= 0.8
    assert rows["test_burns.py"] >= 0.4
    assert rows["test_sleeps.py"] < 0.3
    assert re.search(r"^ +[\d.]+  all 3 files$", run.stdout, re.M)
