"""Starting two processes of a run on this machine, for the tests."""

import os
import socket
import subprocess
import sys


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def start(repository, *arguments, **variables):
    """`python -m ARGUMENTS` with further environment variables; output on `stdout`."""
    path = os.pathsep.join([str(repository), str(repository / "envs")])
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_pair(repository, *arguments):
    """Two processes that find each other by the environment variables."""
    common = {"JAX_COORDINATOR_ADDRESS": f"localhost:{free_port()}", "JAX_NUM_PROCESSES": "2"}
    return [start(repository, *arguments, **common, JAX_PROCESS_ID=index) for index in "01"]
